"""A worker runs the pinned files or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.registry import (
    PINS,
    ModelAltered,
    ModelMissing,
    ModelUnfit,
    PinsUnreadable,
    SoundScale,
    load_models,
)

SCALE = SoundScale(murmur=0.8, abnormal=0.4, bias=-0.3)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The pins and files in a folder of their own."""
    shutil.copytree(PINS.parent / "onnx", tmp_path / "onnx")
    return Path(shutil.copy(PINS, tmp_path))


def repin(pins: Path, network: str, **changes: object) -> None:
    content = json.loads(pins.read_text())
    content["networks"][network].update(changes)
    pins.write_text(json.dumps(content))


def test_the_pinned_models_load_and_answer() -> None:
    models = load_models()
    waveform = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    logits = models.sound_logits(waveform)
    assert set(logits) == {"murmur", "abnormal"}
    assert all(np.isfinite(value) for value in logits.values())
    assert len(models.classifiers) == 2
    assert models.sound.murmur > 0
    assert models.sound.abnormal > 0


def test_files_are_small() -> None:
    assert all(file.stat().st_size <= 1_000_000 for file in (PINS.parent / "onnx").glob("*.onnx"))


def test_every_pinned_file_has_a_card() -> None:
    for name in json.loads(PINS.read_text())["networks"]:
        assert (PINS.parent / "cards" / f"{name}.md").exists()


@pytest.mark.parametrize("at", [0, 1_000, -1])
def test_a_changed_byte_is_refused(copy: Path, at: int) -> None:
    file = copy.parent / "onnx" / "gate.onnx"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ModelAltered, match=r"gate\.onnx"):
        load_models(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy.parent / "onnx" / "cnn.onnx").unlink()
    with pytest.raises(ModelMissing, match=r"cnn\.onnx"):
        load_models(copy)


def test_another_networks_file_is_refused_by_its_interface(copy: Path) -> None:
    gate = json.loads(copy.read_text())["networks"]["gate"]
    repin(copy, "cnn", file=gate["file"], sha256=gate["sha256"])
    with pytest.raises(ModelUnfit):
        load_models(copy)


def test_a_pinned_file_that_is_no_model_is_refused(copy: Path) -> None:
    import hashlib

    (copy.parent / "onnx" / "cnn.onnx").write_bytes(b"no model")
    repin(copy, "cnn", sha256=hashlib.sha256(b"no model").hexdigest())
    with pytest.raises(ModelUnfit):
        load_models(copy)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"networks": {}}', '{"networks": {"cnn": {}}, "model_id": "x"}', "{"],
)
def test_pins_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    pins = tmp_path / "pins.json"
    pins.write_text(text)
    with pytest.raises(PinsUnreadable):
        load_models(pins)


def test_missing_pins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PinsUnreadable):
        load_models(tmp_path / "pins.json")


@pytest.mark.parametrize("samples", [0, 5_999, 240_001])
def test_a_waveform_of_another_length_is_refused(samples: int) -> None:
    with pytest.raises(ValueError, match="3 s"):
        load_models().gate.logits(np.zeros(samples, np.float32))


def test_the_operating_point_is_32768() -> None:
    at_zero = {"murmur": 0.3 / 0.8, "abnormal": 0.0}
    assert SCALE.score(at_zero) == 32_768
    assert SCALE.score({"murmur": 0.3 / 0.8 - 1e-3, "abnormal": 0.0}) < 32_768


def test_the_score_rises_with_either_head_and_stays_in_range() -> None:
    values = np.linspace(-100, 100, 101)
    by_murmur = [SCALE.score({"murmur": v, "abnormal": 0.0}) for v in values]
    by_abnormal = [SCALE.score({"murmur": 0.0, "abnormal": v}) for v in values]
    assert by_murmur == sorted(by_murmur)
    assert by_abnormal == sorted(by_abnormal)
    assert (by_murmur[0], by_murmur[-1]) == (0, 65_535)
