"""The Paillier private key: decryption, zero tests and cheap noise by the Chinese remainder."""

from collections.abc import Mapping
from typing import Any

import gmpy2
from phe import paillier as phe

from crypto.encoding import b64u, unb64u
from crypto.errors import ForeignKey, InvalidEncoding, PlaintextOutOfRange
from crypto.paillier import MAX_KEY_BITS, Ciphertext, PublicKey
from crypto.random import KERNEL, RandomSource


class PrivateKey:
    """p and q, with n = p q.

    All exponents here are secret, so all powers are `gmpy2.powmod_sec`, whose time depends on the
    exponent's length alone.

    Attributes:
        public: the public key.

    Raises:
        InvalidEncoding: p and q are not distinct primes of the same length.
        KeyTooSmall: see `PublicKey`.
    """

    def __init__(self, p: int, q: int) -> None:
        # Primes of the same length make n coprime to (p - 1)(q - 1), which Paillier needs.
        if p == q or p.bit_length() != q.bit_length() or not _are_prime(p, q):
            raise InvalidEncoding("a Paillier private key has two primes of the same length")
        self.public = PublicKey(p * q)
        key: Any = phe.PaillierPrivateKey(phe.PaillierPublicKey(p * q), p, q)
        self._p, self._q = gmpy2.mpz(key.p), gmpy2.mpz(key.q)
        self._p_squared, self._q_squared = self._p**2, self._q**2
        self._h_p, self._h_q = gmpy2.mpz(key.hp), gmpy2.mpz(key.hq)
        self._p_inverse = gmpy2.invert(self._p, self._q)
        self._p_squared_inverse = gmpy2.invert(self._p_squared, self._q_squared)

    @classmethod
    def generate(cls, bits: int = 3072) -> "PrivateKey":
        """A new key with a modulus of that many bits (an even number)."""
        key: Any = phe.generate_paillier_keypair(n_length=bits)[1]
        return cls(key.p, key.q)

    def decrypt(self, ciphertext: Ciphertext) -> int:
        """The plaintext in [0, n) (Paillier 1999, section 7). Raises ForeignKey."""
        value = self._own(ciphertext)
        m_p = self._log(value, self._p, self._p_squared) * self._h_p % self._p
        m_q = self._log(value, self._q, self._q_squared) * self._h_q % self._q
        return int(m_p + (m_q - m_p) * self._p_inverse % self._q * self._p)

    def is_zero(self, ciphertext: Ciphertext) -> bool:
        """Whether the plaintext is 0 mod p, at half the cost of decrypting.

        For 0 and for the units of Z_n, all that an honest peer sends here, that is whether it is
        0; nobody who does not know p can make another number that is 0 mod p.
        """
        value = self._own(ciphertext)
        return bool(gmpy2.powmod_sec(value, self._p - 1, self._p_squared) == 1)

    def encrypt(self, m: int, random: RandomSource = KERNEL) -> Ciphertext:
        """A fresh encryption of m, 0 <= m < n, several times faster than with the public key.

        r^n mod n^2 for uniform r is uniform among the n-th residues. Mod p^2 these are the
        x^p for uniform x in Z_p^*, so they are drawn there and mod q^2, and put together.
        """
        if not 0 <= m < self.public.n:
            raise PlaintextOutOfRange("a plaintext lies between 0 and n")
        noise_p = self._noise(self._p, self._p_squared, random)
        noise_q = self._noise(self._q, self._q_squared, random)
        lift = (noise_q - noise_p) * self._p_squared_inverse % self._q_squared
        noise = noise_p + lift * self._p_squared
        value = (1 + m * self.public.n) * noise % (self._p_squared * self._q_squared)
        return Ciphertext(self.public, int(value), fresh=True)

    def to_jwk(self) -> dict[str, Any]:
        """The secret itself in the JWK-like form of pheutil: seal it before it is stored."""
        width = (self.public.plaintext_bytes + 1) // 2
        p, q = (b64u(int(prime).to_bytes(width, "big")) for prime in (self._p, self._q))
        pub = self.public.to_jwk()
        return {"kty": "DAJ", "key_ops": ["decrypt"], "p": p, "q": q, "pub": pub, "kid": pub["kid"]}

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> "PrivateKey":
        """The key of a JWK as `to_jwk` or pheutil makes it; raises InvalidEncoding."""
        if jwk.get("kty") != "DAJ" or not isinstance(jwk.get("pub"), Mapping):
            raise InvalidEncoding("not a Paillier private key: kty DAJ with pub expected")
        key = cls(*(_prime(jwk.get(name)) for name in ("p", "q")))
        if PublicKey.from_jwk(jwk["pub"]) != key.public:
            raise InvalidEncoding("the public key in this JWK is not p times q")
        return key

    def __repr__(self) -> str:
        return "PrivateKey"

    def _own(self, ciphertext: Ciphertext) -> int:
        if ciphertext.key != self.public:
            raise ForeignKey("this ciphertext is under another key")
        return int(ciphertext)

    @staticmethod
    def _log(value: int, prime: Any, squared: Any) -> Any:
        return (gmpy2.powmod_sec(value, prime - 1, squared) - 1) // prime

    @staticmethod
    def _noise(prime: Any, squared: Any, random: RandomSource) -> Any:
        return gmpy2.powmod_sec(random.below(int(prime) - 1) + 1, prime, squared)


def _are_prime(*numbers: int) -> bool:
    return all(gmpy2.is_prime(number, 40) for number in numbers)


def _prime(text: object) -> int:
    if not isinstance(text, str) or len(text) > MAX_KEY_BITS // 6:
        raise InvalidEncoding("a prime is base64url text")
    return int.from_bytes(unb64u(text), "big")
