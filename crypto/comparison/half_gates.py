"""The comparator [d < r] as a garbled circuit, as both sides see it.

Free-XOR (Kolesnikov, Schneider, ICALP 2008) and half-gates (Zahur, Rosulek, Evans, EUROCRYPT 2015):
one AND a bit, two blocks an AND. With c_0 = 0 and

    c_{k+1} = r_k xor ((r_k xor c_k) and (d_k xor c_k))

(Kolesnikov, Sadeghi, Schneider, CANS 2009, section 3.1) c_w = [d < r] for w-bit numbers. d is the
garbler's own: its bits only flip which label stands for which value and cost nothing. The label of
c_0 = 0 is the zero block, known to both.
"""

import numpy as np

from crypto.comparison.blocks import BlockHash, Blocks, colours, where

TABLE_BLOCKS = 2
"""An AND costs two blocks: the garbler's half gate and the evaluator's."""

_LEVEL_BITS = 8
MAX_WIDTH = 1 << _LEVEL_BITS
"""Bits of a comparator that have tweaks of their own."""


def evaluate(hashing: BlockHash, first: int, labels: Blocks, tables: Blocks) -> Blocks:
    """A's side: the label of [d < r] of each comparator.

    Args:
        hashing: the batch's hash.
        first: the number of the first comparator in the batch: tweaks come from it.
        labels: shape (count, width, 2), the labels of r's bits, lowest bit first.
        tables: shape (width, 2, count, 2), as the garbler made them.

    Returns:
        Shape (count, 2).
    """
    count, width = labels.shape[:2]
    carry = np.zeros((count, 2), dtype=np.uint64)
    for level in range(width):
        r = labels[:, level]
        a, b = r ^ carry, carry
        generator, evaluator = tables[level]
        tweaks = gate_tweaks(first, count, level)
        h_a, h_b = hashing(np.stack([a, b]), tweaks)
        gate = h_a ^ where(colours(a), generator) ^ h_b ^ where(colours(b), evaluator ^ a)
        carry = r ^ gate
    return carry


def gate_tweaks(first: int, count: int, level: int) -> Blocks:
    """Shape (2, count, 2): the tweaks of one level's two half gates, unique in a batch."""
    tweaks = np.zeros((TABLE_BLOCKS, count, 2), dtype=np.uint64)
    gates = np.arange(first, first + count, dtype=np.uint64) << np.uint64(_LEVEL_BITS + 1)
    tweaks[0, :, 0] = gates + np.uint64(2 * level)
    tweaks[1, :, 0] = gates + np.uint64(2 * level + 1)
    return tweaks


def output_tweaks(first: int, count: int) -> Blocks:
    """Shape (count, 2): the tweaks of the outputs' shares, apart from those of the gates."""
    tweaks = np.zeros((count, 2), dtype=np.uint64)
    tweaks[:, 0] = np.arange(first, first + count, dtype=np.uint64)
    tweaks[:, 1] = 1
    return tweaks


def shares_with_bits(
    hashing: BlockHash, first: int, labels: Blocks, corrections: bytes
) -> list[int]:
    """A's share s + bit mod 2^64 of each result (see `crypto.keyholder.garbler`).

    Args:
        labels: shape (count, 2), of the results.
        corrections: 8 bytes a result, from the garbler.
    """
    hashed = hashing(labels, output_tweaks(first, len(labels)))[:, 0]
    corrected = hashed + np.frombuffer(corrections, dtype="<u8")
    return [int(share) for share in np.where(colours(labels).astype(bool), corrected, hashed)]
