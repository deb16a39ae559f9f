"""Figures with intervals: AUC by rank, bootstrap over subjects. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Statistic = Callable[[Numbers, Numbers], float]


@dataclass(frozen=True)
class Figure:
    """A statistic with its 95% interval; NaN where a class is missing."""

    value: float
    low: float
    high: float
    count: int
    subjects: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def auc(labels: Numbers, scores: Numbers) -> float:
    """Area under the ROC curve by the Mann-Whitney statistic, ties counted half."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    if not positive.size or not negative.size:
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    upto = np.searchsorted(ordered, positive, side="right")
    return float((below + upto).mean() / 2 / negative.size)


def sensitivity(labels: Numbers, scores: Numbers) -> float:
    """Share of the positive whose score is at least 0."""
    return float(np.mean(scores[labels == 1] >= 0)) if (labels == 1).any() else float("nan")


def specificity(labels: Numbers, scores: Numbers) -> float:
    """Share of the negative whose score is below 0."""
    return float(np.mean(scores[labels == 0] < 0)) if (labels == 0).any() else float("nan")


def mean(_labels: Numbers, scores: Numbers) -> float:
    """Mean of the scores: shares and errors."""
    return float(scores.mean()) if scores.size else float("nan")


def with_interval(
    statistic: Statistic,
    labels: Numbers,
    scores: Numbers,
    subjects: Sequence[str],
    draws: int = 1_000,
    seed: int = 0,
) -> Figure:
    """``statistic`` with a 95% percentile bootstrap that draws subjects, not recordings."""
    _, member = np.unique(np.asarray(subjects), return_inverse=True)
    count = int(member.max()) + 1 if member.size else 0
    of_subject = [np.flatnonzero(member == s) for s in range(count)]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws if count else 0):
        rows = np.concatenate([of_subject[s] for s in rng.integers(0, count, count)])
        found.append(statistic(labels[rows], scores[rows]))
    known = [value for value in found if not np.isnan(value)]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (np.nan, np.nan)
    return Figure(statistic(labels, scores), float(low), float(high), len(scores), count)


def by_patient(
    labels: Numbers, scores: Numbers, subjects: Sequence[str]
) -> tuple[Numbers, Numbers, list[str]]:
    """Mean score over a patient's recordings, and the highest label among them."""
    patients = sorted(set(subjects))
    rows = {patient: [i for i, s in enumerate(subjects) if s == patient] for patient in patients}
    return (
        np.array([labels[rows[p]].max() for p in patients]),
        np.array([scores[rows[p]].mean() for p in patients]),
        patients,
    )
