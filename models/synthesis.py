"""Synthetic phonocardiograms and sounds that are none, for the demonstration and the tests.

Never used in training: the models hear these as they would a stranger's recording. S1 and S2 are
short bursts of damped tones around 45 and 60 Hz over a stethoscope's band, S2 a little shorter and
higher, the systole 0.3 to 0.5 of the beat as in Schmidt et al. 2010 (Physiol. Meas. 31:513); a
systolic murmur is band noise between them, diamond-shaped as in aortic stenosis. NumPy only.
"""

from __future__ import annotations

import io
import wave

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]
"""Samples in -1..1, shape (n,)."""

DEFAULT_RATE = 4_000


def phonocardiogram(
    heart_rate_bpm: float = 75.0,
    *,
    murmur: float = 0.0,
    noise: float = 0.02,
    seconds: float = 12.0,
    sample_rate: int = DEFAULT_RATE,
    seed: int = 0,
) -> Signal:
    """A heart beating at ``heart_rate_bpm`` (20..300).

    ``murmur``: RMS of the systolic murmur at its loudest, relative to the peak of S1; 0 is none,
    0.3 is loud. ``noise``: RMS of the background, relative to the peak of S1. Same ``seed``, same
    sound. Raises ValueError for a heart rate or duration out of range.
    """
    if not 20 <= heart_rate_bpm <= 300 or not 0 < seconds <= 600:
        raise ValueError("heart rate must be 20..300 bpm and the duration up to 600 s")
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * sample_rate))
    beat = 60.0 / heart_rate_bpm
    systole = 0.21 + 0.12 * beat
    murmur_noise = _band_noise(rng, sound.size, sample_rate, 90.0, 450.0, slope=1.5)
    onset = rng.uniform(-beat, 0.0)
    while onset < seconds:
        loudness = rng.normal(1.0, 0.06)
        _add(sound, onset, sample_rate, _burst(rng, sample_rate, 0.12, 32.0, 75.0), loudness)
        second = onset + systole + rng.normal(0.0, 0.004)
        burst = _burst(rng, sample_rate, 0.09, 40.0, 100.0)
        _add(sound, second, sample_rate, burst, 0.7 * loudness)
        if murmur > 0:
            begin, end = onset + 0.06, second - 0.005
            span = np.arange(max(0, round((end - begin) * sample_rate)))
            shape = np.sin(np.pi * (span + 0.5) / max(1, span.size))
            first = round(begin * sample_rate)
            inside = (first + span >= 0) & (first + span < sound.size)
            where = first + span[inside]
            sound[where] += murmur * loudness * shape[inside] * murmur_noise[where]
        onset += beat * rng.normal(1.0, 0.015)
    sound += noise * _band_noise(rng, sound.size, sample_rate, 15.0, 900.0, slope=1.5)
    return _to_peak(sound, 0.6)


def _burst(
    rng: np.random.Generator, sample_rate: int, length: float, low: float, high: float
) -> Signal:
    """Three damped tones between two frequencies, rising fast and dying away; peak 1."""
    time = np.arange(round(length * sample_rate)) / sample_rate
    tones = sum(
        np.sin(2 * np.pi * (tone * time + rng.uniform(0, 0.15))) * tone**-0.5
        for tone in np.linspace(low, high, 3) * rng.normal(1.0, 0.03, 3)
    )
    shape = np.sin(np.pi * np.minimum(time / 0.03, 0.5)) * np.exp(-time / (length / 3.5))
    burst: Signal = tones * shape * np.minimum(1.0, (length - time) / 0.02)
    return _to_peak(burst, 1.0)


def _to_peak(sound: Signal, peak: float) -> Signal:
    return np.asarray(sound * (peak / np.abs(sound).max()))


def _add(sound: Signal, at: float, sample_rate: int, piece: Signal, gain: float) -> None:
    """Adds ``piece`` at ``at`` seconds, as far as it lies inside."""
    start = round(at * sample_rate)
    first, last = max(0, -start), min(piece.size, sound.size - start)
    if first < last:
        sound[start + first : start + last] += gain * piece[first:last]


