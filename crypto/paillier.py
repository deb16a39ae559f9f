"""Paillier ciphertexts that know their key and whether they may be sent.

Paillier (EUROCRYPT 1999) with g = n + 1, on top of `phe`: integers only, exponent 0 (a float's
exponent would leak its size). Adding does not re-randomise: a sum of known ciphertexts can be
recognised. So every result of arithmetic is *stale*, and a stale ciphertext refuses to be sent.

The noise is that of Damgard, Jurik and Nielsen (2010), section 4.2: h_n^s for s of half the length
of n, where h_n = h^n mod n^2 and h = -y^2 mod n for a y that follows from n.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import gmpy2
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from crypto.encoding import b64u, sha256_hex, unb64u
from crypto.errors import (
    CiphertextOutOfRange,
    ForeignKey,
    InvalidEncoding,
    KeyTooSmall,
    PlaintextOutOfRange,
    StaleCiphertext,
)
from crypto.fixed_base import FixedBase
from crypto.random import KERNEL, RandomSource

MIN_KEY_BITS = 3072
"""The shortest modulus that is accepted: 128-bit security by NIST SP 800-57. Tests lower it."""

MAX_KEY_BITS = 16384
"""The longest, so that nobody can make a server compute with a modulus of a megabyte."""

_SURPLUS_BITS = 128


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
        self._n = gmpy2.mpz(n)
        self._n_squared = self._n**2

    def encrypt(self, m: int, random: RandomSource = KERNEL) -> "Ciphertext":
        """A fresh encryption of m, 0 <= m < n (PlaintextOutOfRange otherwise)."""
        return self.constant(m).rerandomised(random)

    def constant(self, m: int) -> "Ciphertext":
        """The encryption of m, 0 <= m < n, without noise: stale, (1 + n)^m = 1 + n m mod n^2.

        Not as `phe` does it, which takes another path, hence another time, for large m.
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
        """h_n^s mod n^2 for s uniform in [0, 2^ceil(bits / 2)): the noise of one encryption."""
        return int(_noise(self.n).power(random.bits((self.bits + 1) // 2)))

    def prepare(self) -> None:
        """Makes the table of `blinding_factor` now: at 3072 bits 0.3 s and 23 MiB a process.

        Without it, the table is made once it is worth it.
        """
        _noise(self.n).prepare()

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

        The shift belongs to the layout of a plaintext and is public, so these are plain squarings,
        of c = low + high n as in `crypto.fixed_base`: several times as fast as `times`.
        """
        if bits < 0:
            raise ValueError("a plaintext is shifted upwards")
        n = self.key._n
        high, low = divmod(self._value, n)
        for _ in range(bits):
            carry, square = divmod(low * low, n)
            high = (2 * low * high + carry) % n
            low = square
        return Ciphertext(self.key, low + high * n, fresh=False)

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
        return self.blinded(self.key.blinding_factor(random))

    def blinded(self, factor: int) -> "Ciphertext":
        """`rerandomised` with a blinding factor that was made before and is used for this alone."""
        return Ciphertext(self.key, self._value * factor % self.key._n_squared, fresh=True)

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


def noise_generator(n: int) -> int:
    """h = -y^2 mod n of section 4.2, the same for everybody who knows n.

    y is within 2^-128 of uniform in Z_n: HKDF-Expand (RFC 5869, section 2.3) to 128 bits more than
    n has, reduced mod n, as RFC 9380, section 5.2 hashes to a field. Nobody chose it.
    """
    width = (n.bit_length() + 7) // 8
    length = (n.bit_length() + _SURPLUS_BITS + 7) // 8
    expand = HKDFExpand(algorithm=SHA256(), length=length, info=b"hushbeat/paillier-noise/v1")
    y = int.from_bytes(expand.derive(hashlib.sha256(n.to_bytes(width, "big")).digest()), "big")
    return -(y**2) % n


@lru_cache(maxsize=4)
def _noise(n: int) -> FixedBase:
    """Powers of h_n. One a process and modulus: keys are read anew more often than they change."""
    base = gmpy2.powmod(noise_generator(n), n, gmpy2.mpz(n) ** 2)
    return FixedBase(base, n, (n.bit_length() + 1) // 2)


def modulus_from_text(text: object) -> int:
    """n from base64url, big-endian, without a leading zero byte; raises InvalidEncoding."""
    if not isinstance(text, str) or len(text) > MAX_KEY_BITS // 6 + 2:
        raise InvalidEncoding("a Paillier modulus is base64url text")
    data = unb64u(text)
    if not data or data[0] == 0:
        raise InvalidEncoding("a Paillier modulus has no leading zero byte")
    return int.from_bytes(data, "big")
