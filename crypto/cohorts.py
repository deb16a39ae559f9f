"""A cohort: one sum over many patients' month, opened once, under noise if the servers say so.

The two findings stand where those of any tally stand; there is one cell. Under noise each server
adds a full share of its own, so that whoever knows one server's share still faces the other's.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from crypto.encoding import json_bytes, sha256_hex
from crypto.errors import OpeningMismatch, PlaintextOutOfRange
from crypto.noise import discrete_laplace
from crypto.opening import blind_single, recover_counts, unblinded
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import KERNEL, RandomSource
from crypto.slots import COUNT_SLOT_BITS, Counts, rate_count_offset

MAX_ROSTER = 2_000
"""Patients of one roster."""

MAX_COHORT_RECORDINGS = 1 << 22
"""Recordings of one opening: a slot holds one a recording, the offset and the noise."""

MAX_EPSILON = 100_000
"""Largest epsilon in thousandths; beyond it there is nothing left to protect."""

NOISE_OFFSET = 1 << 22
"""Added to each slot under noise, so that a negative sum borrows nothing from the slot above."""

_NOISE_LIMIT = NOISE_OFFSET // 2
"""Of one server's share: what the offset covers if both draw it."""

Members = Sequence[tuple[str, Sequence[tuple[str, int]]]]
"""Pseudonyms in their order, each with its days, in their order, and the recordings of a day."""


@dataclass(frozen=True)
class CohortTerms:
    """How much one patient's month may show in an opened cohort.

    Attributes:
        epsilon: of differential privacy for all of one patient's outcomes in a month, both
            findings together, in thousandths. 0: no noise.
        cap: a patient with more recordings than this in the month is left out of a cohort under
            noise, so that nobody changes a sum by more than the noise covers. 0 without noise.
    """

    epsilon: int
    cap: int

    @classmethod
    def of(cls, epsilon: int, cap: int) -> "CohortTerms":
        """The terms of two settings: without noise the cap means nothing."""
        return cls(epsilon, cap if epsilon else 0)

    def admits(self, recordings: int) -> bool:
        """Whether a patient with so many recordings in the month is in the batch."""
        return recordings > 0 and (not self.epsilon or recordings <= self.cap)

    @property
    def margin(self) -> int:
        """How far the noise of both servers moves each count, 19 times of 20.

        The sum of two draws of scale b stays within 4.12 b: (1 + x / 2b) e^(-x/b) = 0.05 there.
        """
        return math.ceil(Fraction(412, 100) * self._scale) if self.epsilon else 0

    @property
    def _scale(self) -> Fraction:
        return self.cap / Fraction(self.epsilon, 2 * 1000)

    def noise(self, random: RandomSource) -> tuple[int, int]:
        """One server's share for the sound and the rate count; zeros without noise.

        Half of epsilon goes to each finding. One patient changes each count by at most `cap`.
        """
        if not self.epsilon:
            return 0, 0
        return _limited(self._scale, random), _limited(self._scale, random)


def _limited(scale: Fraction, random: RandomSource) -> int:
    """Raises PlaintextOutOfRange where the terms ask for more noise than a slot has room for.

    With the terms that `config` accepts a share beyond the limit has probability below 2^-80.
    """
    share = discrete_laplace(scale, random)
    if abs(share) >= _NOISE_LIMIT:
        raise PlaintextOutOfRange("noise beyond its slot: epsilon is too small for this cap")
    return share


@dataclass(frozen=True, repr=False)
class CohortCounts:
    """The two sums of an opened cohort; under noise they may lie below 0, or too high."""

    sound: int
    rate: int

    def __repr__(self) -> str:
        return "CohortCounts"


def members_hash(members: Members) -> str:
    """What a statement says of who is in it: SHA-256 of [[pseudonym, [[day, n], ...]], ...]."""
    plain = [[pseudonym, [[day, n] for day, n in days]] for pseudonym, days in members]
    return sha256_hex(json_bytes(plain))


def recordings_of(members: Members) -> int:
    """How many recordings a cohort holds."""
    return sum(n for _, days in members for _, n in days)


def blind_cohort(
    key: PublicKey,
    tallies: Iterable[Ciphertext],
    terms: CohortTerms,
    noise: RandomSource,
    random: RandomSource = KERNEL,
) -> tuple[Ciphertext, bytes]:
    """A's C' and rho: the sum of the members' tallies, A's share of the noise and the offset.

    Args:
        noise: where A's share comes from; the same for every statement about one roster.

    Raises:
        ForeignKey: a tally under another key.
        PlaintextOutOfRange: see `CohortTerms.noise`.
    """
    total = key.constant(0)
    for tally in tallies:
        total = total.add(tally)
    if terms.epsilon:
        sound, rate = terms.noise(noise)
        total = total.add_constant(packed(key, NOISE_OFFSET + sound, NOISE_OFFSET + rate))
    return blind_single(key, total, random)


def packed(key: PublicKey, sound: int, rate: int) -> int:
    """Two numbers, which may be negative, where the counts of a single cell stand, mod n."""
    return (sound + (rate << rate_count_offset(key.bits))) % key.n


def recover_cohort(
    value: bytes, blind: bytes, key: PublicKey, recordings: int, terms: CohortTerms
) -> CohortCounts:
    """The sums, for the collector: B's value and A's rho, unsealed.

    Raises:
        InvalidEncoding: a number of the wrong width, or not below n.
        OpeningMismatch: it cannot be what these recordings and this noise add up to.
    """
    if not terms.epsilon:
        [counts] = recover_counts(value, blind, key, [recordings])
        return CohortCounts(counts.sound, counts.rate)
    number = unblinded(value, blind, key)
    offset = rate_count_offset(key.bits)
    slots = Counts(sound=number & ((1 << offset) - 1), rate=number >> offset)
    for slot in (slots.sound, slots.rate):
        if slot >> COUNT_SLOT_BITS or slot > recordings + 2 * NOISE_OFFSET:
            raise OpeningMismatch("more than counts and noise add up to: do not trust it")
    return CohortCounts(slots.sound - NOISE_OFFSET, slots.rate - NOISE_OFFSET)
