"""The models as the inference worker runs them: pinned by SHA-256, checked, single-threaded.

Imports onnxruntime and NumPy only. Make sessions after the fork: one made before can crash a child.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

PINS = Path(__file__).parent / "pins.json"
SHORTEST, LONGEST = 6_000, 240_000
"""Samples at 2 kHz: the graphs take 3 s to 120 s."""
OPERATING_POINT = 32_768
"""The sound score that the operating point maps to."""
HIGHEST_SCORE = 65_535


class ModelError(Exception):
    """A model that must not run."""


class PinsUnreadable(ModelError):
    """``pins.json`` is missing or is not what the registry expects."""


class ModelMissing(ModelError):
    """A pinned file is not there."""


class ModelAltered(ModelError):
    """A file's SHA-256 is not the pinned one."""


class ModelUnfit(ModelError):
    """A file's inputs or outputs are not the pinned ones, or it is no ONNX file."""


@dataclass(frozen=True)
class SoundScale:
    """How the heads' logits become one sound score.

    z = murmur * w_m + abnormal * w_a + bias is the log odds of a finding, shifted so that the
    operating point is at z = 0; the score is 65,535 / (1 + e^-z), so 32,768 there.
    """

    murmur: float
    abnormal: float
    bias: float

    def log_odds(self, logits: Mapping[str, float]) -> float:
        """z of the logits "murmur" and "abnormal"."""
        return self.murmur * logits["murmur"] + self.abnormal * logits["abnormal"] + self.bias

    def score(self, logits: Mapping[str, float]) -> int:
        """The sound score, 0..65,535; 32,768 and above is a finding."""
        z = max(-30.0, min(30.0, self.log_odds(logits)))
        return math.floor(HIGHEST_SCORE / (1 + math.exp(-z)) + 0.5)


class Network:
    """One ONNX file in one session."""

    def __init__(self, path: Path, sha256: str, outputs: tuple[str, ...]) -> None:
        """Loads ``path``. Raises ModelMissing, ModelAltered or ModelUnfit."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelMissing(f"{path.name} cannot be read; install the models again") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ModelAltered(f"{path.name} is not the file that was pinned; restore it")
        self.name = path.name
        self._outputs = outputs
        self._session = _session(content, path.name)
        self._check_interface()

    def _check_interface(self) -> None:
        inputs = self._session.get_inputs()
        outputs = {output.name: output for output in self._session.get_outputs()}
        fits = (
            [(i.name, i.type) for i in inputs] == [("waveform", "tensor(float)")]
            and len(inputs[0].shape) == 1
            and all(name in outputs for name in (*self._outputs, "log_mel"))
            and all(outputs[name].type == "tensor(float)" for name in self._outputs)
            and all(outputs[name].shape == [] for name in self._outputs)
        )
        if not fits:
            raise ModelUnfit(f"{self.name} does not have the inputs and outputs that were pinned")

    def logits(self, samples: npt.NDArray[np.float32]) -> dict[str, float]:
        """The logit of each head for a waveform at 2 kHz, shape (n,), 6,000 <= n <= 240,000.

        Raises ValueError for another length.
        """
        if samples.ndim != 1 or not SHORTEST <= samples.size <= LONGEST:
            raise ValueError("a waveform must have one dimension and last 3 s to 120 s")
        values = self._session.run(list(self._outputs), {"waveform": samples})
        return {name: float(value) for name, value in zip(self._outputs, values, strict=True)}

    def log_mel(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The graph's own log-mel features in dB, shape (48, frames)."""
        features: npt.NDArray[np.float32] = self._session.run(["log_mel"], {"waveform": samples})[0]
        return features


def _session(content: bytes, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Recordings differ in length: an arena would keep the largest buffers of every shape seen.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # From the bytes that were hashed, so that nobody can swap the file in between.
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        raise ModelUnfit(f"{name} is not an ONNX file that can run here") from error


@dataclass(frozen=True)
class Models:
    """Everything that judges a recording, under one ``model_id``."""

    model_id: str
    classifiers: tuple[Network, ...]
    gate: Network
    sound: SoundScale
    least_heart: float
    """Logit of the gate below which a recording does not sound like a heart."""

    def sound_logits(self, samples: npt.NDArray[np.float32]) -> dict[str, float]:
        """Mean over the classifiers of each head's logit."""
        judged = [network.logits(samples) for network in self.classifiers]
        return {name: sum(j[name] for j in judged) / len(judged) for name in judged[0]}


def load_models(pins: Path = PINS) -> Models:
    """The models that ``pins`` lists, each checked before it runs. Raises ModelError."""
    try:
        content: dict[str, Any] = json.loads(pins.read_text(encoding="utf-8"))
        networks = {
            name: (pins.parent / pin["file"], str(pin["sha256"]), tuple(pin["outputs"]))
            for name, pin in content["networks"].items()
        }
        sound = SoundScale(**{key: float(value) for key, value in content["sound"].items()})
        least_heart = float(content["gate"]["least_logit"])
        model_id = str(content["model_id"])
        gate = networks.pop("gate")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PinsUnreadable(f"{pins.name} cannot be used; install the models again") from error
    if not networks:
        raise PinsUnreadable(f"{pins.name} lists no network that judges sound")
    classifiers = tuple(Network(*pin) for pin in networks.values())
    return Models(model_id, classifiers, Network(*gate), sound, least_heart)
