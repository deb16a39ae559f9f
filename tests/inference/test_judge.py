"""A recording's bytes to a judgement, as the Celery task calls it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models.registry import OPERATING_POINT
from models.synthesis import mains_hum, phonocardiogram, silence, wav_bytes
from tests.inference.files import encoded
from tests.inference.recordings import needs_recordings, sample
from workers.inference.audio import AudioError
from workers.inference.judge import Judge, Readable, Unreadable
from workers.inference.quality import UnreadableReason

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


def readable(judge: Judge, data: bytes) -> Readable:
    judgement = judge.judge(data)
    assert isinstance(judgement, Readable)
    return judgement


@pytest.mark.parametrize("bpm", [60, 75, 90])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_normal_synthetic_heart_is_below_the_operating_point(
    judge: Judge, bpm: float, seed: int
) -> None:
    found = readable(judge, wav_bytes(phonocardiogram(bpm, seed=seed)))
    assert 0 <= found.sound < OPERATING_POINT
    assert found.heart_rate_tenths == pytest.approx(10 * bpm, abs=30)


@pytest.mark.parametrize("bpm", [60, 75, 90])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_loud_synthetic_murmur_is_above_it(judge: Judge, bpm: float, seed: int) -> None:
    found = readable(judge, wav_bytes(phonocardiogram(bpm, murmur=0.3, seed=seed)))
    assert OPERATING_POINT < found.sound <= 65_535
    assert found.heart_rate_tenths == pytest.approx(10 * bpm, abs=30)


def test_the_same_sound_gets_the_same_score_in_every_lossless_file(judge: Judge) -> None:
    scores = [
        readable(judge, encoded(container, subtype)).sound
        for container, subtype in [("WAV", "PCM_24"), ("FLAC", "PCM_24"), ("WAVEX", "FLOAT")]
    ]
    assert max(scores) - min(scores) <= 2


def test_what_is_no_heart_is_unreadable(judge: Judge) -> None:
    assert judge.judge(wav_bytes(silence())) == Unreadable(UnreadableReason.SILENT)
    assert judge.judge(wav_bytes(mains_hum())) == Unreadable(UnreadableReason.NOISE)


def test_what_is_no_file_raises(judge: Judge) -> None:
    with pytest.raises(AudioError):
        judge.judge(b"not audio")


@pytest.mark.parametrize("seconds", [3.0, 5.92, 6.0, 120.0])
def test_every_accepted_length_is_judged(judge: Judge, seconds: float) -> None:
    readable(judge, wav_bytes(phonocardiogram(75, seconds=seconds)))


def test_a_judgement_never_shows_its_values(judge: Judge) -> None:
    found = readable(judge, wav_bytes(phonocardiogram(75)))
    assert repr(found) == str(found) == f"{found}" == "Readable()"


def test_the_report_names_the_model(judge: Judge) -> None:
    assert readable(judge, wav_bytes(phonocardiogram(75))).model_id == judge.model_id


def test_serving_imports_no_training_library_and_starts_soon() -> None:
    program = (
        "import sys, time\n"
        "start = time.process_time()\n"
        "from workers.inference.judge import Judge\n"
        "Judge.load()\n"
        "took = time.process_time() - start\n"
        "heavy = {'torch', 'librosa', 'sklearn', 'scipy', 'numba', 'onnx'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} {took}' if heavy or took > 2 else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_ten_seconds_are_judged_quickly(judge: Judge) -> None:
    data = wav_bytes(phonocardiogram(75, seconds=10))
    judge.judge(data)
    took = []
    for _ in range(10):
        start = time.process_time()  # not the clock: other tests may keep the cores busy
        judge.judge(data)
        took.append(time.process_time() - start)
    assert np.median(took) < 0.05


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_stays_flat_over_recordings_of_all_lengths(judge: Judge) -> None:
    rng = np.random.default_rng(0)
    files = [wav_bytes(phonocardiogram(75, seconds=seconds)) for seconds in rng.uniform(3, 15, 25)]
    for data in files * 2:
        judge.judge(data)
    before = _resident_kib()
    for data in files * 20:
        judge.judge(data)
    assert _resident_kib() - before < 8_192


@needs_recordings
def test_murmurs_of_real_patients_score_higher(judge: Judge) -> None:
    found: dict[str, list[int]] = {"present": [], "absent": []}
    for recording, data in sample(12, dataset="circor"):
        judgement = judge.judge(data)
        if recording.label in found and isinstance(judgement, Readable):
            found[recording.label].append(judgement.sound)
    # These people were in the training: this shows that the files work, not how well.
    assert np.median(found["present"]) > OPERATING_POINT > np.median(found["absent"])
