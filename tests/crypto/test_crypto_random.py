"""Uniform draws, and the same draws again from the same seed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.random import KERNEL, RandomSource, SeededRandom, new_seed

SEED = bytes(range(32))


@pytest.mark.parametrize("source", [KERNEL, SeededRandom(SEED, b"range")])
def test_draws_stay_in_range(source: RandomSource) -> None:
    assert {source.bits(2) for _ in range(200)} == {0, 1, 2, 3}
    assert {source.below(3) for _ in range(200)} == {0, 1, 2}
    assert source.below(1) == 0
    assert source.bits(0) == 0
    assert sorted(source.permutation(17)) == list(range(17))
    assert source.permutation(0) == []


def test_permutations_and_ranges_are_uniform() -> None:
    """Chi-square at fixed seed: 24 orders of 4 (23 degrees of freedom, 99.9 % below 49.7)."""
    source, draws = SeededRandom(SEED, b"chi-square"), 12_000
    orders = Counter(tuple(source.permutation(4)) for _ in range(draws))
    assert sum((seen - draws / 24) ** 2 / (draws / 24) for seen in orders.values()) < 49.7
    numbers = Counter(source.below(24) for _ in range(draws))
    assert sum((seen - draws / 24) ** 2 / (draws / 24) for seen in numbers.values()) < 49.7


@given(st.integers(min_value=1, max_value=1 << 300))
def test_below_is_below(n: int) -> None:
    assert 0 <= KERNEL.below(n) < n


def test_same_seed_and_context_same_numbers() -> None:
    assert SeededRandom(SEED, b"a").bits(512) == SeededRandom(SEED, b"a").bits(512)
    assert SeededRandom(SEED, b"a").bits(512) != SeededRandom(SEED, b"b").bits(512)
    assert SeededRandom(SEED, b"a").bits(512) != SeededRandom(new_seed(), b"a").bits(512)


def test_seeded_known_answers(vectors: Callable[[str], Any]) -> None:
    known = vectors("transcript")["seeded_random"]
    seed, context = bytes.fromhex(known["seed"]), known["context"].encode()
    assert format(SeededRandom(seed, context).bits(256), "064x") == known["bits_256"]
    assert SeededRandom(seed, context).permutation(8) == known["permutation_8"]
    source = SeededRandom(seed, context)
    assert [source.below(1000) for _ in range(5)] == known["below_1000"]


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_seed_has_32_bytes(seed: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SeededRandom(seed, b"")


def test_impossible_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="empty range"):
        KERNEL.below(0)
    with pytest.raises(ValueError, match="not negative"):
        KERNEL.bits(-1)
