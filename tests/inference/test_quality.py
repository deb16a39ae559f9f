"""The gate: what is no heart is refused, what is one is let through."""

from __future__ import annotations

import numpy as np
import pytest

from models import synthesis
from models.registry import Models, load_models
from models.synthesis import Signal, phonocardiogram, wav_bytes
from tests.inference.files import float_wav
from tests.inference.recordings import needs_recordings, sample
from workers.inference.audio import read_audio
from workers.inference.quality import UnreadableReason, unreadable_reason


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models()


def verdict(models: Models, sound: Signal, rate: int = synthesis.DEFAULT_RATE) -> str | None:
    return unreadable_reason(read_audio(wav_bytes(sound, rate)), models)


@pytest.mark.parametrize("rate", [2_000, 4_000, 8_000, 44_100])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sounds_that_are_no_heart_are_noise(models: Models, rate: int, seed: int) -> None:
    common = {"sample_rate": rate, "seed": seed}
    assert verdict(models, synthesis.white_noise(**common), rate) == "noise"
    assert verdict(models, synthesis.coloured_noise(1.0, **common), rate) == "noise"
    assert verdict(models, synthesis.coloured_noise(2.0, **common), rate) == "noise"
    assert verdict(models, synthesis.mains_hum(50.0, **common), rate) == "noise"
    assert verdict(models, synthesis.mains_hum(60.0, **common), rate) == "noise"
    assert verdict(models, synthesis.speech_like(**common), rate) == "noise"


@pytest.mark.parametrize("seconds", [3.0, 5.0, 30.0])
def test_noise_is_noise_at_any_length(models: Models, seconds: float) -> None:
    assert verdict(models, synthesis.white_noise(seconds)) == "noise"
    assert verdict(models, synthesis.mains_hum(50.0, seconds)) == "noise"
    assert verdict(models, synthesis.speech_like(seconds)) == "noise"


@pytest.mark.parametrize("level", [1e-3, 0.01, 1.0])
def test_noise_is_noise_at_any_loudness(models: Models, level: float) -> None:
    faint = (level * 10 * synthesis.white_noise()).astype(np.float32)
    assert unreadable_reason(read_audio(float_wav(faint, 4_000)), models) == "noise"


@pytest.mark.parametrize("frequency", [1.2, 50.0, 100.0, 440.0])
def test_a_clipped_square_wave_is_unreadable(models: Models, frequency: float) -> None:
    assert verdict(models, synthesis.clipped_square_wave(frequency)) in {"clipped", "silent"}


@pytest.mark.parametrize("gain", [10.0, 30.0, 100.0])
def test_a_heart_cut_hard_at_full_scale_is_clipped(models: Models, gain: float) -> None:
    assert verdict(models, gain * phonocardiogram(75)) == "clipped"


@pytest.mark.parametrize("seconds", [0.0005, 0.5, 2.9])
def test_less_than_three_seconds_are_too_short(models: Models, seconds: float) -> None:
    assert verdict(models, phonocardiogram(75, seconds=seconds)) == "too_short"


def test_silence_is_silent_with_and_without_dither(models: Models) -> None:
    dither = np.random.default_rng(0).uniform(-1.5, 1.5, 40_000) / 32_768
    assert verdict(models, synthesis.silence()) == "silent"
    assert verdict(models, dither) == "silent"
    assert verdict(models, dither + 0.3) == "silent", "a constant offset is no sound"


def test_a_recording_mostly_of_silence_is_silent(models: Models) -> None:
    sound = np.concatenate([phonocardiogram(75, seconds=4), np.zeros(8 * 4_000)])
    assert verdict(models, sound) == "silent"


@pytest.mark.parametrize("bpm", [60, 75, 90, 120])
@pytest.mark.parametrize("murmur", [0.0, 0.15, 0.3, 0.5])
@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
def test_synthetic_hearts_are_readable(
    models: Models, bpm: float, murmur: float, noise: float
) -> None:
    assert verdict(models, phonocardiogram(bpm, murmur=murmur, noise=noise, seed=5)) is None


@needs_recordings
def test_real_recordings_are_seldom_refused(models: Models) -> None:
    audios = [read_audio(data) for r, data in sample(25) if r.label != "artifact"]
    reasons = [unreadable_reason(audio, models) for audio in audios if audio.seconds >= 3]
    assert len(reasons) > 130
    assert sum(reason is not None for reason in reasons) <= 0.03 * len(reasons)


def test_reasons_are_stable() -> None:
    assert [reason.value for reason in UnreadableReason] == [
        "too_short",
        "silent",
        "clipped",
        "noise",
    ]
