"""`python -m deploy.demo`, whole, with small keys; and what it must call a failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import soundfile  # type: ignore[import-untyped]

from client.ranges import HealthyRange
from client.uploading import State
from deploy.demo import story
from deploy.demo.__main__ import main
from deploy.demo.recordings import NoRecordings, recordings_of, write_synthesised
from deploy.demo.truth import Counts, Truth, expected_counts, judge
from deploy.local.system import LocalSystem
from models.synthesis import phonocardiogram, silence, wav_bytes
from tests.support.launch import LAUNCHER
from workers.inference.judge import Judge

Demo = Callable[..., tuple[int, str, str]]


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Demo:
    """Runs the demonstration over a folder with small keys: exit status, stdout and stderr."""
    monkeypatch.setattr(story, "LocalSystem", partial(LocalSystem, python=LAUNCHER))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["deploy.demo", *arguments])
        status = main()
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.mark.slow
def test_the_demonstration_holds(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    murmur = phonocardiogram(120, murmur=0.4, seconds=6.0, seed=2)
    (tmp_path / "normal.wav").write_bytes(wav_bytes(phonocardiogram(75, seconds=6.0)))
    (tmp_path / "again.WAV").write_bytes(wav_bytes(phonocardiogram(75, seconds=6.0)))
    soundfile.write(tmp_path / "sub" / "murmur.flac", murmur, 4_000)
    (tmp_path / "silence.wav").write_bytes(wav_bytes(silence(6.0)))
    (tmp_path / "cut.wav").write_bytes(wav_bytes(silence(6.0))[:9_000])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not for uploading")
    status, out, err = demo("--recordings", str(tmp_path))
    both = {"recordings": 2, "sound": 1, "rate": 1}
    assert out, err
    assert json.loads(out.splitlines()[-1]) == {
        "uploaded": 4,
        "counted": 2,
        "unreadable": 1,
        "patient": both,
        "doctor": both,
        "plaintext_found": 0,
    }
    assert status == 0, err
    assert "cut.wav: failed (truncated)" in err
    assert "empty.wav: not uploaded" in err


@pytest.mark.slow
def test_a_leak_and_a_wrong_count_fail_the_demonstration(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "normal.wav").write_bytes(wav_bytes(phonocardiogram(75, seconds=6.0)))
    honest = story.search

    def search_after_a_leak(home: Path, temporary: Path, known: story.Known) -> list[object]:
        (temporary / "left").write_bytes(known.recordings[0].data)
        return [*honest(home, temporary, known)]

    monkeypatch.setattr(story, "search", search_after_a_leak)
    monkeypatch.setattr(story, "expected_counts", lambda *_: Counts(1, 1, 1))
    status, out, err = demo("--recordings", str(tmp_path))
    assert status == 1
    assert json.loads(out.splitlines()[-1])["plaintext_found"] == 2
    assert "not those of the same files judged here" in err


def test_a_folder_without_recordings_is_named(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    status, out, err = demo("--recordings", str(tmp_path))
    assert (status, out) == (2, "")
    assert str(tmp_path) in err
    with pytest.raises(NoRecordings, match="no folder"):
        recordings_of(tmp_path / "missing")


def test_the_synthesised_recordings_show_every_ending(tmp_path: Path) -> None:
    files = write_synthesised(tmp_path / "recordings")
    judging = Judge.load()
    truths = {path.stem: judge(path.read_bytes(), judging) for path in files}
    assert len(files) == 12
    assert truths["silence"].state is truths["noise"].state is State.UNREADABLE
    for name, truth in truths.items():
        bpm = name.split("-")[1:2]
        if bpm:
            assert truth.state is State.COUNTED, name
            assert truth.rate == pytest.approx(10 * int(bpm[0]), rel=0.05), name
    counts = expected_counts(truths.values(), story.HEALTHY)
    assert 0 < counts.sound < counts.recordings
    assert 0 < counts.rate < counts.recordings


@pytest.mark.parametrize(
    ("sound", "rate", "finds"),
    [
        (29_999, 500, (False, False)),
        (30_000, 1_000, (True, False)),
        (0, 499, (False, True)),
        (65_535, 1_001, (True, True)),
    ],
)
def test_a_finding_is_what_the_design_says(sound: int, rate: int, finds: tuple[bool, bool]) -> None:
    healthy = HealthyRange(lo=500, hi=1_000, threshold=30_000)
    assert Truth(State.COUNTED, sound, rate).findings(healthy) == finds


def test_only_counted_recordings_are_expected() -> None:
    truths = [Truth(State.COUNTED, 65_535, 1), Truth(State.UNREADABLE), Truth(State.FAILED)]
    assert expected_counts(truths, HealthyRange(500, 1_000)) == Counts(1, 1, 1)
    assert expected_counts([], HealthyRange(500, 1_000)) == Counts(0, 0, 0)
