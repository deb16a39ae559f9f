"""Hushbeat's side A with bits under the DGK cryptosystem, for a key holder who speaks that.

Damgard, Geisler, Kroigaard (2007, correction 2009): Enc(m) = g^m h^r mod n, m modulo a small prime
u. What A does with the bits is `ReferenceInitiator`'s own code; the classes here have the methods
of `crypto.paillier` that it calls.
"""

from dataclasses import dataclass

from crypto.comparison.positions import RecordingPosition
from crypto.comparison.reference import FirstAnswerItem, ReferenceInitiator
from crypto.errors import StaleCiphertext
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import RandomSource
from crypto.slots import SIGMA, ZONES, join, zone_bits


@dataclass(frozen=True)
class DgkKey:
    """A public key of DGK."""

    n: int
    g: int
    h: int
    u: int
    t: int

    @property
    def width(self) -> int:
        return (self.n.bit_length() + 7) // 8

    def constant(self, m: int) -> "DgkCiphertext":
        return DgkCiphertext(self, pow(self.g, m % self.u, self.n))

    def parse(self, data: bytes) -> "DgkCiphertext":
        return DgkCiphertext(self, int.from_bytes(data, "big"))

    def ciphertext(self, text: str) -> "DgkCiphertext":
        """From hex."""
        return DgkCiphertext(self, int(text, 16))

    def draw_unit(self, random: RandomSource) -> int:
        return random.below(self.u - 1) + 1


@dataclass(frozen=True)
class DgkCiphertext:
    """A number modulo u under encryption."""

    key: DgkKey
    value: int
    fresh: bool = False

    def add(self, other: "DgkCiphertext") -> "DgkCiphertext":
        return DgkCiphertext(self.key, self.value * other.value % self.key.n)

    def add_constant(self, m: int) -> "DgkCiphertext":
        return self.add(self.key.constant(m))

    def negated(self) -> "DgkCiphertext":
        return DgkCiphertext(self.key, pow(self.value, -1, self.key.n))

    def times(self, factor: int) -> "DgkCiphertext":
        return DgkCiphertext(self.key, pow(self.value, factor % self.key.u, self.key.n))

    def rerandomised(self, random: RandomSource) -> "DgkCiphertext":
        noise = pow(self.key.h, random.bits(5 * self.key.t // 2), self.key.n)
        return DgkCiphertext(self.key, self.value * noise % self.key.n, fresh=True)

    def to_wire(self) -> bytes:
        if not self.fresh:
            raise StaleCiphertext("re-randomise a ciphertext before it leaves this party")
        return self.value.to_bytes(self.key.width, "big")


class DgkInitiator:
    """One comparison [x >= bound] with a key holder who knows Paillier and DGK.

    The comparison stands in zone 0 of a recording whose other zones are empty: this key holder
    takes the whole plaintext for one number, and its lowest bits are those of zone 0.
    """

    def __init__(
        self, paillier: PublicKey, dgk: DgkKey, score_bits: int, packed: Ciphertext, seed: bytes
    ) -> None:
        self._paillier, self._dgk, self._l = paillier, dgk, score_bits
        position = RecordingPosition("0" * 32, "2026-01-01", 1)
        self._side = ReferenceInitiator(paillier, position, packed, seed, score_bits=score_bits)

    def masked(self) -> Ciphertext:
        """Enc(z + r)."""
        return self._paillier.parse(self._side.first()[1])

    def tests(self, bits: list[DgkCiphertext]) -> list[int]:
        """The c_j for the key holder's bits of d mod 2^l, lowest first.

        Ours are those of 2 (d mod 2^l) + 1: a constant 1 stands below them.
        """
        row = tuple(
            cell.value.to_bytes(self._dgk.width, "big") for cell in (self._dgk.constant(1), *bits)
        )
        self._side._key = self._dgk  # type: ignore[assignment]
        first, *_ = self._side.second(FirstAnswerItem((row,) * ZONES))
        return [int.from_bytes(cell, "big") for cell in first]

    def result(self, quotient: Ciphertext, zero_seen: Ciphertext) -> Ciphertext:
        """Enc([x >= bound]) from Enc(D div 2^l) and Enc([a c_j is zero]).

        D = z + R with all of A's masks in R. D div 2^l = (z div 2^l) + (R div 2^l) + [d < r]
        without the borrow, and a zero means d >= r with coin 1, d < r with coin 0.
        """
        less = zero_seen.negated().add_constant(1) if self.coin else zero_seen
        zone = zone_bits(self._paillier.bits, self._l + SIGMA + 2)
        mask = join(self._side._masks, zone)
        return quotient.add_constant(-(mask >> self._l)).add(less.negated())

    @property
    def coin(self) -> int:
        """Which of the two orders a zero stands for; drawn with the tests."""
        assert self._side._flips is not None
        return self._side._flips[0] ^ (self._side._masks[0] >> self._l & 1)
