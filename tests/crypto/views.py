"""What the tests of secrecy look at messages with.

Chi-square tests with fixed seeds; the bound is five standard deviations.
"""

from collections.abc import Iterable
from typing import Any

import msgpack
import numpy as np

from crypto.comparison.blocks import Blocks
from crypto.random import SeededRandom
from tests.crypto.fast_pair import Triple

TOP = (1 << 16) - 1
TRUE: Triple = ((TOP, 0), (TOP, 0), (TOP, 0))
FALSE: Triple = ((0, TOP), (0, TOP), (0, TOP))
EQUAL: Triple = ((700, 700), (700, 700), (700, 700))


def assert_uniform_bytes(data: bytes) -> None:
    """Chi-square with 255 degrees of freedom: mean 255, standard deviation 22.6."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    assert expected >= 5, "too few bytes for the test"
    statistic = float(((counts - expected) ** 2).sum() / expected)
    assert abs(statistic - 255) < 5 * 22.6


def assert_unbiased(bits: Iterable[int]) -> None:
    """As many ones as zeros, within five standard deviations."""
    values = np.fromiter(bits, dtype=np.int64)
    assert abs(values.sum() - len(values) / 2) < 5 * (len(values) / 4) ** 0.5


def source(name: bytes) -> SeededRandom:
    return SeededRandom(bytes(32), name)


def shape(message: bytes) -> Any:
    """A message's structure with the length of every part, but for numbers and texts themselves."""

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: of(part) for name, part in value.items()}
        if isinstance(value, list):
            return [of(part) for part in value]
        return len(value) if isinstance(value, bytes) else value

    return len(message), of(msgpack.unpackb(message))


def number(block: Blocks) -> int:
    return int(block[0]) | int(block[1]) << 64
