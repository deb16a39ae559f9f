"""Labelled recordings: reading ``labels.csv`` and turning labels into training targets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

SAMPLE_RATE = 2_000
"""Hz. Everything after reading happens at this rate."""


class LabelsError(Exception):
    """``labels.csv`` is missing, empty or lacks a column."""


@dataclass(frozen=True)
class Recording:
    """One row of ``labels.csv``; ``heart_rate_bpm`` is None where it is not annotated."""

    path: str
    dataset: str
    subset: str
    label: str
    subject: str
    fold: int
    audible_here: bool
    heart_rate_bpm: float | None

    @property
    def group(self) -> str:
        """The (site, label) cell that training draws from evenly."""
        return f"{self.subset}/{self.label}"

    @property
    def murmur(self) -> float:
        """1, 0, or NaN where nobody says whether a murmur is audible in this recording.

        CirCor labels the patient: positions of a murmur patient at which the murmur was not heard
        teach nothing certain, and neither does "unknown". Extra beats are not murmurs.
        """
        if self.dataset == "circor":
            if self.label == "present":
                return 1.0 if self.audible_here else np.nan
            return 0.0 if self.label == "absent" else np.nan
        if self.dataset == "pascal" and self.label != "artifact":
            return float(self.label == "murmur")
        return np.nan

    @property
    def abnormal(self) -> float:
        """1, 0, or NaN; CinC only, where the label is the patient's diagnosis."""
        return float(self.label == "abnormal") if self.dataset == "cinc2016" else np.nan

    @property
    def finding(self) -> float:
        """What the sound score should say: murmur or abnormal, NaN where neither is known."""
        return self.abnormal if self.dataset == "cinc2016" else self.murmur

    @property
    def readable(self) -> float:
        """0 for PASCAL's artifacts, 1 for every other recording."""
        return float(self.label != "artifact")


def read_labels(root: Path) -> list[Recording]:
    """The rows of ``root/labels.csv``.

    Raises LabelsError when the file is missing, has no rows or lacks a column.
    """
    try:
        with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = [
                Recording(
                    path=row["path"],
                    dataset=row["dataset"],
                    subset=row["subset"],
                    label=row["label"],
                    subject=row["subject"],
                    fold=int(row["fold"]),
                    audible_here=row["audible_here"] == "1",
                    heart_rate_bpm=float(row["heart_rate_bpm"]) if row["heart_rate_bpm"] else None,
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise LabelsError(f"cannot use {root / 'labels.csv'}: {error!r}") from error
    if not rows:
        raise LabelsError(f"{root / 'labels.csv'} has no rows")
    return rows


def read_waveform(path: Path) -> npt.NDArray[np.float32]:
    """A recording as mono float32 at 2 kHz, shape (samples,), full scale 1."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    resampled: npt.NDArray[np.float32] = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return resampled
