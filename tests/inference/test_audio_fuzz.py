"""Whatever the bytes: read_audio returns Audio or raises AudioError, and soon."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inference.files import encoded, wav
from workers.inference.audio import AudioError, read_audio
from workers.inference.containers import MAX_SECONDS

SEEDS = [
    encoded("WAV", "PCM_16", seconds=1),
    encoded("WAVEX", "FLOAT", seconds=1),
    encoded("FLAC", "PCM_16", seconds=1),
    encoded("OGG", "VORBIS", seconds=1),
    encoded("MP3", "MPEG_LAYER_III", seconds=1),
]
MAGICS = [b"RIFF\x24\x00\x00\x00WAVEfmt ", b"fLaC\x00\x00\x00\x22", b"OggS\x00\x02", b"ID3\x04"]
SETTINGS = settings(deadline=5_000, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def read_or_refuse(data: bytes) -> None:
    try:
        audio = read_audio(data)
    except AudioError:
        return
    assert audio.samples.ndim == 1
    assert audio.samples.size <= 2_000 * MAX_SECONDS
    assert np.isfinite(audio.samples).all()
    assert math.isfinite(audio.seconds)
    assert 0.0 <= audio.clipped <= 1.0


@SETTINGS
@given(st.binary(max_size=2_000))
def test_random_bytes(data: bytes) -> None:
    read_or_refuse(data)


@SETTINGS
@given(st.sampled_from(MAGICS), st.binary(max_size=2_000))
def test_random_bytes_behind_a_real_beginning(magic: bytes, data: bytes) -> None:
    read_or_refuse(magic + data)


@SETTINGS
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_headers(seed: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for at, value in changes:
        data[at] = value
    read_or_refuse(bytes(data))


@SETTINGS
@given(st.sampled_from(SEEDS), st.integers(0, 2**16), st.binary(max_size=64), st.integers(0, 2**16))
def test_spliced_and_cut_files(seed: bytes, at: int, piece: bytes, end: int) -> None:
    at %= len(seed)
    read_or_refuse((seed[:at] + piece + seed[at + len(piece) :])[: max(1, end)])


@SETTINGS
@given(
    channels=st.integers(0, 2**16 - 1),
    rate=st.integers(0, 2**32 - 1),
    bits=st.integers(0, 2**16 - 1),
    code=st.sampled_from([0, 1, 2, 3, 6, 7, 0x55, 0xFFFE]),
    data_size=st.integers(0, 2**32 - 1),
    riff_size=st.integers(0, 2**32 - 1),
)
def test_lying_wav_headers(
    channels: int, rate: int, bits: int, code: int, data_size: int, riff_size: int
) -> None:
    frame = channels * bits // 8 % 2**16
    for claimed in (data_size, None):
        for whole in (riff_size, None):
            read_or_refuse(
                wav(
                    bytes(480),
                    channels=channels,
                    rate=rate,
                    bits=bits,
                    code=code,
                    frame_bytes=frame,
                    data_size=claimed,
                    riff_size=whole,
                )
            )
