"""The real recordings, where this machine has them; they are no part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.data import Recording, read_labels

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("HUSHBEAT_DATA", ROOT.parent / "shared" / "data"))

needs_recordings = pytest.mark.skipif(
    not (DATA / "labels.csv").exists(),
    reason=f"no labelled recordings at {DATA}; HUSHBEAT_DATA says where they are",
)


def sample(every: int, **wanted: str) -> list[tuple[Recording, bytes]]:
    """Every n-th recording whose columns are as ``wanted``, with its file's bytes."""
    chosen = [
        r for r in read_labels(DATA) if all(getattr(r, key) == v for key, v in wanted.items())
    ]
    return [(r, (DATA / r.path).read_bytes()) for r in chosen[::every]]
