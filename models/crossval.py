"""Out-of-fold logits: every recording judged by networks that never heard its person or its site.

``python -m models.crossval --root ../shared/data`` runs the five folds of ``labels.csv`` and then
leaves out one site after the other. Each finished run is kept in ``models/runs`` and not repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.data import Recording, read_labels
from models.training import Features, predict, read_features, train, train_gate

RUNS = Path(__file__).parent / "runs"
FOLDS = tuple(range(5))
SITES = ("training-a", "training-b", "training-e", "training-f", "pascal")
CLASSIFIERS = ("cnn", "cnn_lstm")
LEFT_OUT = ("gate", "cnn_lstm")
"""Networks that are also trained without each site; the two classifiers differ little in this."""
Logits = npt.NDArray[np.float64]


def show(name: str) -> Callable[[int, int, float], None]:
    """A progress line for a training run."""

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0 or step == steps:
            bar = "#" * (20 * step // steps)
            print(f"\r{name:28} [{bar:20}] {step}/{steps} loss {loss:.3f}", end="", flush=True)
            if step == steps:
                print()

    return progress


def findings(recordings: Sequence[Recording]) -> Logits:
    """Training targets (n, 2) of the classifiers: murmur, abnormal; NaN where unknown."""
    return np.array([[r.murmur, r.abnormal] for r in recordings])


def fit(
    network: str, features: Features, recordings: Sequence[Recording], seed: int, name: str
) -> torch.nn.Module:
    """Trains a classifier or the gate on the recordings given."""
    if network == "gate":
        return train_gate(features, recordings, seed, show(name))
    groups = [r.group for r in recordings]
    return train(network, features, findings(recordings), groups, seed, show(name))


def held_out(
    network: str,
    split: str,
    test: Sequence[bool],
    features: Features,
    recordings: Sequence[Recording],
    seed: int = 0,
    runs: Path = RUNS,
) -> Logits:
    """Logits (tested recordings, heads) of a network trained on all the others."""
    kept = runs / f"{split}-{network}-{seed}.npy"
    if not kept.exists():
        known = [i for i, out in enumerate(test) if not out]
        model = fit(
            network, [features[i] for i in known], [recordings[i] for i in known], seed, kept.stem
        )
        runs.mkdir(parents=True, exist_ok=True)
        np.save(kept, predict(model, [features[i] for i, out in enumerate(test) if out]))
    logits: Logits = np.load(kept)
    return logits


def out_of_fold(
    network: str, features: Features, recordings: Sequence[Recording], seed: int = 0
) -> Logits:
    """Logits (n, heads) of all recordings, each from the fold that left its person out."""
    parts: list[Logits] = []
    order: list[int] = []
    for fold in FOLDS:
        test = [r.fold == fold for r in recordings]
        parts.append(held_out(network, f"fold{fold}", test, features, recordings, seed))
        order += [i for i, out in enumerate(test) if out]
    together = np.concatenate(parts)
    logits = np.empty_like(together)
    logits[order] = together
    return logits


def leave_site_out(
    network: str, site: str, features: Features, recordings: Sequence[Recording]
) -> Logits:
    """Logits of one site's (or dataset's) recordings from a network that never heard the site."""
    test = [site in (r.subset, r.dataset) for r in recordings]
    return held_out(network, f"without-{site}", test, features, recordings)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recordings = read_labels(arguments.root)
    features = read_features(arguments.root, recordings, RUNS / "features.npz")
    for network in ("gate", *CLASSIFIERS):
        out_of_fold(network, features, recordings, arguments.seed)
    for network in LEFT_OUT:
        for site in SITES:
            leave_site_out(network, site, features, recordings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
