"""The masks that keep a tally unreadable to everybody whom B does not answer.

t_i = P(i) - P(i-1) mod n with P(0) = 0: the masks of recordings 1..i of a patient's day add up to
P(i), so B takes them off with one evaluation however many recordings a tally holds.
"""

import secrets

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from crypto.comparison.positions import Position, RecordingPosition
from crypto.encoding import check_day, check_id
from crypto.errors import InvalidEncoding
from crypto.paillier import PublicKey
from crypto.random import RandomSource, SeededRandom

_SURPLUS_BITS = 128


class MaskKey:
    """B's key for a pseudorandom function into Z_n."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise InvalidEncoding("a mask key has 32 bytes")
        self._key = key

    @classmethod
    def generate(cls) -> "MaskKey":
        return cls(secrets.token_bytes(32))

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored."""
        return self._key

    def step(self, key: PublicKey, position: Position) -> int:
        """t of a position: P(number) - P(number - 1) mod n, or the mask of a range check."""
        if not isinstance(position, RecordingPosition):
            return self.check(key, position.range, position.pseudonym)
        pseudonym, day, number = position.pseudonym, position.day, position.number
        if number < 1:
            raise InvalidEncoding("recordings are numbered from 1")
        before = self.total(key, pseudonym, day, number - 1)
        return (self.total(key, pseudonym, day, number) - before) % key.n

    def total(self, key: PublicKey, pseudonym: str, day: str, number: int) -> int:
        """P(number): what the masks of the first `number` recordings of a day add up to."""
        if number < 0:
            raise InvalidEncoding("a number of recordings is not negative")
        if number == 0:
            return 0
        return self._prf(key, "tally", check_id(pseudonym), check_day(day), str(number))

    def check(self, key: PublicKey, range_id: str, pseudonym: str) -> int:
        """The mask of the bit lo <= hi of a proposed range."""
        return self._prf(key, "range", check_id(range_id), check_id(pseudonym))

    def noise(self, roster: str) -> RandomSource:
        """Where B's share of a roster's noise is drawn from: the same again each time."""
        return SeededRandom(self._key, b"cohort-noise\x00" + check_id(roster).encode("ascii"))

    def move_noise(self, request_sha256: str) -> RandomSource:
        """The noise of what B answers to a request to move ciphertexts: the same again for it."""
        return SeededRandom(self._key, b"move-noise\x00" + request_sha256.encode("ascii"))

    def _prf(self, key: PublicKey, *parts: str) -> int:
        """A number in Z_n, within 2^-128 of uniform.

        HKDF-Expand (RFC 5869, section 2.3) to bits(n) + 128 bits, reduced mod n, as RFC 9380,
        section 5.2 hashes to a field. NUL cannot occur in a part, so the parts are unambiguous.
        """
        info = "\x00".join(("hushbeat/mask/v1", key.key_id, *parts)).encode("ascii")
        length = (key.bits + _SURPLUS_BITS + 7) // 8
        stream = HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(self._key)
        return int.from_bytes(stream, "big") % key.n

    def __repr__(self) -> str:
        return "MaskKey"
