"""Where random numbers come from: the kernel, or one 32-byte seed that can be replayed.

Both sources offer the three draws that the protocol needs, and both are uniform without bias:
rejection sampling for ranges, Fisher-Yates for permutations (Knuth, TAOCP 2, 3.4.2).
"""

import secrets
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SEED_BYTES = 32


class RandomSource(Protocol):
    """What a step of the protocol may draw."""

    def bits(self, k: int) -> int:
        """Uniform in [0, 2^k)."""

    def below(self, n: int) -> int:
        """Uniform in [0, n), n >= 1."""

    def permutation(self, k: int) -> list[int]:
        """A uniform order of 0..k-1."""


class _ByteSource:
    """The three draws on top of a stream of uniform bytes."""

    def _bytes(self, count: int) -> bytes:
        raise NotImplementedError

    def bits(self, k: int) -> int:
        if k < 0:
            raise ValueError("a number of bits is not negative")
        count = (k + 7) // 8
        return int.from_bytes(self._bytes(count), "big") >> (8 * count - k)

    def below(self, n: int) -> int:
        if n < 1:
            raise ValueError("an empty range has nothing to draw from")
        width = (n - 1).bit_length()
        while (candidate := self.bits(width)) >= n:
            pass
        return candidate

    def permutation(self, k: int) -> list[int]:
        order = list(range(k))
        for last in range(k - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order


class _KernelRandom(_ByteSource):
    def _bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


class SeededRandom(_ByteSource):
    """The same draws again for the same seed and context, unpredictable without the seed.

    AES-256 in counter mode under HKDF-Expand(seed, context) (RFC 5869; NIST SP 800-90A uses the
    same generator). The context is what keeps a seed safe to use again: a step whose inputs
    differ must pass another context, so that two different messages never share their randomness.

    Args:
        seed: 32 bytes from the kernel, kept secret.
        context: what the numbers are for, including everything that the step's message depends on.
    """

    def __init__(self, seed: bytes, context: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes")
        info = b"hushbeat/random/v1\x00" + context
        key = HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(seed)
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def __repr__(self) -> str:
        return "SeededRandom"

    def _bytes(self, count: int) -> bytes:
        return self._stream.update(bytes(count))


KERNEL: RandomSource = _KernelRandom()


def new_seed() -> bytes:
    """A fresh seed from the kernel."""
    return secrets.token_bytes(SEED_BYTES)
