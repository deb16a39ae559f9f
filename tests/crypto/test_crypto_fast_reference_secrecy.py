"""The reference engine's coin and permutation, counted."""

from collections import Counter
from itertools import permutations, product

import pytest

from crypto.comparison.reference import ReferenceInitiator
from crypto.keyholder.private_key import PrivateKey
from crypto.random import SeededRandom
from crypto.slots import join, zone_bits
from tests.crypto.fast_pair import (
    recording,
)
from tests.crypto.views import (
    assert_unbiased,
)


@pytest.fixture(scope="module")
def tiny_key(_small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey.generate(256)


class OnePermutation(SeededRandom):
    """A source whose next permutation is given."""

    order: list[int]

    def permutation(self, k: int) -> list[int]:
        assert k == len(self.order)
        return self.order


def test_the_reference_engines_coin_and_permutation_hide_everything(
    tiny_key: PrivateKey,
) -> None:
    """l = 2, every d and r: one of the two coins shows B a zero, once at each place it could be."""
    key, bits = tiny_key.public, 2
    packed = key.constant(join([4, 4, 4], zone_bits(256, bits + 64 + 2)))
    initiator = ReferenceInitiator(key, recording(1), packed, bytes(32), score_bits=bits)
    for d, r in product(range(4), range(4)):
        cells = [key.encrypt(2 * d + 1 >> k & 1) for k in range(bits + 1)]
        places: Counter[int | None] = Counter()
        zeros = []
        for coin in (0, 1):
            for order in permutations(range(bits + 1)):
                random = OnePermutation(bytes(32), bytes(order))
                random.order = list(order)
                tests = initiator._tests(2 * r, cells, coin, random)
                shown = [tiny_key.is_zero(key.parse(test)) for test in tests]
                assert sum(shown) <= 1
                places[shown.index(True) if any(shown) else None] += 1
            zeros.append(any(shown))
        assert sorted(zeros) == [False, True]
        assert places == {None: 6, 0: 2, 1: 2, 2: 2}


def test_permutations_are_uniform_exactly() -> None:
    """Every sequence of draws below 4, 3 and 2 gives another order: all 24, once each."""

    class Given(SeededRandom):
        draws: list[int]

        def below(self, n: int) -> int:
            value = self.draws.pop(0)
            assert value < n
            return value

    orders = set()
    for draws in product(range(4), range(3), range(2)):
        random = Given(bytes(32), b"")
        random.draws = list(draws)
        orders.add(tuple(random.permutation(4)))
    assert orders == set(permutations(range(4)))


def test_the_reference_engines_coin_is_a_bit_of_its_source() -> None:
    assert_unbiased(SeededRandom(bytes(32), b"coin%d" % i).bits(1) for i in range(2_000))
