"""B's side of the reference comparison: sees masked numbers, answers bits under encryption.

B keeps no state between the two steps: the second item carries the first one's ciphertext again.
Ordering and exactly-once serving are the key holder's database's business.
"""

from crypto.comparison.reference import (
    COMPARISONS,
    FirstAnswerItem,
    FirstItem,
    SecondAnswerItem,
    SecondItem,
    compared,
)
from crypto.errors import CiphertextOutOfRange, InvalidEncoding, ProtocolViolation
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import Ciphertext
from crypto.slots import SCORE_BITS, SIGMA, ZONES, split, zone_bits


class ReferenceResponder:
    """Answers the items of A's two requests under one key.

    Args:
        private_key: B's Paillier key.
        mask_key: where the masks of served positions come from.
        score_bits, sigma: as the initiator's.
    """

    def __init__(
        self,
        private_key: PrivateKey,
        mask_key: MaskKey,
        *,
        score_bits: int = SCORE_BITS,
        sigma: int = SIGMA,
    ) -> None:
        self._private = private_key
        self._masks = mask_key
        self._l = score_bits
        self._zone = zone_bits(private_key.public.bits, score_bits + sigma + 2)

    def first(self, item: FirstItem) -> FirstAnswerItem:
        """For each comparison's d the encrypted bits of 2 (d mod 2^l) + 1, lowest first.

        Doubling and adding one makes it odd where A's number is even: equality, against which the
        coin would give a wrong answer and tell B so, cannot occur.

        Raises:
            ProtocolViolation: another number of comparisons than the position has.
            InvalidEncoding, CiphertextOutOfRange: see `PublicKey.parse`.
        """
        return FirstAnswerItem(
            tuple(
                tuple(self._private.encrypt(odd >> k & 1).to_wire() for k in range(self._l + 1))
                for odd in (2 * (d % (1 << self._l)) + 1 for d in self._compared(item))
            )
        )

    def second(self, item: SecondItem) -> SecondAnswerItem:
        """Enc(zero seen xor d_l) for each comparison and Enc(t); void if A's tests do not fit.

        A position must end served, so what cannot be compared is void rather than an error. The
        bit is 0 or 1 whatever A sends: a hostile A cannot put anything else into a tally.
        """
        mask = self._private.encrypt(self._masks.step(self._private.public, item.position))
        try:
            numbers = self._compared(item)
            tests = self._parse_tests(item)
        except (InvalidEncoding, CiphertextOutOfRange, ProtocolViolation):
            return SecondAnswerItem(None, mask.to_wire())
        bits = tuple(
            self._private.encrypt(self._zero_seen(row) ^ (d >> self._l & 1)).to_wire()
            for d, row in zip(numbers, tests, strict=True)
        )
        return SecondAnswerItem(bits, mask.to_wire())

    def _compared(self, item: FirstItem | SecondItem) -> list[int]:
        public = self._private.public
        if item.count != COMPARISONS[type(item.position)]:
            raise ProtocolViolation("a recording has three comparisons, a range has one")
        packed = self._private.decrypt(public.parse(item.masked))
        return compared(item.position, split(packed, self._zone, ZONES))

    def _parse_tests(self, item: SecondItem) -> list[list[Ciphertext]]:
        if [len(row) for row in item.tests] != [self._l + 1] * item.count:
            raise ProtocolViolation("another number of tests than bits")
        return [[self._private.public.parse(cell) for cell in row] for row in item.tests]

    def _zero_seen(self, row: list[Ciphertext]) -> int:
        """1 if any plaintext is zero. All are tested: the time must not tell where it stood."""
        seen = 0
        for test in row:
            seen |= int(self._private.is_zero(test))
        return seen

    def __repr__(self) -> str:
        return "ReferenceResponder"
