"""The sizes of a comparison, and where each part of a batch stands."""

from dataclasses import dataclass

from crypto.comparison.half_gates import MAX_WIDTH
from crypto.errors import PlaintextOutOfRange, ProtocolViolation
from crypto.slots import SCORE_BITS, SIGMA, ZONES, recordings_per_plaintext, zone_bits

MIN_SIGMA = 40
MAX_ITEMS = 256
"""Positions in one batch."""

MEMBERSHIP_COMPARATORS = 2 * ZONES
RANGE_COMPARATORS = MEMBERSHIP_COMPARATORS + 1
"""Of a range check: two for each bound lying in [0, 2^l), one for lo <= hi."""


@dataclass(frozen=True)
class Parameters:
    """l and sigma of all comparisons of a session.

    Raises:
        ProtocolViolation: sigma below 40, or numbers too long for the tweaks of a comparator.
    """

    score_bits: int = SCORE_BITS
    sigma: int = SIGMA

    def __post_init__(self) -> None:
        if self.sigma < MIN_SIGMA:
            raise ProtocolViolation(f"masks need at least {MIN_SIGMA} bits of security")
        if self.range_width > MAX_WIDTH:
            raise ProtocolViolation(f"a comparator has at most {MAX_WIDTH} bits")

    @property
    def slot_bits(self) -> int:
        """Room for d = z + r."""
        return self.score_bits + self.sigma + 2

    @property
    def mask_bits(self) -> int:
        """Length of r: sigma bits longer than z = 2^l + a - b, which is below 2^(l+1)."""
        return self.score_bits + self.sigma + 1

    @property
    def range_width(self) -> int:
        """Width of a range check's comparators: differences of two d, made positive."""
        return self.slot_bits + 2


@dataclass(frozen=True)
class Layout:
    """How many of what a batch holds; recordings come first everywhere, then range checks.

    Args:
        key_bits: length of the Paillier modulus.
        recordings: recordings to compare, void ones left out.
        ranges: range checks, void ones left out.

    Raises:
        PlaintextOutOfRange: not even one recording fits under this key.
    """

    parameters: Parameters
    key_bits: int
    recordings: int
    ranges: int

    def __post_init__(self) -> None:
        if self.recordings + self.ranges > MAX_ITEMS:
            raise PlaintextOutOfRange(f"a batch has at most {MAX_ITEMS} positions")

    @property
    def zone(self) -> int:
        """Width of a zone in bits."""
        return zone_bits(self.key_bits, self.parameters.slot_bits)

    @property
    def per_plaintext(self) -> int:
        """Recordings in one masked ciphertext."""
        return recordings_per_plaintext(self.key_bits, self.parameters.slot_bits)

    @property
    def packed(self) -> int:
        """Masked ciphertexts of recordings. A range check has one of its own."""
        return -(-self.recordings // self.per_plaintext)

    @property
    def comparators(self) -> int:
        """Comparators of recordings; those of range checks are numbered after them."""
        return ZONES * self.recordings

    @property
    def recording_bits(self) -> int:
        """A's input bits for recordings: bits 0 to l of each r."""
        return self.comparators * (self.parameters.score_bits + 1)

    @property
    def range_bits(self) -> int:
        """A's input bits for range checks."""
        return self.ranges * RANGE_COMPARATORS * self.parameters.range_width

    def slots(self) -> list[tuple[int, int, int]]:
        """Masked ciphertext, zone and first bit of each comparator of the recordings, in order."""
        return [
            (
                recording // self.per_plaintext,
                zone,
                zone * self.zone + recording % self.per_plaintext * self.parameters.slot_bits,
            )
            for recording in range(self.recordings)
            for zone in range(ZONES)
        ]
