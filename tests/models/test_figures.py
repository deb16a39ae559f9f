"""AUC, intervals and calibration on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import cross_fitted, fit_scale, least_heart
from models.data import LabelsError, Recording, read_labels
from models.figures import auc, by_patient, sensitivity, specificity, with_interval
from tests.inference.recordings import DATA, needs_recordings


def test_auc_of_small_cases() -> None:
    labels = np.array([0.0, 0, 1, 1])
    assert auc(labels, np.array([1.0, 2, 3, 4])) == 1
    assert auc(labels, np.array([4.0, 3, 2, 1])) == 0
    assert auc(labels, np.array([1.0, 3, 2, 4])) == 0.75
    assert auc(labels, np.zeros(4)) == 0.5
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))


def test_sensitivity_and_specificity_count_from_zero() -> None:
    labels, scores = np.array([1.0, 1, 0, 0, 0]), np.array([0.0, -1, -1, 0.5, -0.1])
    assert sensitivity(labels, scores) == 0.5
    assert specificity(labels, scores) == pytest.approx(2 / 3)


def test_the_interval_knows_that_a_subjects_recordings_are_not_independent() -> None:
    rng = np.random.default_rng(0)
    people = rng.standard_normal(30)
    scores = np.repeat(people, 20)
    labels = np.repeat((people + rng.standard_normal(30) > 0).astype(float), 20)
    own = with_interval(auc, labels, scores, [str(i) for i in range(600)])
    grouped = with_interval(auc, labels, scores, [str(i // 20) for i in range(600)])
    assert grouped.value == own.value
    assert grouped.subjects == 30
    assert grouped.high - grouped.low > 2 * (own.high - own.low)


def test_a_patient_has_the_mean_of_the_positions() -> None:
    labels, scores, patients = by_patient(
        np.array([0.0, 1, 0]), np.array([1.0, 3.0, 7.0]), ["a", "a", "b"]
    )
    assert (labels.tolist(), scores.tolist(), patients) == ([1, 0], [2, 7], ["a", "b"])


def recordings(count: int) -> list[Recording]:
    """CinC recordings, every second abnormal, in five folds of two sites."""
    return [
        Recording(
            path=f"{i}.flac",
            dataset="cinc2016",
            subset=f"training-{'ab'[i // 2 % 2]}",
            label="abnormal" if i % 2 else "normal",
            subject=str(i),
            fold=i % 5,
            audible_here=False,
            heart_rate_bpm=None,
        )
        for i in range(count)
    ]


def test_calibration_finds_the_head_that_knows_and_the_middle_between_the_classes() -> None:
    rng = np.random.default_rng(0)
    rows = recordings(400)
    labels = np.array([r.abnormal for r in rows])
    logits = np.stack([rng.standard_normal(400), 3 * labels + 0.5 * rng.standard_normal(400)], 1)
    scale = fit_scale(logits, rows)
    assert scale.abnormal > 5 * scale.murmur >= 0
    assert -scale.bias / scale.abnormal == pytest.approx(1.5, abs=0.4)
    z, biases = cross_fitted(logits, rows)
    assert sensitivity(labels, z) > 0.97
    assert specificity(labels, z) > 0.97
    assert biases.shape == (5,)


def test_the_gate_refuses_the_share_asked_for() -> None:
    rows = recordings(1_000)
    assert least_heart(np.arange(1_000.0), rows, 0.02) == pytest.approx(20, abs=1)


def test_labels_that_are_missing_or_broken_are_refused(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    with pytest.raises(LabelsError):
        read_labels(folder)
    (folder / "labels.csv").write_text("path,label\na,b\n")
    with pytest.raises(LabelsError):
        read_labels(folder)


@needs_recordings
def test_folds_never_share_a_person() -> None:
    fold_of: dict[tuple[str, str], int] = {}
    for r in read_labels(DATA):
        assert fold_of.setdefault((r.dataset, r.subject), r.fold) == r.fold
