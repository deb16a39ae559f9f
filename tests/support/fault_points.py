"""Faults that a test arms from outside and a process of the system under test runs into.

A fault is a file in the folder named by HUSHBEAT_TEST_FAULTS, called after the point where it
strikes. The process that passes the point takes the file away (so each strikes once) and is killed
with SIGKILL, alone ("process") or with its whole group ("group").

The points are functions of the program, wrapped by `tests.support.launch` before they are used; the
program itself knows nothing of this.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "HUSHBEAT_TEST_FAULTS"
NO_MODELS = "HUSHBEAT_TEST_NO_MODELS"
"""With this in its environment an inference worker's models do not load."""

POISON = b"a recording that kills the worker which judges it"
HANG = b"a recording that keeps its worker busy for good"

UPLOAD_STORED = "upload-stored-without-row"
UPLOAD_REGISTERED = "upload-registered-without-answer"
LEASED = "recording-leased"
JUDGED = "recording-judged"
REPORT_SENT = "report-sent"
REPORT_ARRIVED = "report-arrived"
REPORT_ACCEPTED = "report-accepted-without-hint"
BATCH_ASSIGNED = "batch-assigned"
REQUEST_KEPT = "request-kept"
BATCH_COMPUTED = "batch-computed"
BATCH_SERVING = "batch-being-served"
BATCH_SERVED = "batch-served"
BATCH_ANSWERED = "batch-answered"
TALLIES_ADVANCING = "tallies-advancing"
BATCH_SETTLED = "batch-settled"
MOVE_CHOSEN = "move-chosen"
MOVE_KEPT = "move-kept"
MOVE_CLOSING = "move-closing"
MOVE_CLOSED = "move-closed"
MOVE_ANSWERED = "move-answered"
MOVE_REPLACING = "move-replacing"
MOVE_IN_FORCE = "move-in-force"


class Faults:
    """The test's side: arm faults, see which have struck."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point: str, who: str = "process") -> None:
        """Kill whoever passes `point` next."""
        (self.folder / point).write_text(who)

    def struck(self, point: str) -> bool:
        return not (self.folder / point).exists()

    def wait_struck(self, point: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.struck(point):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody passed {point} within {seconds:.0f} s")
            time.sleep(0.02)

    def disarm(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()


def strike(point: str) -> None:
    """The program's side: die here if the fault is armed."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    armed = Path(folder) / point
    taken = Path(folder) / f"{point}.taken-{os.getpid()}"
    try:
        armed.rename(taken)
    except FileNotFoundError:
        return
    group = taken.read_text() == "group"
    taken.unlink()
    if group:
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(holder: Any, name: str, *, before: str | None = None, after: str | None = None) -> None:
    """Put points before and after a function or method of `holder`."""
    original: Callable[..., Any] = getattr(holder, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **keywords: Any) -> Any:
        if before:
            strike(before)
        result = original(*args, **keywords)
        if after:
            strike(after)
        return result

    setattr(holder, name, wrapped)


def install(module: str, arguments: list[str]) -> None:
    """Put the points of the program that is about to run in this process."""
    words = " ".join([module, *arguments])
    if "wsgi:aggregator" in words:
        from app.aggregator.recordings import lifecycle, uploads

        wrap(uploads, "register_upload", before=UPLOAD_STORED, after=UPLOAD_REGISTERED)
        wrap(lifecycle, "accept_report", before=REPORT_ARRIVED, after=REPORT_ACCEPTED)
    elif "wsgi:keyholder" in words:
        from app.keyholder import comparisons, moves

        wrap(comparisons, "keep", before=BATCH_COMPUTED, after=BATCH_SERVING)
        wrap(comparisons, "_serve", after=BATCH_SERVED)
        wrap(moves, "_close", after=MOVE_CLOSING)
        wrap(moves, "answer_move", before=MOVE_CLOSED)
    elif "workers.inference.celery" in words:
        from workers.inference import judge
        from workers.inference.aggregator_client import AggregatorClient

        wrap(AggregatorClient, "lease", after=LEASED)
        wrap(AggregatorClient, "report", before=JUDGED, after=REPORT_SENT)
        _poison(judge.Judge)
        if os.environ.get(NO_MODELS):
            judge.Judge.load = classmethod(_no_models)
    elif "workers.aggregation.celery" in words:
        from app.aggregator.keyholder_client import KeyholderClient
        from workers.aggregation import assigning, counting, moved_items, moving, settling

        wrap(assigning, "_assign", after=BATCH_ASSIGNED)
        wrap(KeyholderClient, "compare", before=REQUEST_KEPT, after=BATCH_ANSWERED)
        wrap(settling, "_advance", after=TALLIES_ADVANCING)
        wrap(counting, "settle", after=BATCH_SETTLED)
        wrap(moving, "_taken", after=MOVE_CHOSEN)
        wrap(KeyholderClient, "move", before=MOVE_KEPT, after=MOVE_ANSWERED)
        wrap(moved_items, "replace", after=MOVE_REPLACING)
        wrap(moving, "move_some", after=MOVE_IN_FORCE)


def _no_models(_: type) -> None:
    from models.registry import ModelAltered

    raise ModelAltered("a model is not the file that was pinned; restore it")


def _poison(judge: Any) -> None:
    original = judge.judge

    @functools.wraps(original)
    def judging(self: Any, data: bytes) -> Any:
        if POISON in data:
            os._exit(1)
        if HANG in data:
            time.sleep(3600)
        return original(self, data)

    judge.judge = judging
