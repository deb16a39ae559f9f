"""Search for audio: every known recording in pieces, in the encodings in which one would leave it.

A piece is a short run of samples (or of the file's own bytes); pieces are taken everywhere along a
recording, so that an excerpt is found as well. Every window of every file is compared with all
pieces at once, by its first 8 bytes.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soundfile

from deploy.demo.evidence import KnownRecording, Leak, Place
from workers.inference.audio import AudioError, read_audio

PIECE_BYTES = 24
PIECES = 100
"""Of a recording in each encoding: one every eighth of a second of a recording of 12 s."""

_FEWEST_VALUES = 6
"""A piece with fewer different bytes says nothing: silence is everywhere."""
_RUN = 24
"""Samples that are written out for a piece; the shortest decimals take two characters each."""

CONTAINERS = re.compile(rb"RIFF....WAVE|fLaC\x00\x00\x00\x22|OggS\x00\x02|ID3[\x02-\x04]\x00", re.S)
_SAMPLE_TYPES = ("<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8")


def find_audio(files: Iterable[Place], recordings: Iterable[KnownRecording]) -> list[Leak]:
    """Containers of audio, and pieces of the known recordings, in any file."""
    index = _index(recordings)
    leaks = []
    for place in files:
        if CONTAINERS.search(place.content):
            leaks.append(Leak(place.name, "the head of an audio file"))
        encoding = _first_piece(place.content, index)
        if encoding is not None:
            leaks.append(Leak(place.name, f"samples of a recording ({encoding})"))
    return leaks


def _index(recordings: Iterable[KnownRecording]) -> dict[bytes, str]:
    index: dict[bytes, str] = {}
    for recording in recordings:
        for encoding, run in _runs(recording.data):
            piece = run[:PIECE_BYTES]
            if len(piece) == PIECE_BYTES and len(set(piece)) >= _FEWEST_VALUES:
                index[piece] = encoding
    return index


def _runs(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(encoding, bytes) of short runs everywhere in a recording."""
    for first in _starts(len(data)):
        run = data[first : first + 2 * PIECE_BYTES]
        yield "the file's bytes", run
        yield "hexadecimal", run.hex().encode()
        for shift in range(3):
            yield "base64", base64.b64encode(run[shift:])
            yield "base64url", base64.urlsafe_b64encode(run[shift:])
    for what, samples in _samples(data):
        for first in _starts(len(samples)):
            for kind, encoded in _numbers(samples[first : first + _RUN]):
                yield f"{what} as {kind}", encoded


def _starts(length: int) -> range:
    return range(0, length, max(1, length // PIECES))


def _samples(data: bytes) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """The samples of the file as they are, and as the models hear them at 2 kHz."""
    try:
        heard = read_audio(data).samples
        own, _ = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    except (AudioError, soundfile.LibsndfileError):
        return
    yield "samples", own.mean(axis=1)
    yield "samples at 2 kHz", heard.astype(np.float64)


def _numbers(run: npt.NDArray[np.float64]) -> Iterator[tuple[str, bytes]]:
    """A run of samples in -1..1 as integers and floats of every size, packed and written out."""
    for kind in ("<f4", ">f4", "<f8", ">f8"):
        yield kind, run.astype(kind).tobytes()
    for bits in (16, 32):
        for scale in (2 ** (bits - 1), 2 ** (bits - 1) - 1):
            whole = np.rint(np.clip(run * scale, -scale, scale - 1))
            for order in "<>":
                yield f"{order}i{bits // 8}", whole.astype(f"{order}i{bits // 8}").tobytes()
            yield "decimals", ",".join(str(int(number)) for number in whole).encode()
            yield "decimals", ", ".join(str(int(number)) for number in whole).encode()
    for precision in (np.float32, np.float64):
        for separator in (",", ", "):
            shown = separator.join(str(number) for number in run.astype(precision))
            yield "decimals", shown.encode()


def _first_piece(content: bytes, index: dict[bytes, str]) -> str | None:
    """The encoding of the first piece found: windows are compared by their first 8 bytes."""
    if len(content) < PIECE_BYTES or not index:
        return None
    wanted = np.frombuffer(b"".join(piece[:8] for piece in index), "<u8")
    data = np.frombuffer(content, np.uint8)
    for shift in range(8):
        words = data[shift : shift + (len(data) - shift) // 8 * 8].view("<u8")
        for at in np.flatnonzero(np.isin(words, wanted)):
            start = shift + 8 * int(at)
            encoding = index.get(content[start : start + PIECE_BYTES])
            if encoding is not None:
                return encoding
    return None
