"""Synthetic sounds: repeatable, in range, and of the energy that they claim."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from models import synthesis
from models.synthesis import phonocardiogram, wav_bytes


def test_the_same_seed_gives_the_same_sound_and_another_does_not() -> None:
    assert np.array_equal(phonocardiogram(75, seed=3), phonocardiogram(75, seed=3))
    assert not np.array_equal(phonocardiogram(75, seed=3), phonocardiogram(75, seed=4))


@pytest.mark.parametrize("rate", [2_000, 4_000, 44_100])
@pytest.mark.parametrize("bpm", [20, 75, 300])
def test_sounds_have_the_length_and_range_asked_for(bpm: float, rate: int) -> None:
    sound = phonocardiogram(bpm, murmur=0.5, seconds=5, sample_rate=rate)
    assert sound.shape == (5 * rate,)
    assert np.abs(sound).max() == pytest.approx(0.6)


def test_heart_sounds_are_low_and_murmurs_higher() -> None:
    def share_above(hertz: float, sound: synthesis.Signal) -> float:
        power = np.abs(np.fft.rfft(sound)) ** 2
        return float(power[np.fft.rfftfreq(sound.size, 1 / 4_000) > hertz].sum() / power.sum())

    assert share_above(150, phonocardiogram(75)) < 0.02
    assert share_above(150, phonocardiogram(75, murmur=0.3)) > 0.05


@pytest.mark.parametrize(("bpm", "seconds"), [(19, 5), (301, 5), (75, 0), (75, 601)])
def test_impossible_hearts_are_refused(bpm: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="heart rate"):
        phonocardiogram(bpm, seconds=seconds)


def test_wav_bytes_are_a_wav_file() -> None:
    sound = phonocardiogram(75, seconds=2)
    samples, rate = soundfile.read(io.BytesIO(wav_bytes(sound)))
    assert rate == synthesis.DEFAULT_RATE
    assert np.abs(samples - sound).max() < 1e-4


def test_what_lies_outside_the_range_is_cut() -> None:
    samples, _ = soundfile.read(io.BytesIO(wav_bytes(np.array([-7.0, 0.0, 7.0]))))
    assert samples == pytest.approx([-1, 0, 1], abs=1e-4)
