"""A's side of the reference comparison: holds the ciphertexts and the masks r, learns nothing.

It runs in one process with B's side, as the oracle that the fast comparison is tested against.

One `ReferenceInitiator` plays all comparisons of one position. It draws everything from one seed,
each step under a context that hashes what the step depends on: rebuilt after a crash from the same
inputs it sends the same bytes, and two different messages never share randomness.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.comparison.positions import Position, RangePosition, RecordingPosition
from crypto.errors import ProtocolViolation
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import RandomSource, SeededRandom
from crypto.slots import SCORE_BITS, SIGMA, ZONES, join, zone_bits

MIN_SIGMA = 40

COMPARISONS = {RecordingPosition: ZONES, RangePosition: 1}
"""How many bits a position of each kind has."""


CiphertextRows = tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True)
class FirstItem:
    """A to B: Enc(sum_j 2^(Z j) (z_j + r_j)), one zone each; and how many comparisons it makes."""

    position: Position
    count: int
    masked: bytes


@dataclass(frozen=True)
class FirstAnswerItem:
    """B to A: for each comparison Enc(bit k of 2 (d mod 2^l) + 1), k = 0..l."""

    bits: CiphertextRows


@dataclass(frozen=True)
class SecondItem:
    """A to B: the first item again with the blinded, permuted c_j of each comparison.

    No tests at all say that A gives the position up; B then serves it void.
    """

    position: Position
    count: int
    masked: bytes
    tests: CiphertextRows


@dataclass(frozen=True)
class SecondAnswerItem:
    """B to A: Enc(zero seen xor d_l) of each comparison, or None if void; and Enc(t)."""

    bits: tuple[bytes, ...] | None
    mask: bytes

    @property
    def void(self) -> bool:
        """Whether B could not compare this position: it counts as a recording, not as a finding."""
        return self.bits is None


def compared(position: Position, zones: Sequence[int]) -> list[int]:
    """What a position compares: every zone of a recording, zone 2 minus zone 1 of a range.

    A applies it to its masks and B to what it decrypts, so that the one stays the mask of the
    other. A range's number is above - lo, which may be negative: only its lowest bits count.
    """
    if isinstance(position, RecordingPosition):
        return list(zones)
    _, lo, above = zones
    return [above - lo]


def range_order(key: PublicKey, bounds: Ciphertext) -> Ciphertext:
    """The bounds of a proposed range with 2^l - 1 added in zone 2, stale.

    Zone 2 minus zone 1 is then 2^l + hi - lo, whose bit l is [hi >= lo].
    """
    return bounds.add_constant(((1 << SCORE_BITS) - 1) << (2 * zone_bits(key.bits)))


class ReferenceInitiator:
    """The comparisons of one position: first(), then second(), then bits().

    Args:
        key: B's public key; `packed` is under it (ForeignKey otherwise).
        position: whose comparisons they are.
        packed: Enc of numbers z in [0, 2^(l+1)) in the zones, as `FindingInputs.differences` and
            `range_order` make them.
        seed: 32 bytes from the kernel for this position alone, stored (sealed) before `first`.
        score_bits: l.
        sigma: bits of statistical security of the masks, at least 40.

    Raises:
        PlaintextOutOfRange: a recording does not fit in one plaintext.
    """

    def __init__(
        self,
        key: PublicKey,
        position: Position,
        packed: Ciphertext,
        seed: bytes,
        *,
        score_bits: int = SCORE_BITS,
        sigma: int = SIGMA,
    ) -> None:
        if sigma < MIN_SIGMA:
            raise ProtocolViolation(f"masks need at least {MIN_SIGMA} bits of security")
        self._key = key
        self._seed = seed
        self._l = score_bits
        self._count = COMPARISONS[type(position)]
        self._transcript = [
            key.key_id.encode("ascii"),
            bytes([score_bits, sigma, self._count]),
            packed.to_bytes(),
        ]
        random = self._random(b"first")
        masks = [random.bits(score_bits + 1 + sigma) for _ in range(ZONES)]
        self._masks = compared(position, masks)
        zone = zone_bits(key.bits, score_bits + sigma + 2)
        self._masked = packed.add(key.constant(join(masks, zone))).rerandomised(random).to_wire()
        self._flips: list[bool] | None = None

    def first(self) -> tuple[int, bytes]:
        """`count` and `masked` of the first item: Enc(sum_j 2^(Z j) (z_j + r_j)), fresh.

        z = 2^l + x - b, so bit l of z is [x >= b] (Veugen 2012); r is uniform in
        [0, 2^(l+1+sigma)), so d = z + r tells B nothing but with probability 2^-sigma.
        """
        return self._count, self._masked

    def second(self, answer: FirstAnswerItem) -> CiphertextRows:
        """The tests of the second item: for each comparison l + 1 fresh ciphertexts.

        Raises:
            ProtocolViolation: not one row of l + 1 bits a comparison.
            InvalidEncoding, CiphertextOutOfRange: see `PublicKey.parse`.
        """
        if [len(row) for row in answer.bits] != [self._l + 1] * self._count:
            raise ProtocolViolation("the first answer has another number of bits than asked for")
        received = [cell for row in answer.bits for cell in row]
        random = self._random(b"second", self._masked, *received)
        flips, tests = [], []
        for mask, row in zip(self._masks, answer.bits, strict=True):
            # The coin decides which of the two orders a zero stands for, so that B, who sees
            # whether there is one, learns nothing.
            coin = random.bits(1)
            bits = [self._key.parse(cell) for cell in row]
            tests.append(self._tests(2 * (mask % (1 << self._l)), bits, coin, random))
            flips.append(bool((mask >> self._l & 1) ^ coin))
        self._flips = flips
        return tuple(tests)

    def bits(self, answer: SecondAnswerItem) -> list[Ciphertext]:
        """Enc([x >= b]) of each comparison, stale.

        B's bit is [zero seen] xor d_l. With coin s = +1 a zero means d >= r in the low l bits,
        with s = -1 it means d < r; [x >= b] = d_l xor r_l xor [d mod 2^l < r mod 2^l].

        Raises:
            ProtocolViolation: a void answer, another number of bits, or called before `second`.
            InvalidEncoding, CiphertextOutOfRange: see `PublicKey.parse`.
        """
        if self._flips is None:
            raise ProtocolViolation("the second answer comes after the second request")
        if answer.bits is None or len(answer.bits) != self._count:
            raise ProtocolViolation("the second answer has another number of bits than asked for")
        results = []
        for flip, cell in zip(self._flips, answer.bits, strict=True):
            bit = self._key.parse(cell)
            flipped = bit.negated().add_constant(1)
            results.append(flipped if flip else bit)
        return results

    def _tests(
        self, r: int, bits: Sequence[Ciphertext], coin: int, random: RandomSource
    ) -> tuple[bytes, ...]:
        """c_j = s + r_j - d_j + 3 * sum_{k>j} (r_k xor d_k), blinded and permuted (DGK 2007).

        r = 2 (mask mod 2^l) is even and B's 2 (d mod 2^l) + 1 is odd, so they differ. With s = +1
        exactly one c_j is zero if d > r and none if d < r; with s = -1 the other way round.
        """
        s = 1 if coin else -1
        higher = self._key.constant(0)
        tests = []
        for j in reversed(range(self._l + 1)):
            r_j = r >> j & 1
            minus_d = bits[j].negated()
            c = minus_d.add_constant(s + r_j).add(higher)
            tests.append(self._blinded(c, random))
            flipped = minus_d.add_constant(1)
            differs = flipped if r_j else bits[j]
            higher = higher.add(differs).add(differs).add(differs)
        return tuple(tests[position] for position in random.permutation(len(tests)))

    def _blinded(self, c: Ciphertext, random: RandomSource) -> bytes:
        """A fresh encryption of 0 if c is 0, else of a uniform unit of Z_n."""
        return c.times(self._key.draw_unit(random)).rerandomised(random).to_wire()

    def _random(self, step: bytes, *inputs: bytes) -> SeededRandom:
        digest = hashlib.sha256()
        for part in (*self._transcript, *inputs):
            digest.update(len(part).to_bytes(4, "big") + part)
        return SeededRandom(self._seed, b"comparison/" + step + b"\x00" + digest.digest())

    def __repr__(self) -> str:
        return "ReferenceInitiator"
