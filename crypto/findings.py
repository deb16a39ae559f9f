"""The two findings of a recording, as comparisons and as what is added to a tally.

sound = [score >= threshold]; rate = [rate < lo] + [rate > hi], rates in tenths of bpm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from crypto.errors import ProtocolViolation
from crypto.paillier import Ciphertext, PublicKey
from crypto.slots import SCORE_BITS, ZONES, join, rate_count_offset, zone_bits


@dataclass(frozen=True)
class FindingInputs:
    """A recording's encrypted report and the encrypted healthy range that it is held against.

    Their plaintexts are those of `slots.pack_report` and `slots.pack_range`.
    """

    report: Ciphertext
    bounds: Ciphertext

    def differences(self, key: PublicKey) -> Ciphertext:
        """Enc of 2^l + x - b in each zone, stale: bit l of a zone is its [x >= b].

        The zones are score >= threshold, rate >= lo and rate >= hi + 1. Raises ForeignKey.
        """
        zeros = join([1 << SCORE_BITS] * ZONES, zone_bits(key.bits))
        return self.report.add(self.bounds.negated()).add_constant(zeros)


def contribution(bits: Sequence[Ciphertext] | None, mask: Ciphertext) -> Ciphertext:
    """What one recording adds to its tally: Enc(sound + 2^R (1 - bit_2 + bit_3) + t), stale.

    Args:
        bits: the bit of each zone of `FindingInputs.differences`, or None if B served the position
            void.
        mask: B's Enc(t) of this position.
    """
    if bits is None:
        return mask
    if len(bits) != ZONES:
        raise ProtocolViolation("a recording has three comparisons")
    sound, not_below, above = bits
    rate = above.add(not_below.negated()).add_constant(1)
    return sound.add(rate.shifted(rate_count_offset(mask.key.bits))).add(mask)


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