def _band_noise(
    rng: np.random.Generator, n: int, sample_rate: int, low: float, high: float, slope: float
) -> Signal:
    """Noise of RMS 1 between two frequencies, its power falling with frequency ** slope."""
    frequency = np.fft.rfftfreq(n, 1 / sample_rate)
    shape = np.maximum(frequency, low) ** (-slope / 2)
    shape /= (1 + (low / np.maximum(frequency, 1e-3)) ** 6) * (1 + (frequency / high) ** 6)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * shape, n)
    return np.asarray(noise / noise.std())


def silence(seconds: float = 10.0, sample_rate: int = DEFAULT_RATE) -> Signal:
    """Digital silence."""
    return np.zeros(round(seconds * sample_rate))


def white_noise(seconds: float = 10.0, sample_rate: int = DEFAULT_RATE, seed: int = 0) -> Signal:
    """Gaussian noise of equal power at all frequencies, RMS 0.1."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * sample_rate))


def coloured_noise(
    slope: float, seconds: float = 10.0, sample_rate: int = DEFAULT_RATE, seed: int = 0
) -> Signal:
    """Pink (``slope`` 1) or brown (2) noise from 5 Hz up, RMS 0.1."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sample_rate)
    return 0.1 * _band_noise(rng, n, sample_rate, 5.0, sample_rate, slope)


def mains_hum(
    mains_hz: float = 50.0, seconds: float = 10.0, sample_rate: int = DEFAULT_RATE, seed: int = 0
) -> Signal:
    """Mains frequency with odd and even harmonics over a little hiss, peak about 0.3."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    hum = 0.002 * rng.standard_normal(time.size)
    for harmonic, level in ((1, 0.2), (2, 0.06), (3, 0.08), (5, 0.03), (7, 0.015)):
        hum += level * np.sin(2 * np.pi * (mains_hz * harmonic * time + rng.random()))
    return hum


def speech_like(seconds: float = 10.0, sample_rate: int = DEFAULT_RATE, seed: int = 0) -> Signal:
    """Voice without words: a wandering pitch through two formants, four syllables a second."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sample_rate)
    time = np.arange(n) / sample_rate
    turns = rng.normal(0, 12, int(seconds * 4) + 4)
    wander = np.interp(time, np.arange(0, seconds + 1, 0.25), turns)
    phase = 2 * np.pi * np.cumsum(130.0 + wander) / sample_rate
    voice = np.zeros(n)
    for harmonic in range(1, int(0.45 * sample_rate / 150)):
        tone = harmonic * 130.0
        gain = np.exp(-(((tone - 500) / 200) ** 2)) + 0.6 * np.exp(-(((tone - 1_500) / 300) ** 2))
        voice += (gain + 0.03) * np.sin(harmonic * phase)
    syllables = np.maximum(0.0, np.sin(2 * np.pi * 2.0 * time + 0.8 * np.sin(1.7 * time))) ** 0.7
    syllables += np.maximum(0.0, -np.sin(2 * np.pi * 2.0 * time)) ** 0.7
    hiss = 0.05 * rng.standard_normal(n)
    return _to_peak((voice + hiss) * syllables, 0.5)


def clipped_square_wave(
    frequency_hz: float = 100.0, seconds: float = 10.0, sample_rate: int = DEFAULT_RATE
) -> Signal:
    """A sine amplified fifty times and cut at full scale."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return np.clip(50.0 * np.sin(2 * np.pi * frequency_hz * time), -1.0, 1.0)


def wav_bytes(signal: Signal, sample_rate: int = DEFAULT_RATE) -> bytes:
    """A mono 16-bit WAV file of samples in -1..1; what lies outside is cut."""
    samples = np.rint(np.clip(signal, -1.0, 1.0) * 32_767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())
    return out.getvalue()
