"""A's side of the reference comparison: holds the ciphertexts and the masks r, learns nothing.

One `Initiator` plays all comparisons of one position. It draws everything from one seed, each step
under a context that hashes what the step depends on: rebuilt after a crash from the same inputs it
sends the same bytes, and two different messages never share randomness.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.comparison.messages import CiphertextRows, FirstAnswerItem, SecondAnswerItem
from crypto.errors import PlaintextOutOfRange, ProtocolViolation
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import RandomSource, SeededRandom
from crypto.slots import SCORE_BITS, SIGMA, max_comparisons

MIN_SIGMA = 40


@dataclass(frozen=True)
class Comparison:
    """bit = [left >= right] of two encrypted integers in [0, 2^l)."""

    left: Ciphertext
    right: Ciphertext


class Initiator:
    """The comparisons of one position: first(), then second(), then bits().

    Args:
        key: B's public key; all ciphertexts are under it (ForeignKey otherwise).
        comparisons: what to compare, 1 to `max_comparisons` of them.
        seed: 32 bytes from the kernel for this position alone, stored (sealed) before `first`.
        score_bits: l.
        sigma: bits of statistical security of the masks, at least 40.

    Raises:
        PlaintextOutOfRange: the comparisons do not fit in one plaintext.
    """

    def __init__(
        self,
        key: PublicKey,
        comparisons: Sequence[Comparison],
        seed: bytes,
        *,
        score_bits: int = SCORE_BITS,
        sigma: int = SIGMA,
    ) -> None:
        if sigma < MIN_SIGMA:
            raise ProtocolViolation(f"masks need at least {MIN_SIGMA} bits of security")
        self._slot_bits = score_bits + sigma + 2
        if not 0 < len(comparisons) <= max_comparisons(key.bits, self._slot_bits):
            raise PlaintextOutOfRange("these comparisons do not fit in one plaintext")
        self._key = key
        self._comparisons = tuple(comparisons)
        self._seed = seed
        self._l = score_bits
        self._transcript = [key.key_id.encode("ascii"), bytes([score_bits, sigma])]
        for comparison in comparisons:
            self._transcript += [comparison.left.to_bytes(), comparison.right.to_bytes()]
        random = self._random(b"first")
        self._masks = [random.bits(score_bits + 1 + sigma) for _ in comparisons]
        self._masked = self._mask_and_pack(random)
        self._flips: list[bool] | None = None

    def first(self) -> tuple[int, bytes]:
        """`count` and `masked` of the first item: Enc(sum_j 2^(slot j) (z_j + r_j)), fresh.

        z = 2^l + a - b, so bit l of z is [a >= b] (Veugen 2012); r is uniform in
        [0, 2^(l+1+sigma)), so d = z + r tells B nothing but with probability 2^-sigma.
        """
        return len(self._comparisons), self._masked

    def second(self, answer: FirstAnswerItem) -> CiphertextRows:
        """The tests of the second item: for each comparison l + 1 fresh ciphertexts.

        Raises:
            ProtocolViolation: not one row of l + 1 bits a comparison.
            InvalidEncoding, CiphertextOutOfRange: see `PublicKey.parse`.
        """
        if [len(row) for row in answer.bits] != [self._l + 1] * len(self._comparisons):
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
        """Enc([left >= right]) of each comparison, stale.

        B's bit is [zero seen] xor d_l. With coin s = +1 a zero means d >= r in the low l bits,
        with s = -1 it means d < r; [a >= b] = d_l xor r_l xor [d mod 2^l < r mod 2^l].

        Raises:
            ProtocolViolation: a void answer, another number of bits, or called before `second`.
            InvalidEncoding, CiphertextOutOfRange: see `PublicKey.parse`.
        """
        if self._flips is None:
            raise ProtocolViolation("the second answer comes after the second request")
        if answer.bits is None or len(answer.bits) != len(self._comparisons):
            raise ProtocolViolation("the second answer has another number of bits than asked for")
        results = []
        for flip, cell in zip(self._flips, answer.bits, strict=True):
            bit = self._key.parse(cell)
            flipped = bit.negated().add_constant(1)
            results.append(flipped if flip else bit)
        return results

    def _mask_and_pack(self, random: RandomSource) -> bytes:
        packed = self._key.constant(0)
        for comparison, mask in reversed(list(zip(self._comparisons, self._masks, strict=True))):
            difference = comparison.left.add(comparison.right.negated())
            slot = difference.add_constant((1 << self._l) + mask)
            packed = packed.times(1 << self._slot_bits).add(slot)
        return packed.rerandomised(random).to_wire()

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
        return "Initiator"
