"""Recordings for the pages: hearts with known findings, and what is none."""

from __future__ import annotations

import zlib
from pathlib import Path

from models.synthesis import Signal, phonocardiogram, wav_bytes, white_noise


class Recordings:
    """Makes files; no two have the same contents unless they are copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def healthy(self, name: str) -> Path:
        return self._heart(name, 72, 0.0)

    def murmur(self, name: str) -> Path:
        return self._heart(name, 74, 0.9)

    def fast(self, name: str) -> Path:
        return self._heart(name, 130, 0.0)

    def noise(self, name: str) -> Path:
        return self._file(name, white_noise(8.0, seed=_seed(name)))

    def no_audio(self, name: str) -> Path:
        path = self._folder / name
        path.write_text("a letter, not a heart")
        return path

    def copy(self, of: Path, name: str) -> Path:
        path = self._folder / name
        path.write_bytes(of.read_bytes())
        return path

    def _heart(self, name: str, bpm: float, murmur: float) -> Path:
        sound = phonocardiogram(bpm, murmur=murmur, seconds=8.0, seed=_seed(name))
        return self._file(name, sound)

    def _file(self, name: str, sound: Signal) -> Path:
        path = self._folder / name
        path.write_bytes(wav_bytes(sound))
        return path


def _seed(name: str) -> int:
    """Of the name, so that a recording is the same whichever tests ran before."""
    return zlib.crc32(name.encode())
