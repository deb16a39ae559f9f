"""Noise for a cohort's counts: the discrete Laplace distribution, drawn exactly.

Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), whose
Algorithms 1 and 2 draw with integers only: no float whose rounding would show the value under it
(Mironov, CCS 2012). P(x) is proportional to exp(-|x| / scale).
"""

from fractions import Fraction

from crypto.random import RandomSource


def discrete_laplace(scale: Fraction, random: RandomSource) -> int:
    """An integer x with P(x) = (e^(1/b) - 1) / (e^(1/b) + 1) * e^(-|x|/b), b = `scale` > 0.

    A count that one person changes by at most d is epsilon-differentially private with b =
    d / epsilon (Ghosh, Roughgarden, Sundararajan, STOC 2009). Algorithm 2 with t/s = b.
    """
    if scale <= 0:
        raise ValueError("the scale of noise is above 0")
    t, s = scale.numerator, scale.denominator
    while True:
        u = random.below(t)
        if not _bernoulli_exp(u, t, random):
            continue
        v = 0
        while _bernoulli_exp(1, 1, random):
            v += 1
        y = (u + t * v) // s
        negative = bool(random.bits(1))
        if negative and y == 0:
            continue
        return -y if negative else y


def _bernoulli_exp(numerator: int, denominator: int, random: RandomSource) -> bool:
    """True with probability exp(-numerator / denominator), a fraction from 0 to 1. Algorithm 1."""
    k = 1
    while random.below(denominator * k) < numerator:
        k += 1
    return k % 2 == 1
