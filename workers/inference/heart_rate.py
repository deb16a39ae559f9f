"""Heart rate from how the loudness of a phonocardiogram repeats itself.

The envelope (magnitude of the analytic signal, 25 to 120 Hz) is compressed by a logarithm, so that
a loud beat or a knock weighs little, and correlated with itself, as in Schmidt et al. 2010
(Physiol. Meas. 31:513) and Springer et al. 2016 (IEEE TBME 63:822). Where those take one peak, a
beat must here also repeat after two and three beats, and a wide log-normal prior around 95 bpm
decides between a beat and its multiples: systole and half a beat look alike without it. Above
about 140 bpm systole and diastole are as long as each other, and half the rate may come out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 2_000
SLOWEST, FASTEST = 40.0, 200.0
"""bpm; what is looked for."""
_LOW, _HIGH = 25.0, 120.0
_ENVELOPE_RATE = 200
_PRIOR_BPM, _PRIOR_WIDTH = 95.0, 1.0
_SECOND, _THIRD = 1.0, 0.5
_SHORTEST, _LONGEST = 0.8, 1.25
"""Of the usual beat: how far a single stretch may deviate."""


def heart_rate_bpm(samples: npt.NDArray[np.float32]) -> float:
    """Beats a minute, 30..250, of a waveform at 2 kHz of at least 3 s, shape (n,).

    Says something for any sound: ask the quality gate first whether it is a heart. Raises
    ValueError for a shorter waveform.
    """
    if samples.size < 3 * SAMPLE_RATE:
        raise ValueError("a heart rate needs at least 3 s")
    envelope = _envelope(samples)
    rate = 60 * _ENVELOPE_RATE / _mean_beat(envelope, _usual_beat(envelope))
    return min(max(rate, 30.0), 250.0)


def _usual_beat(envelope: npt.NDArray[np.float64]) -> int:
    """The lag, in samples of the envelope, at which the whole recording repeats itself best."""
    repetition = _autocorrelation(envelope)
    lags = np.arange(round(60 * _ENVELOPE_RATE / FASTEST), round(60 * _ENVELOPE_RATE / SLOWEST) + 1)
    every = np.arange(repetition.size)
    evidence = (
        np.interp(lags, every, repetition)
        + _SECOND * np.interp(2 * lags, every, repetition)
        + _THIRD * np.interp(3 * lags, every, repetition)
    )
    rates = 60 * _ENVELOPE_RATE / lags
    scores = evidence - 0.5 * (np.log(rates / _PRIOR_BPM) / _PRIOR_WIDTH) ** 2
    return int(lags[np.argmax(scores)])


def _mean_beat(envelope: npt.NDArray[np.float64], usual: int) -> float:
    """The mean over short windows of the beat found near the usual one, in envelope samples.

    A heart that speeds up and slows down with breath repeats itself best at its steady stretches,
    which are not its mean. Windows weigh by how well they repeat.
    """
    width = min(envelope.size, max(2 * _ENVELOPE_RATE, round(1.7 * usual)))
    first, last = int(_SHORTEST * usual), min(int(np.ceil(_LONGEST * usual)), width - 3)
    total = weights = 0.0
    for start in range(0, envelope.size - width + 1, _ENVELOPE_RATE // 2):
        window = envelope[start : start + width]
        repetition = _autocorrelation(window - window.mean())[: last + 2]
        best = first + int(np.argmax(repetition[first : last + 1]))
        weight = max(float(repetition[best]), 1e-6)
        total += weight * (best + _parabola(repetition, best))
        weights += weight
    return total / weights


def _envelope(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Log envelope at 200 Hz less its mean over one second."""
    n = samples.size
    spectrum = np.fft.rfft(samples - samples.mean())
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    analytic = np.zeros(n, dtype=np.complex128)
    analytic[: spectrum.size] = spectrum * ((frequency >= _LOW) & (frequency <= _HIGH))
    magnitude = np.abs(np.fft.ifft(analytic))
    step = SAMPLE_RATE // _ENVELOPE_RATE
    coarse = magnitude[: n // step * step].reshape(-1, step).mean(axis=1)
    loud = np.log(coarse + 0.01 * np.percentile(coarse, 99) + 1e-12)
    half = _ENVELOPE_RATE // 2
    padded = np.pad(loud, (half, half), mode="reflect")
    total = np.cumsum(np.concatenate([[0.0], padded]))
    mean = (total[2 * half :] - total[: -2 * half]) / (2 * half)
    trendless: npt.NDArray[np.float64] = loud - mean[: loud.size]
    return trendless


def _autocorrelation(envelope: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 at lag 0; each lag divided by the number of samples that meet there."""
    n = envelope.size
    power = np.abs(np.fft.rfft(envelope, 2 * n)) ** 2
    raw = np.fft.irfft(power)[:n] / np.arange(n, 0, -1)
    scaled: npt.NDArray[np.float64] = raw / max(raw[0], 1e-12)
    return scaled


def _parabola(values: npt.NDArray[np.float64], at: int) -> float:
    """Where between neighbours the top lies, -0.5..0.5 steps from ``at``."""
    if not 0 < at < values.size - 1:
        return 0.0
    before, top, after = values[at - 1 : at + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
