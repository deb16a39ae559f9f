"""From two heads to one sound score, and the operating point, on out-of-fold logits only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.data import Recording
from models.registry import SoundScale

Numbers = npt.NDArray[np.float64]


def fit_scale(logits: Numbers, recordings: Sequence[Recording]) -> SoundScale:
    """Logistic regression of the finding on the two logits (n, 2), then the operating point.

    Every (site, label) cell weighs the same. The weights are kept from going below 0, so that the
    score rises with either head. The operating point is where the mean over the data sets, and
    within them over the sites, of sensitivity and specificity is highest.
    """
    labels = np.array([r.finding for r in recordings])
    known = ~np.isnan(labels)
    cells = np.array([r.group for r in recordings])[known]
    x, y = logits[known], labels[known]
    names, counts = np.unique(cells, return_counts=True)
    share = dict(zip(names.tolist(), 1 / counts, strict=True))
    weights = np.array([share[cell] for cell in cells.tolist()])
    slope, bias = _logistic(x, y, weights / weights.sum())
    z = x @ slope + bias
    kept = [r for r, k in zip(recordings, known, strict=True) if k]
    return SoundScale(float(slope[0]), float(slope[1]), bias - _operating_point(z, y, kept))


def _logistic(x: Numbers, y: Numbers, weights: Numbers) -> tuple[Numbers, float]:
    """Slopes (2,) >= 0 and bias of a weighted logistic regression, by projected gradient."""
    slope, bias = np.array([0.5, 0.5]), 0.0
    for _ in range(4_000):
        gap = weights * (1 / (1 + np.exp(-(x @ slope + bias))) - y)
        slope = np.maximum(slope - 0.5 * (x.T @ gap), 0.0)
        bias -= 0.5 * float(gap.sum())
    return slope, bias


def _operating_point(z: Numbers, y: Numbers, recordings: Sequence[Recording]) -> float:
    """The threshold on z with the best mean of sensitivity and specificity over the sites."""
    subsets = np.array([r.subset for r in recordings])
    datasets = {r.subset: r.dataset for r in recordings}
    sites_of = {d: [s for s in datasets if datasets[s] == d] for d in set(datasets.values())}
    importance = {s: 1 / len(sites_of[d]) for s, d in datasets.items()}
    candidates = np.quantile(z, np.linspace(0.05, 0.95, 181))
    gain = np.zeros(candidates.size)
    for site, weight in importance.items():
        here = subsets == site
        found = z[here][None, :] >= candidates[:, None]
        positive = y[here] == 1
        gain += weight * (found[:, positive].mean(axis=1) + 1 - found[:, ~positive].mean(axis=1))
    # The middle of the best stretch: the very best candidate is mostly luck.
    best = candidates[gain >= gain.max() - 0.01]
    return float(np.median(best))


def cross_fitted(logits: Numbers, recordings: Sequence[Recording]) -> tuple[Numbers, Numbers]:
    """z of every recording, (n,), by a scale fitted on the other folds, and the folds' biases.

    What a fold is judged by is so chosen without it: threshold and weights as well as network.
    """
    folds = np.array([r.fold for r in recordings])
    z = np.empty(len(recordings))
    biases = []
    for fold in np.unique(folds):
        others = folds != fold
        scale = fit_scale(
            logits[others], [r for r, other in zip(recordings, others, strict=True) if other]
        )
        z[~others] = logits[~others] @ [scale.murmur, scale.abnormal] + scale.bias
        biases.append(scale.bias)
    return z, np.array(biases)


def least_heart(logits: Numbers, recordings: Sequence[Recording], refused: float = 0.0125) -> float:
    """The gate's threshold: the logit (n,) that a share ``refused`` of real hearts lies below.

    Recordings under 3 s, which a rule refuses before the gate sees them, are the caller's to leave
    out.
    """
    hearts = np.array([bool(r.readable) for r in recordings])
    return float(np.quantile(logits[hearts], refused))
