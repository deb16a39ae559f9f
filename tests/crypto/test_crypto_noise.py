"""The sampler against the exact distribution, and against numbers that it drew once."""

import math
from collections import Counter
from fractions import Fraction

import pytest

from crypto.noise import discrete_laplace
from crypto.random import SeededRandom


def source(name: str) -> SeededRandom:
    return SeededRandom(bytes(32), name.encode())


def exact(x: int, scale: Fraction) -> float:
    """Canonne, Kamath, Steinke, equation 1 of section 5: the probability of x."""
    s = float(1 / scale)
    return math.expm1(s) / (math.exp(s) + 1) * math.exp(-abs(x) * s)


@pytest.mark.parametrize(
    "scale", [Fraction(1, 2), Fraction(1), Fraction(7, 3), Fraction(5)], ids=str
)
def test_the_draws_follow_the_exact_distribution(scale: Fraction) -> None:
    """Chi-square, cells of at least ten expected draws; the seed is fixed, so is the verdict."""
    draws, random = 20_000, source(f"chi-square {scale}")
    seen = Counter(discrete_laplace(scale, random) for _ in range(draws))
    edge = 0
    while draws * exact(edge + 1, scale) >= 10:
        edge += 1
    inner = range(-edge, edge + 1)
    expected = [draws * exact(x, scale) for x in inner]
    tail = (draws - sum(expected)) / 2
    expected += [tail, tail]
    observed = [seen[x] for x in inner]
    observed += [
        sum(n for x, n in seen.items() if x < -edge),
        sum(n for x, n in seen.items() if x > edge),
    ]
    statistic = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    freedom = len(expected) - 1
    # Wilson and Hilferty: the cube root of chi-square / freedom is nearly normal; 4 deviations.
    spread = 2 / (9 * freedom)
    assert statistic < freedom * (1 - spread + 4 * math.sqrt(spread)) ** 3


def test_both_signs_are_drawn_alike() -> None:
    random = source("signs")
    draws = [discrete_laplace(Fraction(3), random) for _ in range(10_000)]
    negative, positive = sum(x < 0 for x in draws), sum(x > 0 for x in draws)
    assert abs(negative - positive) < 4 * math.sqrt(negative + positive)


def test_known_draws() -> None:
    """Another implementation that reads the same bytes must draw these."""
    random = source("known")
    drawn = [discrete_laplace(Fraction(124_000, 500), random) for _ in range(8)]
    assert drawn == [-93, -17, -547, 35, -317, 348, -212, -114]


@pytest.mark.parametrize("scale", [Fraction(0), Fraction(-1)])
def test_a_scale_that_is_none(scale: Fraction) -> None:
    with pytest.raises(ValueError, match="above 0"):
        discrete_laplace(scale, source("none"))
