"""The features inside the exported graphs are librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import numpy.typing as npt
import pytest

from models.registry import load_models
from models.synthesis import coloured_noise, mains_hum, phonocardiogram, white_noise
from tests.inference.recordings import needs_recordings, sample
from workers.inference.audio import read_audio

NETWORKS = [load_models().gate, *load_models().classifiers]


def by_librosa(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    centred = samples.astype(np.float64) - samples.astype(np.float64).mean()
    power = librosa.feature.melspectrogram(
        y=centred / np.sqrt(np.mean(centred**2)),
        sr=2_000,
        n_fft=160,
        hop_length=40,
        center=False,
        n_mels=48,
        fmin=20.0,
        fmax=900.0,
    )
    decibels: npt.NDArray[np.float64] = librosa.power_to_db(power, ref=1.0, amin=1e-5, top_db=None)
    return decibels


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
@pytest.mark.parametrize(
    "sound",
    [
        phonocardiogram(75, murmur=0.2, sample_rate=2_000),
        white_noise(sample_rate=2_000),
        coloured_noise(2.0, seconds=3.0, sample_rate=2_000),
        mains_hum(sample_rate=2_000) * 1e-3 + 0.2,
        phonocardiogram(75, seconds=120, sample_rate=2_000),
    ],
    ids=["heart", "white", "brown", "hum with offset", "120 s"],
)
def test_log_mel_equals_librosa(network: object, sound: npt.NDArray[np.float64]) -> None:
    samples = sound.astype(np.float32)
    features = network.log_mel(samples)  # type: ignore[attr-defined]
    wanted = by_librosa(samples)
    assert features.shape == wanted.shape
    assert np.abs(features - wanted).max() < 1e-3


@needs_recordings
def test_log_mel_of_real_recordings_equals_librosa() -> None:
    for _, data in sample(60):
        samples = read_audio(data).samples
        if samples.size >= 6_000:
            features = NETWORKS[0].log_mel(samples)
            assert np.abs(features - by_librosa(samples)).max() < 1e-3
