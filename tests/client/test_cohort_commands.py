"""`cohort list|declare|open`: what a clinic reads on its terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from client import cohorts
from client.cohorts import Candidate, Cohort, OpenedCohort
from client.command_line import main
from crypto.cohorts import CohortCounts, CohortTerms
from crypto.encoding import new_id

PATIENTS = [Candidate("a" * 32, "Pat A"), Candidate("b" * 32, "Pat B")]


@pytest.fixture
def cohort(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `cohort ...` as a clinic with these patients."""
    monkeypatch.setattr("client.command_line._collector", lambda _: nullcontext())
    monkeypatch.setattr(cohorts, "candidates", lambda _: PATIENTS)
    return lambda *arguments: main(["cohort", *arguments])


def test_everybody_who_agreed_is_on_the_roster_unless_named(
    cohort: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    declared: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(
        cohorts, "declare", lambda _, month, named: declared.append((month, list(named)))
    )
    assert cohort("declare", "2026-11") == 0
    assert cohort("declare", "2026-12", "b" * 32) == 0
    assert declared == [("2026-11", ["a" * 32, "b" * 32]), ("2026-12", ["b" * 32])]
    said = capsys.readouterr().out
    assert "The roster of 2026-11 is fixed with 2 patients." in said


def test_a_figure_in_words(
    cohort: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def opened(sums: CohortCounts, terms: CohortTerms) -> str:
        figure = OpenedCohort("2026-11", 20, 412, sums, terms)
        monkeypatch.setattr(cohorts, "open_cohort", lambda *_: figure)
        assert cohort("open", "2026-11") == 0
        return capsys.readouterr().out

    plain = opened(CohortCounts(57, 12), CohortTerms(0, 0))
    assert plain == (
        "20 patients, 412 recordings in 2026-11\n"
        "abnormal by sound: 57, by heart rate: 12\n"
        "without noise\n"
    )
    noisy = opened(CohortCounts(57, -12), CohortTerms(1000, 10))
    assert "abnormal by sound: 57 (+/- 83), by heart rate: 0 (+/- 83)" in noisy
    assert "epsilon 1 of each patient's month" in noisy


def test_the_list_says_what_can_be_done(
    cohort: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        Cohort(new_id(), "2026-12", "fixed", 1_800_000_000, None, None, None),
        Cohort(new_id(), "2026-11", "opened", 1_700_000_000, 20, 412, 500),
        Cohort(new_id(), "2026-10", "too-small", 1_600_000_000, None, None, None),
    ]
    monkeypatch.setattr(cohorts, "cohorts", lambda _: rows)
    assert cohort("list") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f"{'a' * 32}  Pat A", f"{'b' * 32}  Pat B"]
    assert said[2].startswith("2026-12  fixed, opens 2027-01-1")
    assert said[3] == "2026-11  opened, with noise, epsilon 0.5 of each patient's month"
    assert said[4] == "2026-10  too-small"
