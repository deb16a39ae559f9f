"""The Paillier private key: decryption, zero tests and cheap noise by the Chinese remainder."""

from collections.abc import Mapping
from typing import Any

import gmpy2
from phe import paillier as phe

from crypto.blinding_pool import BlindingPool
from crypto.encoding import b64u, unb64u
from crypto.errors import ForeignKey, InvalidEncoding
from crypto.fixed_base import FixedBase
from crypto.paillier import MAX_KEY_BITS, Ciphertext, PublicKey, noise_generator
from crypto.random import KERNEL, RandomSource

_ROUNDS = 40
"""Of GMP's primality test: Baillie-PSW and 16 of Miller and Rabin's."""


class PrivateKey:
    """p and q, with n = p q.

    All exponents here are secret, so all powers are `gmpy2.powmod_sec`, whose time depends on the
    exponent's length alone, or come from tables (`crypto.fixed_base`).

    Attributes:
        public: the public key.

    Raises:
        InvalidEncoding: p and q are not distinct primes of the same length, both 3 mod 4, with
            gcd(p - 1, q - 1) = 2, as the noise of Damgard, Jurik and Nielsen wants them.
        KeyTooSmall: see `PublicKey`.
    """

    def __init__(self, p: int, q: int) -> None:
        # Primes of the same length make n coprime to (p - 1)(q - 1), which Paillier needs.
        if p == q or p.bit_length() != q.bit_length() or not _are_prime(p, q):
            raise InvalidEncoding("a Paillier private key has two primes of the same length")
        if not _suit(p, q):
            raise InvalidEncoding(
                "p and q must be 3 mod 4 with gcd(p - 1, q - 1) = 2, as in every key of "
                "PrivateKey.generate"
            )
        self.public = PublicKey(p * q)
        key: Any = phe.PaillierPrivateKey(phe.PaillierPublicKey(p * q), p, q)
        self._p, self._q = gmpy2.mpz(key.p), gmpy2.mpz(key.q)
        self._p_squared, self._q_squared = self._p**2, self._q**2
        self._h_p, self._h_q = gmpy2.mpz(key.hp), gmpy2.mpz(key.hq)
        self._p_inverse = gmpy2.invert(self._p, self._q)
        self._p_squared_inverse = gmpy2.invert(self._p_squared, self._q_squared)
        self._noise_p, self._noise_q = self._noise(self._p), self._noise(self._q)
        self._pool: BlindingPool | None = None

    @classmethod
    def generate(cls, bits: int = 3072) -> "PrivateKey":
        """A new key with a modulus of that many bits (an even number), within 3 s at 3072.

        p and q are uniform among the primes that suit and have their two highest bits set.
        """
        while True:
            p, q = _draw_prime(bits // 2), _draw_prime(bits // 2)
            if p != q and _suit(p, q):
                return cls(p, q)

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
        """A fresh encryption of m, 0 <= m < n. Raises PlaintextOutOfRange."""
        if random is KERNEL and self._pool is not None:
            factor = self._pool.take()
        else:
            factor = self.blinding_factor(random)
        return self.public.constant(m).blinded(factor)

    def blinding_factor(self, random: RandomSource = KERNEL) -> int:
        """h_n^s mod n^2, uniform in the whole group of h_n; faster than with the public key.

        The powers are taken mod p^2 and q^2 and put together. h_n is no square mod p nor mod q, so
        its powers are the pairs of powers whose exponents, below p - 1 and q - 1, have one parity.
        """
        parity = random.bits(1)
        s_p = 2 * random.below(int(self._p - 1) // 2) + parity
        s_q = 2 * random.below(int(self._q - 1) // 2) + parity
        noise_p, noise_q = self._noise_p.power(s_p), self._noise_q.power(s_q)
        lift = (noise_q - noise_p) * self._p_squared_inverse % self._q_squared
        return int(noise_p + lift * self._p_squared)

    def prepare(self) -> None:
        """Makes the tables of `encrypt` now: at 3072 bits 0.2 s and 26 MiB a process.

        Without it, they are made once they are worth it.
        """
        self._noise_p.prepare()
        self._noise_q.prepare()

    def keep_ready(self, count: int) -> None:
        """From now on makes blinding factors for that many encryptions ahead, in idle time."""
        self._pool = BlindingPool(self, count)

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

    def _noise(self, prime: Any) -> FixedBase:
        base = gmpy2.powmod(noise_generator(self.public.n), self.public.n, prime**2)
        return FixedBase(base, prime, prime.bit_length())


def _draw_prime(bits: int) -> int:
    """A prime of exactly that many bits, 3 mod 4, large enough that two make a full modulus."""
    while True:
        candidate = KERNEL.bits(bits) | 3 << bits - 2 | 3
        if _are_prime(candidate):
            return candidate


def _are_prime(*numbers: int) -> bool:
    return all(gmpy2.is_prime(number, _ROUNDS) for number in numbers)


def _suit(p: int, q: int) -> bool:
    """Whether -1 is no square mod p nor mod q and h can reach half of all units."""
    return p % 4 == q % 4 == 3 and gmpy2.gcd(p - 1, q - 1) == 2


def _prime(text: object) -> int:
    if not isinstance(text, str) or len(text) > MAX_KEY_BITS // 6:
        raise InvalidEncoding("a prime is base64url text")
    return int.from_bytes(unb64u(text), "big")
