"""B's side of the garbled comparator: makes the tables (see `crypto.comparison.half_gates`)."""

import numpy as np

from crypto.comparison.blocks import Bits, BlockHash, Blocks, colours, where
from crypto.comparison.half_gates import TABLE_BLOCKS, gate_tweaks, output_tweaks


def garble(
    hashing: BlockHash, offset: Blocks, first: int, zero_labels: Blocks, d: Bits
) -> tuple[Blocks, Blocks]:
    """The tables of comparators [d < r], and the zero label of each result.

    Args:
        hashing: the batch's hash.
        offset: shape (2,), the free-XOR offset; its lowest bit is 1.
        first: the number of the first comparator in the batch.
        zero_labels: shape (count, width, 2), the labels that stand for 0 of r's bits.
        d: shape (count, width), the bits of d, lowest first.

    Returns:
        Tables of shape (width, 2, count, 2) and zero labels of shape (count, 2).
    """
    count, width = d.shape
    tables = np.empty((width, TABLE_BLOCKS, count, 2), dtype=np.uint64)
    carry = np.zeros((count, 2), dtype=np.uint64)
    for level in range(width):
        r = zero_labels[:, level]
        a, b = r ^ carry, carry ^ where(d[:, level], offset)
        tweaks = gate_tweaks(first, count, level)
        h_a0, h_b0, h_a1, h_b1 = hashing(
            np.stack([a, b, a ^ offset, b ^ offset]), np.concatenate([tweaks, tweaks])
        )
        generator = h_a0 ^ h_a1 ^ where(colours(b), offset)
        evaluator = h_b0 ^ h_b1 ^ a
        tables[level] = generator, evaluator
        gate = h_a0 ^ where(colours(a), generator) ^ h_b0 ^ where(colours(b), evaluator ^ a)
        carry = r ^ gate
    return tables, carry


def additive_shares(
    hashing: BlockHash, offset: Blocks, first: int, zero_labels: Blocks
) -> tuple[list[int], bytes]:
    """B's share s of each result, and the correction with which A finds s + bit mod 2^64.

    A hashes its label. Of the two labels the one of colour 0 fixes s without a message; the
    correction brings the other one to s plus its value. s is uniform in [0, 2^64), so A's share
    tells nothing; s + 1 wraps with probability 2^-64, which is the error of a comparison.

    Args:
        zero_labels: shape (count, 2), of the results.

    Returns:
        The shares, and 8 bytes a result.
    """
    tweaks = output_tweaks(first, len(zero_labels))
    colour = colours(zero_labels)
    at_zero = zero_labels ^ where(colour, offset)
    h_0, h_1 = hashing(np.stack([at_zero, at_zero ^ offset]), np.stack([tweaks, tweaks]))[..., 0]
    value_at_zero = colour.astype(np.uint64)
    shares = h_0 - value_at_zero
    corrections = shares + (np.uint64(1) - value_at_zero) - h_1
    return [int(share) for share in shares], corrections.astype("<u8").tobytes()
