"""From an uploaded file's bytes to a waveform at 2 kHz, or to one clear refusal.

The container's header is checked against the bytes that are really there before any decoder sees
them (``workers.inference.containers``). Decoding is by blocks, mixed to mono as it goes, so that
memory is bounded by the longest recording accepted and not by what a header says. Nothing touches
the disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from workers.inference.containers import (
    MAX_SECONDS,
    TOO_LONG,
    TRUNCATED,
    AudioError,
    AudioReason,
    BadHeader,
    Container,
    Empty,
    NotAudio,
    NotFinite,
    TooLong,
    Truncated,
    check_channels,
    check_container,
    check_length,
    check_rate,
)

__all__ = ["SAMPLE_RATE", "Audio", "AudioError", "AudioReason", "read_audio"]

SAMPLE_RATE = 2_000
"""Hz; what the models hear."""
_BLOCK = 65_536
_LOUDEST = 2.0**31
"""Float files hold full scale 1 or, by mistake, integers; beyond 32-bit integers nobody records."""
_CLIP_LEVEL = 0.985
_EXPECTED = {
    Container.WAV: ("WAV", "WAVEX"),
    Container.FLAC: ("FLAC",),
    Container.OGG: ("OGG",),
    Container.MP3: ("MP3", "MPEG"),
}


@dataclass(frozen=True, repr=False)
class Audio:
    """A recording in memory.

    ``samples``: mono float32 at 2,000 Hz, shape (n,). ``rate``: the file's rate in Hz.
    ``seconds``: its duration. ``clipped``: share (0..1) of the file's own samples that lie within
    1.5% of the loudest one, taken before resampling rounds the corners.
    """

    samples: npt.NDArray[np.float32]
    rate: int
    seconds: float
    clipped: float

    def __repr__(self) -> str:
        return "Audio()"


def read_audio(data: bytes) -> Audio:
    """Reads a WAV, FLAC, OGG (Vorbis, Opus) or MP3 recording of 500 Hz to 192 kHz, 1 to 8 channels.

    Raises AudioError, whose ``reason`` is stable and whose text says what was wrong and what to do.
    """
    container = check_container(data)
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.SoundFileError as error:
        raise NotAudio(
            "The file starts like audio but cannot be decoded. Export it again as 16-bit WAV."
        ) from error
    with file:
        try:
            return _decode(file, container)
        except soundfile.SoundFileError as error:
            raise Truncated("The sound is damaged or breaks off. Upload the file again.") from error


def _decode(file: soundfile.SoundFile, container: Container) -> Audio:
    if file.format not in _EXPECTED[container]:
        raise BadHeader("The file is not of the format that its first bytes say. Save it again.")
    rate = int(file.samplerate)
    check_rate(rate)
    check_channels(int(file.channels))
    # An MP3's length is an estimate until it is decoded; everybody else states it.
    exact = container is not Container.MP3
    if exact:
        check_length(file.frames, rate)
    blocks = list(_mono_blocks(file, MAX_SECONDS * rate))
    frames = sum(block.size for block in blocks)
    if frames == 0:
        raise Empty("The file holds no sound. Record again.")
    if exact and frames < file.frames:
        raise Truncated(TRUNCATED)
    samples = _resample(blocks, rate)[: MAX_SECONDS * SAMPLE_RATE]
    return Audio(samples, rate, frames / rate, _clipped_share(blocks))


def _mono_blocks(file: soundfile.SoundFile, limit: int) -> Iterator[npt.NDArray[np.float32]]:
    """The sound in blocks, channels averaged; raises TooLong after ``limit`` frames."""
    frames = 0
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        frames += len(block)
        if frames > limit:
            raise TooLong(TOO_LONG)
        # Written so that a NaN, which compares false with everything, is refused as well.
        if not np.abs(block).max() <= _LOUDEST:
            raise NotFinite(
                "The file holds numbers that are no sound (not a number, or infinite). "
                "Export it again as 16-bit WAV."
            )
        yield block.mean(axis=1)


def _resample(blocks: list[npt.NDArray[np.float32]], rate: int) -> npt.NDArray[np.float32]:
    if rate == SAMPLE_RATE:
        return np.concatenate(blocks)
    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    last = len(blocks) - 1
    return np.concatenate(
        [stream.resample_chunk(block, last=i == last) for i, block in enumerate(blocks)]
    )


def _clipped_share(blocks: list[npt.NDArray[np.float32]]) -> float:
    peak = max(float(np.abs(block).max()) for block in blocks)
    if peak == 0.0:
        return 0.0
    touching = sum(int((np.abs(block) >= _CLIP_LEVEL * peak).sum()) for block in blocks)
    return touching / sum(block.size for block in blocks)
