"""Small audio files, right and wrong, for the tests of reading and judging."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import soundfile

from models.synthesis import phonocardiogram

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def heart(rate: int = 8_000, seconds: float = 4.0) -> npt.NDArray[np.float64]:
    """A normal heart at 75 bpm."""
    return phonocardiogram(75, seconds=seconds, sample_rate=rate, seed=1)


def encoded(
    container: str, subtype: str, *, rate: int = 8_000, channels: int = 1, seconds: float = 4.0
) -> bytes:
    """``heart`` as libsndfile writes it."""
    out = io.BytesIO()
    sound = np.repeat(heart(rate, seconds)[:, None], channels, axis=1)
    soundfile.write(out, sound, rate, format=container, subtype=subtype)
    return out.getvalue()


def wav(
    body: bytes = bytes(16_000),
    *,
    code: int = PCM,
    channels: int = 1,
    rate: int = 2_000,
    bits: int = 16,
    data_size: int | None = None,
    riff_size: int | None = None,
    byte_rate: int | None = None,
    frame_bytes: int | None = None,
    extra_chunks: bytes = b"",
) -> bytes:
    """A WAV file written by hand, in which every field can lie."""
    frame = channels * bits // 8 if frame_bytes is None else frame_bytes
    fmt = struct.pack(
        "<HHIIHH",
        code,
        channels,
        rate,
        rate * frame % 2**32 if byte_rate is None else byte_rate,
        frame,
        bits,
    )
    content = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + extra_chunks + b"data"
    content += struct.pack("<I", len(body) if data_size is None else data_size) + body
    return b"RIFF" + struct.pack("<I", len(content) if riff_size is None else riff_size) + content


def float_wav(samples: npt.NDArray[np.float32], rate: int = 2_000) -> bytes:
    """32-bit float WAV."""
    return wav(samples.astype("<f4").tobytes(), code=FLOAT, bits=32, rate=rate)
