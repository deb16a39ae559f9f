"""The two findings of a recording, as comparisons and as what is added to a tally.

sound = [score >= threshold]; rate = [rate < lo] + [rate > hi], rates in tenths of bpm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from crypto.comparison.initiator import Comparison
from crypto.errors import ProtocolViolation
from crypto.paillier import Ciphertext
from crypto.slots import COUNT_SLOT_BITS


@dataclass(frozen=True)
class FindingInputs:
    """A recording's encrypted results and the healthy range that they are held against."""

    sound: Ciphertext
    rate: Ciphertext
    threshold: Ciphertext
    lo: Ciphertext
    hi: Ciphertext

    def comparisons(self) -> list[Comparison]:
        """sound >= threshold, rate >= lo, hi >= rate: the order of docs/protocol.md, section 5."""
        return [
            Comparison(self.sound, self.threshold),
            Comparison(self.rate, self.lo),
            Comparison(self.hi, self.rate),
        ]


def range_check(lo: Ciphertext, hi: Ciphertext) -> list[Comparison]:
    """hi >= lo, the one comparison of a proposed range."""
    return [Comparison(hi, lo)]


def contribution(bits: Sequence[Ciphertext] | None, mask: Ciphertext) -> Ciphertext:
    """What one recording adds to its tally: Enc(sound + 2^24 (2 - bit_2 - bit_3) + t), stale.

    Args:
        bits: the three bits of `FindingInputs.comparisons`, or None if B served the position void.
        mask: B's Enc(t) of this position.
    """
    if bits is None:
        return mask
    if len(bits) != 3:
        raise ProtocolViolation("a recording has three comparisons")
    sound, not_below, not_above = bits
    rate = not_below.add(not_above).negated().add_constant(2)
    return sound.add(rate.times(1 << COUNT_SLOT_BITS)).add(mask)


class AgeBand(StrEnum):
    """Ages that share a default heart-rate range."""

    NEWBORN = "newborn"
    INFANT = "infant"
    TODDLER = "toddler"
    PRESCHOOL = "preschool"
    SCHOOL = "school"
    ADOLESCENT = "adolescent"
    ADULT = "adult"


DEFAULT_RATE_RANGES: Mapping[AgeBand, tuple[int, int]] = MappingProxyType(
    {
        AgeBand.NEWBORN: (1000, 2050),
        AgeBand.INFANT: (1000, 1800),
        AgeBand.TODDLER: (980, 1400),
        AgeBand.PRESCHOOL: (800, 1200),
        AgeBand.SCHOOL: (750, 1180),
        AgeBand.ADOLESCENT: (600, 1000),
        AgeBand.ADULT: (600, 1000),
    }
)
"""Heart rate awake, lowest and highest healthy value in tenths of bpm, until a doctor sets a range.

Up to 28 days, 1 year, 2, 5, 11 and 17 years: American Heart Association, PALS Provider Manual,
"Normal heart rates"; adults 60 to 100 bpm at rest (American Heart Association).
"""
