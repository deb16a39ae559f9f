"""The models that serve: trained on all recordings, exported, calibrated and pinned.

``python -m models.train --root ../shared/data`` first cross-validates (``models.crossval``):
weights of the sound score, operating point and gate threshold come from out-of-fold logits.
Finished runs are kept in ``models/runs``; delete that folder to train everything again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.calibration import fit_scale, least_heart
from models.crossval import CLASSIFIERS, RUNS, fit, out_of_fold
from models.data import SAMPLE_RATE, Recording, read_labels
from models.export import export, write_pins
from models.networks import HOP, N_FFT, NETWORKS
from models.registry import PINS
from models.training import Features, read_features

Numbers = npt.NDArray[np.float64]
MODEL_ID = "hushbeat-cnn+lstm-1"


def ensemble(features: Features, recordings: list[Recording], seed: int) -> Numbers:
    """Out-of-fold logits (n, 2) as served: the mean over the classifiers."""
    logits = [out_of_fold(name, features, recordings, seed) for name in CLASSIFIERS]
    return np.asarray(np.mean(logits, axis=0))


def long_enough(features: Features) -> npt.NDArray[np.bool_]:
    """Which recordings last the 3 s that a judgement needs, (n,)."""
    frames = (3 * SAMPLE_RATE - N_FFT) // HOP + 1
    return np.array([f.shape[1] >= frames for f in features])


def final(name: str, features: Features, recordings: list[Recording], seed: int) -> nn.Module:
    """The network trained on all recordings; its weights are kept beside the other runs."""
    kept = RUNS / f"final-{name}-{seed}.pt"
    if not kept.exists():
        torch.save(fit(name, features, recordings, seed, kept.stem).state_dict(), kept)
    network = NETWORKS[name]()
    network.load_state_dict(torch.load(kept))
    return network.eval()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recordings = read_labels(arguments.root)
    features = read_features(arguments.root, recordings, RUNS / "features.npz")
    scale = fit_scale(ensemble(features, recordings, arguments.seed), recordings)
    lasting = long_enough(features)
    heart = out_of_fold("gate", features, recordings, arguments.seed)[lasting, 0]
    threshold = least_heart(heart, [r for r, ok in zip(recordings, lasting, strict=True) if ok])
    files = {}
    for name in (*CLASSIFIERS, "gate"):
        network = final(name, features, recordings, arguments.seed)
        files[name] = PINS.parent / "onnx" / f"{name}.onnx"
        export(name, network, files[name])
    calibration = {
        "sound": {"murmur": scale.murmur, "abnormal": scale.abnormal, "bias": scale.bias},
        "gate": {"least_logit": threshold},
    }
    write_pins(PINS, MODEL_ID, files, calibration)
    return 0


if __name__ == "__main__":
    sys.exit(main())
