"""Reading recordings: what is accepted, what is refused, and by which reason."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc

import numpy as np
import pytest
import soundfile

from tests.inference.files import FLOAT, encoded, float_wav, heart, wav
from workers.inference.audio import SAMPLE_RATE, Audio, AudioError, AudioReason, read_audio


def reason_of(data: bytes) -> AudioReason:
    with pytest.raises(AudioError) as refusal:
        read_audio(data)
    assert str(refusal.value).endswith("."), "a refusal is a sentence"
    return refusal.value.reason


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "PCM_16", 1e-3),
        ("WAV", "PCM_24", 1e-3),
        ("WAV", "PCM_32", 1e-3),
        ("WAV", "FLOAT", 1e-3),
        ("WAV", "DOUBLE", 1e-3),
        ("WAVEX", "PCM_16", 1e-3),
        ("WAVEX", "PCM_24", 1e-3),
        ("WAVEX", "FLOAT", 1e-3),
        ("FLAC", "PCM_16", 1e-3),
        ("FLAC", "PCM_24", 1e-3),
        ("OGG", "VORBIS", 0.05),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_reads_every_encoding_to_the_same_waveform(
    container: str, subtype: str, tolerance: float, channels: int
) -> None:
    audio = read_audio(encoded(container, subtype, channels=channels))
    assert audio.rate == 8_000
    assert audio.seconds == pytest.approx(4.0)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (4 * SAMPLE_RATE,)
    wanted = read_audio(encoded("WAV", "DOUBLE")).samples
    assert np.abs(audio.samples - wanted).max() < tolerance


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [("MP3", "MPEG_LAYER_III", 44_100), ("OGG", "OPUS", 48_000)],
)
def test_reads_formats_whose_length_is_a_little_odd(
    container: str, subtype: str, rate: int
) -> None:
    audio = read_audio(encoded(container, subtype, rate=rate, seconds=8))
    assert audio.seconds == pytest.approx(8, abs=0.9)
    assert np.abs(audio.samples).max() == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("rate", [500, 1_000, 2_000, 4_000, 11_025, 22_050, 44_100, 192_000])
def test_every_rate_comes_out_at_2_khz_with_its_tones_in_place(rate: int) -> None:
    time_s = np.arange(4 * rate) / rate
    audio = read_audio(float_wav(np.sin(2 * np.pi * 60 * time_s).astype(np.float32), rate))
    assert audio.samples.size == pytest.approx(4 * SAMPLE_RATE, abs=1)
    spectrum = np.abs(np.fft.rfft(audio.samples))
    tone = np.fft.rfftfreq(audio.samples.size, 1 / SAMPLE_RATE)[spectrum.argmax()]
    assert tone == pytest.approx(60, abs=0.5)


def test_channels_are_averaged() -> None:
    body = np.tile(np.array([[16_384, 0]], dtype="<i2"), (8_000, 1)).tobytes()
    assert read_audio(wav(body, channels=2)).samples.max() == pytest.approx(0.25)


def test_metadata_chunks_are_skipped() -> None:
    note = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    assert read_audio(wav(extra_chunks=note)).seconds == 4.0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a letter and no recording", "not_audio"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not_audio"),
        (bytes(1_000), "not_audio"),
        (b"RIFF\x00\x00", "not_audio"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(100), "unsupported"),
        (b"RF64" + bytes(100), "unsupported"),
        (wav(b""), "empty"),
        (wav(channels=0), "channels"),
        (wav(channels=65), "channels"),
        (wav(channels=9), "channels"),
        (wav(rate=1), "sample_rate"),
        (wav(rate=0), "sample_rate"),
        (wav(rate=499), "sample_rate"),
        (wav(rate=10_000_000), "sample_rate"),
        (wav(bits=12), "unsupported"),
        (wav(bits=64), "unsupported"),
        (wav(code=2), "unsupported"),
        (wav(code=0x55), "unsupported"),
        (wav(code=0xFFFE), "bad_header"),
        (wav(frame_bytes=7), "bad_header"),
        (wav(byte_rate=1), "bad_header"),
        (wav(bytes(16_001)), "bad_header"),
        (wav(data_size=2**31), "truncated"),
        (wav(data_size=16_002), "truncated"),
        (wav(riff_size=2**32 - 1), "truncated"),
        (wav(riff_size=100), "bad_header"),
        (wav(riff_size=0), "bad_header"),
        (wav()[:-2_000], "truncated"),
        (wav()[:30], "truncated"),
        (wav()[:12], "truncated"),
        (wav() + bytes(1_000), "bad_header"),
        (wav().replace(b"fmt ", b"tmf "), "bad_header"),
        (wav().replace(b"data", b"atad"), "truncated"),
        (float_wav(np.full(8_000, np.nan, np.float32)), "not_finite"),
        (float_wav(np.full(8_000, np.inf, np.float32)), "not_finite"),
        (float_wav(np.full(8_000, -np.inf, np.float32)), "not_finite"),
        (float_wav(np.full(8_000, 1e30, np.float32)), "not_finite"),
    ],
)
def test_refuses_with_a_stable_reason(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


def test_one_nan_among_good_samples_is_found() -> None:
    samples = heart(2_000).astype(np.float32)
    samples[-1] = np.nan
    assert reason_of(float_wav(samples)) is AudioReason.NOT_FINITE


def test_a_wav_of_no_known_subformat_is_unsupported() -> None:
    data = bytearray(encoded("WAVEX", "PCM_16"))
    data[50] ^= 0xFF
    assert reason_of(bytes(data)) is AudioReason.UNSUPPORTED


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [
        ("WAV", "PCM_16", 8_000),
        ("FLAC", "PCM_16", 8_000),
        ("OGG", "VORBIS", 8_000),
        ("OGG", "OPUS", 48_000),
        ("MP3", "MPEG_LAYER_III", 44_100),
    ],
)
def test_a_broken_off_upload_is_truncated(container: str, subtype: str, rate: int) -> None:
    data = encoded(container, subtype, rate=rate)
    assert reason_of(data[: len(data) * 2 // 3]) is AudioReason.TRUNCATED


def test_three_hours_are_refused_before_they_are_decoded() -> None:
    three_hours = wav(bytes(3 * 3_600 * 2_000), bits=8)
    start = time.perf_counter()
    assert reason_of(three_hours) is AudioReason.TOO_LONG
    assert time.perf_counter() - start < 0.1


def test_a_small_flac_of_three_hours_is_refused_by_its_header() -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(3 * 3_600 * 1_000, np.int16), 1_000, format="FLAC")
    assert reason_of(out.getvalue()) is AudioReason.TOO_LONG


def test_a_flac_that_hides_its_length_is_stopped_while_decoding() -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(3 * 3_600 * 1_000, np.int16), 1_000, format="FLAC")
    data = bytearray(out.getvalue())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # 0 samples: "unknown" in a FLAC header
    tracemalloc.start()
    assert reason_of(bytes(data)) in {AudioReason.TOO_LONG, AudioReason.EMPTY}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_exactly_two_minutes_are_read() -> None:
    audio = read_audio(wav(bytes(2 * 44_100 * 120), rate=44_100))
    assert audio.samples.size == 240_000


def test_touching_the_ceiling_is_measured_before_resampling() -> None:
    square = np.sign(np.sin(2 * np.pi * 50 * np.arange(32_000) / 8_000) + 1e-3)
    assert read_audio(float_wav(square.astype(np.float32), 8_000)).clipped > 0.99
    assert read_audio(encoded("WAV", "PCM_16")).clipped < 0.01
    assert read_audio(wav()).clipped == 0.0


def test_the_text_of_a_recording_says_nothing() -> None:
    assert repr(read_audio(wav())) == "Audio()"
    assert str(Audio(np.ones(3, np.float32), 1, 1.0, 0.0)) == "Audio()"


def test_a_float_file_at_integer_scale_is_read() -> None:
    samples = (heart(2_000) * 32_768).astype(np.float32)
    assert read_audio(wav(samples.astype("<f4").tobytes(), code=FLOAT, bits=32)).samples.size
