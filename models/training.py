"""One training run: even sampling, light augmentation, masked binary cross-entropy, seeded."""

# mypy: disable-error-code="misc, no-any-return"
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.data import Recording, read_waveform
from models.negatives import draw
from models.networks import N_MELS, NETWORKS, WINDOW, LogMel, windows

Features = list[npt.NDArray[np.float16]]
"""Log-mel of each recording, (48, frames) in dB; half precision is finer than 0.05 dB."""

Progress = Callable[[int, int, float], None]
"""Called with step, steps and the running loss."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast. Batch of windows, peak learning rate, weight decay."""

    steps: int
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-2


PLANS = {"cnn": Plan(800), "cnn_lstm": Plan(800), "gate": Plan(1_200)}
NEGATIVES = 3_000


def log_mels(waveforms: Sequence[npt.NDArray[np.float32]]) -> Features:
    """The features of waveforms at 2 kHz; those under one STFT frame are padded with zeros."""
    front = LogMel()
    found = []
    with torch.no_grad():
        for waveform in waveforms:
            padded = np.pad(waveform, (0, max(0, 200 - waveform.size)))
            found.append(front(torch.from_numpy(padded)).numpy().astype(np.float16))
    return found


def read_features(root: Path, recordings: Sequence[Recording], cache: Path) -> Features:
    """Features of all recordings, from ``cache`` (.npz) where it holds as many."""
    if cache.exists():
        with np.load(cache) as stored:
            lengths, flat = stored["lengths"], stored["flat"]
        if len(lengths) == len(recordings):
            return np.split(flat, np.cumsum(lengths)[:-1], axis=1)
    features = log_mels([read_waveform(root / r.path) for r in recordings])
    cache.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.array([f.shape[1] for f in features])
    np.savez(cache, lengths=lengths, flat=np.concatenate(features, axis=1))
    return features


def _crop(feature: npt.NDArray[np.float16], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    frames = feature.shape[1]
    start = int(rng.integers(0, max(1, frames - WINDOW + 1)))
    return feature[:, (start + np.arange(WINDOW)) % frames].astype(np.float32)


def _expand(batch: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Pushes a fifth of the windows' quiet parts down, as a noise-reducing stethoscope does."""
    shape = (len(batch), 1, 1)
    loud = np.percentile(batch, 98, axis=(1, 2), keepdims=True)
    below = np.minimum(batch - loud + rng.uniform(10, 40, shape), 0)
    strength = rng.uniform(0.5, 5, shape) * (rng.random(shape) < 0.2)
    expanded: npt.NDArray[np.float32] = np.maximum(batch + strength * below, -60.0)
    return expanded


def _augment(
    batch: npt.NDArray[np.float32], rng: np.random.Generator, equaliser_db: float
) -> npt.NDArray[np.float32]:
    """Noise floors of random colour, a random equaliser, and masked bands and moments."""
    n = len(batch)
    band = np.linspace(-1, 1, N_MELS)[None, :, None]
    if equaliser_db:
        wave = np.cos(np.pi * (band * rng.uniform(0, 2, (n, 1, 1)) + rng.uniform(0, 2, (n, 1, 1))))
        curve = wave + band * rng.uniform(-1, 1, (n, 1, 1))
        batch = batch + (rng.uniform(0, equaliser_db, (n, 1, 1)) * curve).astype(np.float32)
    loudest = batch.mean(axis=2, keepdims=True).max(axis=1, keepdims=True)
    floor = loudest + rng.uniform(-60, -15, (n, 1, 1)) - band * rng.uniform(0, 15, (n, 1, 1))
    noisy = rng.random((n, 1, 1)) < 0.5
    flicker = rng.exponential(1.0, batch.shape)
    mixed = 10 * np.log10(10 ** (batch / 10) + noisy * flicker * 10 ** (floor / 10))
    for example in mixed:
        mean = example.mean()
        first = int(rng.integers(0, N_MELS - 6))
        example[first : first + int(rng.integers(0, 7))] = mean
        moment = int(rng.integers(0, WINDOW - 30))
        example[:, moment : moment + int(rng.integers(0, 31))] = mean
    return mixed.astype(np.float32)


def train(
    network: str,
    features: Features,
    targets: npt.NDArray[np.float64],
    groups: Sequence[str],
    seed: int,
    progress: Progress | None = None,
) -> nn.Module:
    """Trains ``network`` on recordings with ``targets`` (n, heads), NaN where unknown.

    Every example is drawn by group first and recording second: the sites are as uneven as their
    labels, and drawing naturally teaches the network which stethoscope goes with which label.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    plan = PLANS[network]
    model: nn.Module = NETWORKS[network]().to(memory_format=torch.channels_last)
    known = [bool(np.isfinite(row).any()) for row in targets]
    cells = [
        np.flatnonzero([g == name and k for g, k in zip(groups, known, strict=True)])
        for name in sorted({g for g, k in zip(groups, known, strict=True) if k})
    ]
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps)
    equaliser_db = 6.0 if network == "gate" else 3.0
    running = 0.7
    for step in range(plan.steps):
        chosen = [int(rng.choice(cells[int(rng.integers(len(cells)))])) for _ in range(plan.batch)]
        batch = _augment(np.stack([_crop(features[i], rng) for i in chosen]), rng, equaliser_db)
        if network == "gate":
            batch = _expand(batch, rng).astype(np.float32)
        wanted = torch.tensor(targets[chosen], dtype=torch.float32)
        mask = ~wanted.isnan()
        # Half precision for the convolutions only: three times as fast on a CPU, judged in full.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(torch.from_numpy(batch)).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits[mask], wanted[mask])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        running += 0.02 * (loss.item() - running)
        if progress is not None:
            progress(step + 1, plan.steps, running)
    return model.eval()


def train_gate(
    features: Features, recordings: Sequence[Recording], seed: int, progress: Progress | None = None
) -> nn.Module:
    """Trains the gate on recordings against PASCAL's artifacts and synthetic non-heart sounds."""
    negatives = log_mels(draw(NEGATIVES, seed + 1))
    readable = [[r.readable] for r in recordings] + [[0.0]] * len(negatives)
    groups = [f"heart/{r.subset}" if r.readable else "artifact" for r in recordings]
    # Hearts come from eight sites; negatives get as many cells, so that both are drawn as often.
    groups += [f"negative/{i % 8}" for i in range(len(negatives))]
    return train("gate", features + negatives, np.array(readable), groups, seed, progress)


def predict(model: nn.Module, features: Features) -> npt.NDArray[np.float64]:
    """Mean logits over each recording's windows, shape (n, heads): what the exported graph says."""
    with torch.no_grad():
        rows: list[Tensor] = [
            model(windows(torch.from_numpy(f.astype(np.float32)))).mean(dim=0) for f in features
        ]
    return torch.stack(rows).numpy().astype(np.float64)
