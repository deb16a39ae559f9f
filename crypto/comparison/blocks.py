"""Wire labels in bulk: 128-bit blocks as rows of two little-endian 64-bit words.

The hash is TMMO (Guo, Katz, Wang, Yu, IEEE S&P 2020, section 7.4): with one permutation P,
H(x, i) = P(P(x) xor i) xor P(x), tweakable and circular correlation robust, which free-XOR and
half-gates need. P is AES-128 under a key of its own for each batch, so that work done against one
batch is worth nothing against another (the multi-instance concern of Guo, Katz, Wang, Weng, Yu,
CRYPTO 2020); within a batch the tweaks never repeat.
"""

import hashlib

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Blocks = npt.NDArray[np.uint64]
"""Shape (..., 2): 128-bit blocks, lowest 64 bits first."""

Bits = npt.NDArray[np.uint8]
"""Shape (...): zeros and ones."""

BLOCK_BYTES = 16
BLOCK_BITS = 128

_COLOUR = np.uint64(1)


class BlockHash:
    """H(x, i) of one batch.

    Args:
        session: the session's 16 bytes.
        batch: the batch's number in the session.
    """

    def __init__(self, session: bytes, batch: int) -> None:
        name = b"hushbeat/garbling/v1\x00" + session + batch.to_bytes(8, "big")
        key = hashlib.sha256(name).digest()[:BLOCK_BYTES]
        self._encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - P above

    def __call__(self, x: Blocks, tweak: Blocks) -> Blocks:
        """H of each block with the tweak at its place; equal shapes."""
        once = self._permuted(x)
        return self._permuted(once ^ tweak) ^ once

    def _permuted(self, x: Blocks) -> Blocks:
        return blocks_from_bytes(self._encryptor.update(x.tobytes())).reshape(x.shape)


def blocks_from_bytes(data: bytes) -> Blocks:
    """Shape (n, 2) from 16 n bytes, little-endian."""
    return np.frombuffer(data, dtype="<u8").reshape(-1, 2).astype(np.uint64, copy=False)


def colours(labels: Blocks) -> Bits:
    """The lowest bit of each block: which of a wire's two labels it is, never which value."""
    return (labels[..., 0] & _COLOUR).astype(np.uint8)


def where(bits: Bits, block: Blocks) -> Blocks:
    """`block` where the bit is 1, zero elsewhere: shape (*bits.shape, 2)."""
    return np.where(bits[..., np.newaxis].astype(bool), block, np.uint64(0))


def rows_of_columns(columns: Bits) -> Blocks:
    """Transposes a bit matrix from 128 packed columns to blocks.

    Args:
        columns: shape (128, k), bit j of column i at byte j // 8, lowest bit first.

    Returns:
        Shape (8 k, 2): bit i of block j is bit j of column i.
    """
    bits = np.unpackbits(columns, axis=1, bitorder="little")
    packed = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
    return blocks_from_bytes(packed.tobytes())


def bits_of(numbers: list[int], width: int) -> Bits:
    """Shape (len(numbers), width): the `width` low bits of each number, lowest first."""
    step = (width + 7) // 8
    mask = (1 << width) - 1
    data = b"".join((number & mask).to_bytes(step, "little") for number in numbers)
    packed = np.frombuffer(data, dtype=np.uint8).reshape(len(numbers), step)
    return np.unpackbits(packed, axis=1, bitorder="little")[:, :width]
