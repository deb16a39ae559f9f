"""Random sounds that are no heart: what the gate learns to refuse. Training only.

Drawn far more widely than the few fixed sounds of ``models.synthesis``, which serve as tests and
share no code with these, so that the tests say something about the gate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]
RATE = 2_000
SECONDS = 8


def _coloured(rng: np.random.Generator, slope: float, low: float, high: float) -> Signal:
    """Noise whose power falls with frequency ** slope, between two frequencies in Hz."""
    n = RATE * SECONDS
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    shape = np.maximum(frequency, 5.0) ** (-slope / 2)
    edge = 1 / (1 + np.exp(-(frequency - low) / 4)) / (1 + np.exp((frequency - high) / 10))
    return np.asarray(np.fft.irfft(spectrum * shape * edge, n))


def _smooth(rng: np.random.Generator, rate_hz: float) -> Signal:
    """A slowly wandering positive curve with about ``rate_hz`` turns a second, mean about 1."""
    wave = np.fft.rfft(rng.standard_normal(RATE * SECONDS))
    frequency = np.fft.rfftfreq(RATE * SECONDS, 1 / RATE)
    wave *= np.exp(-0.5 * (frequency / rate_hz) ** 2)
    curve = np.fft.irfft(wave, RATE * SECONDS)
    return np.asarray(np.exp(rng.uniform(0.3, 1.5) * curve / curve.std()))


def _noise(rng: np.random.Generator) -> Signal:
    low, high = rng.uniform(0, 150), rng.uniform(200, 1_200)
    sound = _coloured(rng, rng.uniform(-0.5, 3.0), low, high)
    return sound * _smooth(rng, rng.uniform(0.1, 1.0)) if rng.random() < 0.3 else sound


def _steady(rng: np.random.Generator) -> Signal:
    """White to brown noise over the whole band, as an amplifier or an open microphone gives."""
    low = rng.choice([2.0, 5.0, 20.0])
    return _coloured(rng, rng.uniform(-0.3, 2.5), low, rng.choice([900.0, 1_500.0]))


def _hum(rng: np.random.Generator) -> Signal:
    time = np.arange(RATE * SECONDS) / RATE
    base = rng.choice([50.0, 60.0, rng.uniform(25, 300)]) * rng.uniform(0.995, 1.005)
    sound = np.zeros_like(time)
    for harmonic in range(1, int(rng.integers(2, 12))):
        if base * harmonic < 950:
            level = rng.uniform(0.0, 1) ** 2 / harmonic ** rng.uniform(0, 2)
            sound += level * np.sin(2 * np.pi * (base * harmonic * time + rng.random()))
    hiss = _coloured(rng, rng.uniform(0, 2), 5, 1_000)
    scaled: Signal = sound / sound.std()
    return np.asarray(scaled + 10 ** rng.uniform(-4, -0.3) * hiss / hiss.std())


def _speech(rng: np.random.Generator) -> Signal:
    """Voiced and unvoiced syllables, three to six a second, with pauses between phrases."""
    sound = np.zeros(RATE * SECONDS)
    pitch = rng.uniform(80, 300)
    at = 0.0
    while at < SECONDS - 0.6:
        length = rng.uniform(0.08, 0.35)
        n = int(length * RATE)
        time = np.arange(n) / RATE
        if rng.random() < 0.75:
            glide = pitch * rng.uniform(0.8, 1.3) * (1 + rng.uniform(-0.3, 0.3) * time / length)
            phase = 2 * np.pi * np.cumsum(glide) / RATE
            formants = np.array([rng.uniform(250, 850), rng.uniform(700, 2_000)])
            piece = np.zeros(n)
            for harmonic in range(1, 13):
                tone = harmonic * glide.mean()
                if tone < 950:
                    gain = np.exp(-0.5 * ((tone - formants) / 150) ** 2).sum() + 0.1
                    piece += gain * np.sin(harmonic * phase)
        else:
            piece = rng.standard_normal(n) * rng.uniform(0.1, 0.5)
        begin = int(at * RATE)
        sound[begin : begin + n] += piece * np.hanning(n) * rng.uniform(0.3, 1)
        at += length * rng.uniform(0.7, 1.2) + (rng.uniform(0.2, 1.0) if rng.random() < 0.15 else 0)
    return sound + rng.uniform(0, 0.05) * rng.standard_normal(sound.size)


def _carrier(rng: np.random.Generator) -> Signal:
    """Noise or harmonic tones that, unlike a heart, do not keep to the lowest frequencies."""
    if rng.random() < 0.5:
        low = rng.choice([0.0, rng.uniform(40, 400)])
        return _coloured(rng, rng.uniform(-0.3, 1.5), low, low + rng.uniform(300, 1_500))
    time = np.arange(RATE * SECONDS) / RATE
    sound = 10 ** rng.uniform(-4, -1) * rng.standard_normal(time.size)
    fall = rng.uniform(0, 1.5)
    for tone in rng.uniform(90, 400, int(rng.integers(1, 4))):
        for harmonic in range(1, int(rng.integers(2, 9))):
            if tone * harmonic < 950:
                phase = 2 * np.pi * (tone * harmonic * time + rng.random())
                sound += harmonic**-fall * np.sin(phase)
    return np.asarray(sound)


def _modulated(rng: np.random.Generator) -> Signal:
    """What comes and goes regularly: a fan, an alarm, a saw, a crude test of speech."""
    time = np.arange(RATE * SECONDS) / RATE
    drift = 1 + rng.uniform(0, 0.1) * np.log(_smooth(rng, 0.5))
    turn = np.cumsum(rng.uniform(0.5, 8) * drift) / RATE + rng.random()
    kind = rng.integers(4)
    if kind == 0:
        swing = 1 + rng.uniform(0.5, 1) * np.sin(2 * np.pi * turn)
    elif kind == 1:
        swing = np.maximum(np.sin(2 * np.pi * turn), 0) ** rng.uniform(0.5, 3)
    elif kind == 2:
        swing = (turn % 1 < rng.uniform(0.2, 0.8)).astype(np.float64)
    else:
        swing = np.exp(-(turn % 1) * rng.uniform(1, 10))
    hiss = rng.choice([0.0, 10 ** rng.uniform(-4, -1)]) * rng.standard_normal(time.size)
    carried = _carrier(rng)
    return np.asarray(carried / carried.std() * swing + hiss)


def _music(rng: np.random.Generator) -> Signal:
    sound = np.zeros(RATE * SECONDS)
    beat = rng.uniform(0.15, 0.8)
    scale = rng.uniform(60, 300) * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 16, 19]) / 12)
    for begin in np.arange(0, SECONDS - 0.9, beat):
        n = int(rng.uniform(0.5, 2) * beat * RATE)
        start = int(begin * RATE)
        n = min(n, sound.size - start)
        time = np.arange(n) / RATE
        for note in rng.choice(scale, int(rng.integers(1, 4))):
            for harmonic in range(1, 5):
                if note * harmonic < 950:
                    tone = np.sin(2 * np.pi * note * harmonic * time) / harmonic
                    sound[start : start + n] += tone * np.exp(-time * rng.uniform(0.5, 8))
    return sound + rng.uniform(0, 0.02) * rng.standard_normal(sound.size)


def _knocks(rng: np.random.Generator) -> Signal:
    """Irregular knocks and rubbing over room noise."""
    hiss = _coloured(rng, rng.uniform(0, 2), 10, 1_000)
    sound: Signal = rng.uniform(0.01, 0.2) * hiss / hiss.std()
    for _ in range(int(rng.integers(3, 25))):
        n = int(rng.uniform(0.01, 0.4) * RATE)
        start = int(rng.integers(0, sound.size - n))
        time = np.arange(n) / RATE
        tone = np.sin(2 * np.pi * rng.uniform(40, 600) * time) * rng.uniform(0, 1)
        burst = tone + rng.standard_normal(n) * rng.uniform(0.1, 1)
        sound[start : start + n] += burst * np.exp(-time * rng.uniform(5, 80)) * rng.uniform(0.3, 3)
    return sound


def _sweep(rng: np.random.Generator) -> Signal:
    tone = np.cumsum(rng.uniform(60, 800) * _smooth(rng, rng.uniform(0.05, 0.5)))
    sound = np.sin(2 * np.pi * tone / RATE)
    return np.asarray(np.sign(sound) if rng.random() < 0.3 else sound)


def _square(rng: np.random.Generator) -> Signal:
    time = np.arange(RATE * SECONDS) / RATE
    wave = np.sin(2 * np.pi * rng.uniform(0.8, 200) * time)
    clipped: Signal = np.clip(wave * rng.uniform(2, 100), -1, 1)
    return clipped + 0.01 * rng.standard_normal(time.size)


KINDS: tuple[Callable[[np.random.Generator], Signal], ...] = (
    _steady, _steady, _noise, _hum, _hum, _speech, _speech, _music, _knocks, _sweep, _square,
    _modulated, _modulated, _modulated, _modulated,
)  # fmt: skip


def draw(count: int, seed: int) -> list[npt.NDArray[np.float32]]:
    """``count`` sounds of 8 s at 2 kHz, the kinds in turn; the same ``seed`` gives the same."""
    rng = np.random.default_rng(seed)
    return [KINDS[i % len(KINDS)](rng).astype(np.float32) for i in range(count)]
