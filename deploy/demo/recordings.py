"""What the demonstration uploads: a folder's recordings, or synthesised ones."""

from __future__ import annotations

from pathlib import Path

from models.synthesis import Signal, phonocardiogram, silence, wav_bytes, white_noise

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

NORMAL_BPM = (48, 62, 75, 90, 118)
MURMUR_BPM = (56, 70, 84, 102, 130)
MURMUR = 0.3


class NoRecordings(Exception):
    """The folder has nothing to upload."""


def recordings_of(folder: Path) -> list[Path]:
    """Every file below a folder that is a recording by its name; raises NoRecordings."""
    if not folder.is_dir():
        raise NoRecordings(f"{folder} is no folder.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise NoRecordings(f"There is no {', '.join(SUFFIXES)} file in {folder}.")
    return found


def write_synthesised(folder: Path) -> list[Path]:
    """Heart sounds without and with a murmur at several heart rates, silence and noise, as WAV."""
    sounds: dict[str, Signal] = {}
    for number, bpm in enumerate(NORMAL_BPM):
        sounds[f"normal-{bpm}-bpm"] = phonocardiogram(bpm, seed=number)
    for number, bpm in enumerate(MURMUR_BPM):
        sounds[f"murmur-{bpm}-bpm"] = phonocardiogram(bpm, murmur=MURMUR, seed=100 + number)
    sounds["silence"] = silence()
    sounds["noise"] = white_noise()
    folder.mkdir(parents=True)
    files = []
    for name, signal in sounds.items():
        path = folder / f"{name}.wav"
        path.write_bytes(wav_bytes(signal))
        files.append(path)
    return files
