"""The task of queue `aggregation`. A message is a hint; the rows decide what is done."""

from __future__ import annotations

import logging

from flask import Flask

from app.aggregator.keyholder_client import KeyholderRefused, KeyholderUnavailable
from app.aggregator.queueing import COMPARE
from app.aggregator.services import services
from app.common.import_guard import NOT_FOR_THE_AGGREGATOR, forbid
from workers.aggregation import counting
from workers.aggregation.background import start_background_app
from workers.aggregation.celery import app
from workers.readiness import load_in_children

COMPARE_SECONDS = 20.0
"""How long one task goes on before it hands the rest to the next one."""

HARD_LIMIT_SECONDS = 300
"""Then the process is killed; its batch's lease runs out and somebody takes the batch over."""

_log = logging.getLogger(__name__)
_flask: Flask | None = None


@app.task(name=COMPARE, time_limit=HARD_LIMIT_SECONDS)  # type: ignore[untyped-decorator]
def compare() -> None:
    """Compare all that waits, recordings and ranges."""
    with _application().app_context():
        try:
            rest = counting.count_waiting(COMPARE_SECONDS)
        except KeyholderUnavailable as error:
            _log.warning("left for later: %s", error.detail)
        except KeyholderRefused as error:
            _log.error("the key holder opens no session: %s", error.slug)
        except Exception:  # noqa: BLE001 - rolled back; the sweeper queues it again
            _log.exception("what waits could not be compared now")
        else:
            if rest:
                services().queue.compare()


def _application() -> Flask:
    if _flask is None:
        raise RuntimeError("Tasks run in a pool process, where the database is opened.")
    return _flask


def _load() -> None:
    global _flask
    forbid("aggregation worker", NOT_FOR_THE_AGGREGATOR)
    _flask = start_background_app("aggregation")


load_in_children(_load)
