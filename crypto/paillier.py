"""Paillier ciphertexts that know their key and whether they may be sent.

Paillier (EUROCRYPT 1999) with g = n + 1, on top of `phe`: integers only, exponent 0 (a float's
exponent would leak its size). Adding does not re-randomise: a sum of known ciphertexts can be
recognised. So every result of arithmetic is *stale*, and a stale ciphertext refuses to be sent.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import gmpy2
from phe import paillier as phe

from crypto.encoding import b64u, sha256_hex, unb64u
from crypto.errors import (
    CiphertextOutOfRange,
    ForeignKey,
    InvalidEncoding,
    KeyTooSmall,
    PlaintextOutOfRange,
    StaleCiphertext,
)
from crypto.random import KERNEL, RandomSource

MIN_KEY_BITS = 3072
"""The shortest modulus that is accepted: 128-bit security by NIST SP 800-57. Tests lower it."""

MAX_KEY_BITS = 16384
"""The longest, so that nobody can make a server compute with a modulus of a megabyte."""


class PublicKey:
    """The modulus n, and what can be done with it alone.

    Attributes:
        n: the modulus.
        bits: its length in bits.
        key_id: SHA-256 of n (big-endian, no leading zero byte), 64 hex digits.
        ciphertext_bytes: length of a ciphertext on the wire, 2 * ceil(bits / 8).
        plaintext_bytes: length of a number below n on the wire, ceil(bits / 8).

    Raises:
        KeyTooSmall: n is shorter than `MIN_KEY_BITS`.
        InvalidEncoding: n is even or longer than `MAX_KEY_BITS`.
    """

    def __init__(self, n: int) -> None:
        bits = n.bit_length() if n > 0 else 0
        if bits < MIN_KEY_BITS:
            raise KeyTooSmall(
                f"a Paillier key of {bits} bits: at least {MIN_KEY_BITS} bits are required"
            )
        if bits > MAX_KEY_BITS or n % 2 == 0:
            raise InvalidEncoding("not a Paillier modulus")
        self.n = n
        self.bits = bits
        self.plaintext_bytes = (bits + 7) // 8
        self.ciphertext_bytes = 2 * self.plaintext_bytes
        self.key_id = sha256_hex(n.to_bytes(self.plaintext_bytes, "big"))
        self._phe: Any = phe.PaillierPublicKey(n)
        self._n = gmpy2.mpz(n)
        self._n_squared = self._n**2

    def encrypt(self, m: int, random: RandomSource = KERNEL) -> "Ciphertext":
        """A fresh encryption of m, 0 <= m < n (PlaintextOutOfRange otherwise)."""
        return self.constant(m).rerandomised(random)

    def constant(self, m: int) -> "Ciphertext":
        """The encryption of m, 0 <= m < n, without noise: stale, (1 + n)^m = 1 + n m mod n^2.

        Not `phe.raw_encrypt`, which takes another path, hence another time, for large m.
        """
        if not 0 <= m < self.n:
            raise PlaintextOutOfRange("a plaintext lies between 0 and n")
        return Ciphertext(self, 1 + self._n * m, fresh=False)

    def parse(self, data: bytes) -> "Ciphertext":
        """A ciphertext from somebody else, checked.

        Raises:
            InvalidEncoding: not exactly `ciphertext_bytes` bytes.
            CiphertextOutOfRange: not in (0, n^2), or not coprime to n.
        """
        ciphertext = self.stored(data)
        self._check_coprime(ciphertext)
        return ciphertext

    def parse_all(self, parts: Sequence[bytes]) -> "list[Ciphertext]":
        """What `parse` gives for each, at the price of one gcd for all of them.

        A product is coprime to n exactly if each of its factors is.

        Raises:
            InvalidEncoding, CiphertextOutOfRange: as `parse`; the message names the first bad one,
                counted from 1.
        """
        ciphertexts = []
        product = gmpy2.mpz(1)
        for number, data in enumerate(parts, 1):
            try:
                ciphertexts.append(self.stored(data))
            except (InvalidEncoding, CiphertextOutOfRange) as error:
                raise type(error)(f"number {number} of {len(parts)}: {error}") from error
            product = product * ciphertexts[-1]._value % self._n
        if gmpy2.gcd(product, self._n) != 1:
            for number, ciphertext in enumerate(ciphertexts, 1):
                try:
                    self._check_coprime(ciphertext)
                except CiphertextOutOfRange as error:
                    raise CiphertextOutOfRange(
                        f"number {number} of {len(parts)}: {error}"
                    ) from error
        return ciphertexts

    def stored(self, data: bytes) -> "Ciphertext":
        """A ciphertext from this party's own storage, which checked it when it came.

        Raises:
            InvalidEncoding: not exactly `ciphertext_bytes` bytes.
            CiphertextOutOfRange: not in (0, n^2). That it is coprime to n is not checked again.
        """
        if not isinstance(data, bytes) or len(data) != self.ciphertext_bytes:
            raise InvalidEncoding(f"a ciphertext under this key has {self.ciphertext_bytes} bytes")
        value = gmpy2.mpz.from_bytes(data, "big")
        if not 0 < value < self._n_squared:
            raise CiphertextOutOfRange("a ciphertext lies between 0 and n^2")
        return Ciphertext(self, value, fresh=False)

    def invert_all(self, ciphertexts: "Sequence[Ciphertext]") -> "list[Ciphertext]":
        """`negated` of each: one inverse and three multiplications each (Montgomery's trick).

        Raises:
            ForeignKey: one is under another key.
            CiphertextOutOfRange: one is not coprime to n.
        """
        if any(ciphertext.key != self for ciphertext in ciphertexts):
            raise ForeignKey("ciphertexts under different keys cannot be inverted together")
        values = [ciphertext._value for ciphertext in ciphertexts]
        products = list(
            accumulate(values, lambda a, b: a * b % self._n_squared, initial=gmpy2.mpz(1))
        )
        inverse = self._inverse(products[-1])
        results = []
        for value, before in zip(reversed(values), reversed(products[:-1]), strict=True):
            results.append(Ciphertext(self, inverse * before % self._n_squared, fresh=False))
            inverse = inverse * value % self._n_squared
        return results[::-1]

    def draw_unit(self, random: RandomSource = KERNEL) -> int:
        """A uniform number in (0, n) that is coprime to n."""
        while gmpy2.gcd(unit := random.below(self.n), self.n) != 1:
            pass
        return unit

    def blinding_factor(self, random: RandomSource = KERNEL) -> int:
        """r^n mod n^2 for a uniform unit r: the noise of one encryption."""
        return int(self._phe.raw_encrypt(0, r_value=self.draw_unit(random)))

    def to_jwk(self) -> dict[str, Any]:
        """The JWK-like form of `phe` (pheutil), with the key id as `kid`."""
        n = b64u(self.n.to_bytes(self.plaintext_bytes, "big"))
        return {"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": n, "kid": self.key_id}

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> "PublicKey":
        """The key of a JWK as `to_jwk` or pheutil makes it; raises InvalidEncoding."""
        if jwk.get("kty") != "DAJ" or jwk.get("alg") != "PAI-GN1":
            raise InvalidEncoding("not a Paillier public key: kty DAJ, alg PAI-GN1 expected")
        return cls(modulus_from_text(jwk.get("n")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.n == other.n

    def __hash__(self) -> int:
        return hash(self.n)

    def __repr__(self) -> str:
        return f"PublicKey({self.key_id[:8]}, {self.bits} bits)"

    def _check_coprime(self, ciphertext: "Ciphertext") -> None:
        if gmpy2.gcd(ciphertext._value, self._n) != 1:
            raise CiphertextOutOfRange("a ciphertext is coprime to n")

    def _inverse(self, value: Any) -> Any:
        try:
            return gmpy2.invert(value, self._n_squared)
        except ZeroDivisionError as error:
            raise CiphertextOutOfRange("a ciphertext is coprime to n") from error


class Ciphertext:
    """An integer mod n under encryption. Immutable.

    Attributes:
        key: the public key it belongs to.
        fresh: whether its noise is new, drawn by this process and independent of all else.
    """

    __slots__ = ("_value", "fresh", "key")

    def __init__(self, key: PublicKey, value: int, *, fresh: bool) -> None:
        self.key = key
        self.fresh = fresh
        self._value = gmpy2.mpz(value)

    def add(self, other: "Ciphertext") -> "Ciphertext":
        """Enc(a + b mod n). Raises ForeignKey if the keys differ."""
        if self.key is not other.key and self.key != other.key:
            raise ForeignKey("two ciphertexts under different keys cannot be added")
        return self._stale(self._value * other._value)

    def add_constant(self, m: int) -> "Ciphertext":
        """Enc(a + m mod n) for any integer m, positive or negative.

        c (1 + n m) = c + n (c m mod n) mod n^2, so only numbers as short as n are multiplied.
        """
        n = self.key._n
        return self._stale(self._value + n * (self._value % n * (m % n) % n))

    def shifted(self, bits: int) -> "Ciphertext":
        """Enc(a * 2^bits mod n), bits >= 0.

        The shift belongs to the layout of a plaintext and is public, so this is the plain power,
        1.5 to 2 times as fast as `times`.
        """
        return self._stale(gmpy2.powmod(self._value, 1 << bits, self.key._n_squared))

    def times(self, factor: int) -> "Ciphertext":
        """Enc(a * factor mod n) for any integer factor.

        The factor may be a secret, so the exponentiation is the one whose time depends on its
        length alone.
        """
        exponent = factor % self.key.n
        if exponent == 0:
            return self.key.constant(0)
        return self._stale(gmpy2.powmod_sec(self._value, exponent, self.key._n_squared))

    def negated(self) -> "Ciphertext":
        """Enc(-a mod n)."""
        return self._stale(self.key._inverse(self._value))

    def rerandomised(self, random: RandomSource = KERNEL) -> "Ciphertext":
        """Another ciphertext of the same number, fresh and unlinkable to this one."""
        value = self._value * self.key.blinding_factor(random) % self.key._n_squared
        return Ciphertext(self.key, value, fresh=True)

    def to_bytes(self) -> bytes:
        """Fixed-width big-endian bytes for the party's own storage, fresh or not."""
        data: bytes = self._value.to_bytes(self.key.ciphertext_bytes, "big")
        return data

    def to_wire(self) -> bytes:
        """The same bytes for another party. Raises StaleCiphertext unless fresh."""
        if not self.fresh:
            raise StaleCiphertext("re-randomise a ciphertext before it leaves this party")
        return self.to_bytes()

    def __int__(self) -> int:
        return int(self._value)

    def __repr__(self) -> str:
        return "Ciphertext"

    def _stale(self, value: Any) -> "Ciphertext":
        return Ciphertext(self.key, value % self.key._n_squared, fresh=False)


def modulus_from_text(text: object) -> int:
    """n from base64url, big-endian, without a leading zero byte; raises InvalidEncoding."""
    if not isinstance(text, str) or len(text) > MAX_KEY_BITS // 6 + 2:
        raise InvalidEncoding("a Paillier modulus is base64url text")
    data = unb64u(text)
    if not data or data[0] == 0:
        raise InvalidEncoding("a Paillier modulus has no leading zero byte")
    return int.from_bytes(data, "big")
