"""Beats a minute: known synthetic rates, and the annotated real ones."""

from __future__ import annotations

import numpy as np
import pytest

from models.synthesis import phonocardiogram
from tests.inference.recordings import needs_recordings, sample
from workers.inference.audio import read_audio
from workers.inference.heart_rate import heart_rate_bpm


@pytest.mark.parametrize("bpm", [45, 60, 75, 90, 105, 120])
@pytest.mark.parametrize("murmur", [0.0, 0.3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_finds_the_rate_of_a_synthetic_heart(bpm: float, murmur: float, seed: int) -> None:
    sound = phonocardiogram(bpm, murmur=murmur, sample_rate=2_000, seed=seed).astype(np.float32)
    assert heart_rate_bpm(sound) == pytest.approx(bpm, abs=3)


def test_loudness_does_not_matter() -> None:
    sound = phonocardiogram(80, sample_rate=2_000).astype(np.float32)
    assert heart_rate_bpm(sound * np.float32(1e-3)) == pytest.approx(heart_rate_bpm(sound), abs=0.1)


@pytest.mark.parametrize("sound", [np.zeros(6_000), np.ones(6_000), np.eye(1, 6_000)[0]])
def test_says_something_possible_for_anything(sound: np.ndarray) -> None:
    assert 30 <= heart_rate_bpm(sound.astype(np.float32)) <= 250


def test_refuses_less_than_three_seconds() -> None:
    with pytest.raises(ValueError, match="3 s"):
        heart_rate_bpm(np.zeros(5_999, np.float32))


@needs_recordings
def test_most_annotated_rates_are_found_within_five_bpm() -> None:
    gaps = [
        abs(heart_rate_bpm(read_audio(data).samples) - recording.heart_rate_bpm)
        for recording, data in sample(6, dataset="circor")
        if recording.heart_rate_bpm is not None
    ]
    assert len(gaps) > 150
    assert np.mean(np.array(gaps) <= 5) >= 0.88
    assert np.median(gaps) <= 1.5
