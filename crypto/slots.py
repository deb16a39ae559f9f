"""How several small numbers share one plaintext (docs/protocol.md, section 2)."""

from collections.abc import Iterable
from dataclasses import dataclass

from crypto.errors import PlaintextOutOfRange

ZONES = 3
"""Comparisons of a recording, each in a zone of its own: sound, rate and rate once more."""

SCORE_BITS = 16
"""l: scores, rates and thresholds are integers in [0, 2^l)."""

SIGMA = 64
"""Statistical security of a masked difference: it is uniform but for 2^-sigma."""

COMPARISON_SLOT_BITS = SCORE_BITS + SIGMA + 2
"""Room for z + r with z < 2^(l+1) and r < 2^(l+1+sigma)."""

COUNT_SLOT_BITS = 24
"""One finding of one cell of an opening: room for 16,777,215 recordings."""

OPERATING_POINT = 32_768
"""The rescaled score from which a recording sounds abnormal, unless a doctor set a threshold."""


@dataclass(frozen=True, repr=False)
class Counts:
    """How many recordings of a cell were abnormal by sound and by heart rate. A secret.

    A recording adds 0 or 1 to each: no range with lo > hi is ever in force.
    """

    sound: int
    rate: int

    def __repr__(self) -> str:
        return "Counts"


def max_cells(bits: int) -> int:
    """How many cells fit in one opening under a modulus of that many bits (63 at 3072)."""
    return (bits - 2) // (2 * COUNT_SLOT_BITS)


def rate_count_offset(bits: int) -> int:
    """R: the bit where the rate counts begin, above all sound counts (1512 at 3072).

    A tally has its sound count at bit 0 and its rate count at bit R; cell k of an opening is
    shifted by `COUNT_SLOT_BITS` k.
    """
    return COUNT_SLOT_BITS * max_cells(bits)


def recordings_per_plaintext(bits: int, slot_bits: int = COMPARISON_SLOT_BITS) -> int:
    """How many recordings, of one slot in each zone, fit in one plaintext (12 at 3072 bits).

    Raises PlaintextOutOfRange if not even one fits.
    """
    recordings = (bits - 2) // (ZONES * slot_bits)
    if recordings < 1:
        raise PlaintextOutOfRange(f"a recording needs a modulus of {ZONES * slot_bits + 2} bits")
    return recordings


def zone_bits(bits: int, slot_bits: int = COMPARISON_SLOT_BITS) -> int:
    """Z: the width of a zone (984 at 3072 bits). Zone j of a plaintext begins at bit Z j.

    A zone holds the same comparison of several recordings, one slot beside the other, so several
    recordings are packed by shifting each by one slot, not by three.
    """
    return slot_bits * recordings_per_plaintext(bits, slot_bits)


def pack_report(bits: int, score: int, rate: int) -> int:
    """The plaintext of a report: score in zone 0, rate in zones 1 and 2.

    Args:
        bits: the length of the modulus.
        score: the rescaled score, in [0, 2^l).
        rate: tenths of bpm, in [0, 2^l).

    Raises:
        PlaintextOutOfRange: nobody can check it afterwards.
    """
    score, rate = check_score(score), check_score(rate)
    return join([score, rate, rate], zone_bits(bits))


def pack_range(bits: int, threshold: int, lo: int, hi: int) -> int:
    """The plaintext of a healthy range: threshold, lo and hi + 1 in the zones of a report.

    A recording is held against it by score >= threshold, rate >= lo and rate >= hi + 1.

    Args:
        bits: the length of the modulus.
        threshold: the lowest score that sounds abnormal, in [0, 2^l).
        lo, hi: the lowest and highest healthy rate in tenths of bpm, 0 <= lo <= hi <= 2^l - 2.

    Raises:
        PlaintextOutOfRange: such a range would not be put in force.
    """
    above = check_score(hi + 1)
    if not 0 <= lo <= hi:
        raise PlaintextOutOfRange("the lowest healthy rate lies between 0 and the highest")
    return join([check_score(threshold), lo, above], zone_bits(bits))


def check_score(value: int) -> int:
    """The value itself if it lies in [0, 2^l), else PlaintextOutOfRange."""
    if not 0 <= value < 1 << SCORE_BITS:
        raise PlaintextOutOfRange(f"expected an integer from 0 to {(1 << SCORE_BITS) - 1}")
    return value


def join(values: Iterable[int], slot_bits: int) -> int:
    """sum_j 2^(slot_bits * j) * values[j]."""
    return sum(value << (slot_bits * j) for j, value in enumerate(values))


def split(packed: int, slot_bits: int, count: int) -> list[int]:
    """The `count` lowest slots, lowest first; what lies above them is dropped."""
    mask = (1 << slot_bits) - 1
    return [(packed >> (slot_bits * j)) & mask for j in range(count)]
