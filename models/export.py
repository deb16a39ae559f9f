"""Networks to ONNX files: waveform in, one logit a head out, and the log-mel for the tests."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from models.networks import SAMPLE_RATE, WholeRecording

HEADS = {"cnn": ("murmur", "abnormal"), "cnn_lstm": ("murmur", "abnormal"), "gate": ("heart",)}
SHORTEST, LONGEST = 3 * SAMPLE_RATE, 120 * SAMPLE_RATE
TOLERANCE = 1e-4


class ExportError(Exception):
    """The exported file does not compute what the network does."""


class _NamedHeads(nn.Module):
    """WholeRecording with one scalar output a head, so that an output's name says what it is."""

    def __init__(self, network: nn.Module, heads: int) -> None:
        super().__init__()
        self.whole = WholeRecording(network)
        self.heads = heads

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits, log_mel = self.whole(waveform)
        return (*(logits[head] for head in range(self.heads)), log_mel)


def export(name: str, network: nn.Module, path: Path) -> None:
    """Writes ``network`` to ``path`` and checks it against PyTorch from 3 s to 120 s.

    Raises ExportError where onnxruntime and PyTorch differ by more than 1e-4.
    """
    heads = HEADS[name]
    module = _NamedHeads(network, len(heads)).eval()
    samples = torch.export.Dim("samples", min=SHORTEST, max=LONGEST)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.randn(21_000),),
            path,
            input_names=["waveform"],
            output_names=[*heads, "log_mel"],
            dynamic_shapes={"waveform": {0: samples}},
            opset_version=18,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _forget_the_machine(path)
    _check(module, path)


def _forget_the_machine(path: Path) -> None:
    """Drops the exporter's notes: source paths and stack traces of the machine it ran on."""
    model = onnx.load(path)
    for holder in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del holder.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    onnx.save(model, path)


def _check(module: nn.Module, path: Path) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for length in (SHORTEST, 11_999, 12_000, 12_001, 37_777, LONGEST):
        waveform = rng.standard_normal(length).astype(np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(waveform))
        for got, want in zip(session.run(None, {"waveform": waveform}), wanted, strict=True):
            gap = float(np.abs(got - want.numpy()).max())
            if gap > TOLERANCE:
                raise ExportError(f"{path.name} is off by {gap:.2g} at {length} samples")


def write_pins(
    path: Path, model_id: str, files: Mapping[str, Path], calibration: Mapping[str, Any]
) -> None:
    """Writes ``pins.json``: what the registry checks files against, and how to read their logits.

    ``files`` lie below the folder of ``path``; ``calibration`` holds the keys "sound" and "gate".
    """
    networks = {
        name: {
            "file": file.relative_to(path.parent).as_posix(),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "outputs": list(HEADS[name]),
        }
        for name, file in files.items()
    }
    pins = {"model_id": model_id, "networks": networks, **calibration}
    path.write_text(json.dumps(pins, indent=2) + "\n", encoding="utf-8")
