"""The two tasks of queue `aggregation`. A message is a hint; the rows decide what is done."""

from __future__ import annotations

import logging

from flask import Flask

from app.aggregator.keyholder_client import KeyholderRefused, KeyholderUnavailable
from app.aggregator.queueing import CHECK_RANGE, COUNT
from app.aggregator.services import services
from app.common.import_guard import NOT_FOR_THE_AGGREGATOR, forbid
from workers.aggregation import counting, ranges
from workers.aggregation.background import start_background_app
from workers.aggregation.celery import app
from workers.readiness import load_in_children

COUNT_SECONDS = 20.0
"""How long one task keeps to one tally before it queues the rest behind the others."""

HARD_LIMIT_SECONDS = 300
"""Then the process is killed; the tally's lease runs out and the sweeper queues again."""

_log = logging.getLogger(__name__)
_flask: Flask | None = None


@app.task(name=COUNT, time_limit=HARD_LIMIT_SECONDS)  # type: ignore[untyped-decorator]
def count(recording_id: str) -> None:
    """Count this recording, and every other one that waits for the same tally."""
    with _application().app_context():
        try:
            rest = counting.count_waiting(recording_id, COUNT_SECONDS)
        except KeyholderUnavailable as error:
            _log.warning("left for later: %s", error.detail)
        except KeyholderRefused as error:
            _log.error("the key holder refuses a comparison: %s", error.slug)
        except Exception:  # noqa: BLE001 - rolled back; the sweeper queues it again
            _log.exception("a recording could not be counted now")
        else:
            if rest:
                services().queue.count(rest)


@app.task(name=CHECK_RANGE, time_limit=HARD_LIMIT_SECONDS)  # type: ignore[untyped-decorator]
def check_range(range_id: str) -> None:
    """Compare the bounds of a proposed range."""
    with _application().app_context():
        try:
            ranges.check(range_id)
        except KeyholderUnavailable as error:
            _log.warning("left for later: %s", error.detail)
        except KeyholderRefused as error:
            _log.error("the key holder refuses a range check: %s", error.slug)
        except Exception:  # noqa: BLE001 - rolled back; the sweeper queues it again
            _log.exception("a range could not be checked now")


def _application() -> Flask:
    if _flask is None:
        raise RuntimeError("Tasks run in a pool process, where the database is opened.")
    return _flask


def _load() -> None:
    global _flask
    forbid("aggregation worker", NOT_FOR_THE_AGGREGATOR)
    _flask = start_background_app("aggregation")


load_in_children(_load)
