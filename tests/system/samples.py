"""Recordings whose outcome is known beforehand: judged here by the same Judge, in the clear.

Only three kinds of counted recordings are used, with the bits (sound, rate) = (1, 1), (1, 0) and
(0, 1). The three sums recordings, sound and rate then determine how often each kind was counted: a
loss here and a double count there cannot make up for each other unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from crypto.findings import DEFAULT_RATE_RANGES, AgeBand
from crypto.slots import OPERATING_POINT
from models.synthesis import phonocardiogram, silence, wav_bytes, white_noise
from workers.inference.audio import AudioError
from workers.inference.judge import Judge, Unreadable

BOTH, SOUND_ONLY, RATE_ONLY = (1, 1), (1, 0), (0, 1)
SEEDS = range(40)


@dataclass(frozen=True)
class Sample:
    """A recording's bytes and how it must end; `bits` only if it is to be counted."""

    data: bytes
    state: str
    reason: str | None = None
    bits: tuple[int, int] | None = None


@cache
def counted(bits: tuple[int, int], number: int) -> Sample:
    """The `number`-th recording that is counted with these bits by an adult's defaults."""
    sound, rate = bits
    found = 0
    for seed in SEEDS:
        made = sample(
            wav_bytes(
                phonocardiogram(
                    130 if rate else 75, murmur=0.35 if sound else 0.0, seconds=6, seed=seed
                )
            )
        )
        if made.bits == bits:
            if found == number:
                return made
            found += 1
    raise LookupError(f"no {number}-th recording with the bits {bits} among {len(SEEDS)}")


@cache
def unreadable() -> Sample:
    return sample(wav_bytes(silence(6)))


@cache
def noise() -> Sample:
    return sample(wav_bytes(white_noise(6)))


@cache
def broken() -> Sample:
    """Begins like a WAV file and is none."""
    return sample(b"RIFF\x24\x00\x00\x00WAVEnot a recording at all, only a few bytes")


@cache
def sample(data: bytes) -> Sample:
    """What becomes of these bytes."""
    try:
        judged = _judge().judge(data)
    except AudioError as error:
        return Sample(data, "failed", error.reason.value)
    if isinstance(judged, Unreadable):
        return Sample(data, "unreadable", judged.reason.value)
    lo, hi = DEFAULT_RATE_RANGES[AgeBand.ADULT]
    rate = int(not lo <= judged.heart_rate_tenths <= hi)
    return Sample(data, "counted", None, (int(judged.sound >= OPERATING_POINT), rate))


@cache
def _judge() -> Judge:
    return Judge.load()
