"""What nobody else notices: `python -m workers.aggregation.sweeper`, one small process.

Every few seconds it frees expired leases and sends lost messages again; every minute it removes
blobs that nobody needs, expired tokens and old sightings. It may be killed at any time, and two of
them do no harm.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable

from celery import Celery
from flask import Flask
from kombu.exceptions import ChannelError, KombuError
from sqlalchemy import delete, select

from app.aggregator.queueing import AGGREGATION_QUEUE, INFERENCE_QUEUE
from app.aggregator.recordings.cleanup import delete_unneeded_blobs
from app.aggregator.recordings.lifecycle import requeue_expired, waiting_for_comparison
from app.aggregator.services import services
from app.aggregator.tables import ApiToken, Range, RangeState, WorkerSighting, db
from app.common.database import in_transaction
from app.common.import_guard import NOT_FOR_THE_AGGREGATOR, forbid
from app.common.logs import configure_logging
from config import celery_settings
from workers.aggregation.background import start_background_app
from workers.readiness import notify_ready

TIDY_SECONDS = 60.0
SIGHTING_DAYS = 1
MANY_WAITING = 500
"""Messages in a queue beyond which the workers have enough to do and nothing is sent again."""
_MOST_RANGES = 200

_log = logging.getLogger(__name__)


class Sweeper:
    """One sweep after the other, in the application context of `flask`."""

    def __init__(self, flask: Flask) -> None:
        self._flask = flask
        self._range_sent_at: dict[str, int] = {}
        self._tidied_at = float("-inf")
        with flask.app_context():
            self._celery = Celery("hushbeat-sweeper", set_as_current=False)
            self._celery.conf.update(celery_settings(services().config.broker_url))

    def sweep(self) -> None:
        """Do everything that is due. A step that fails is logged and does not stop the others."""
        steps: list[Callable[[], None]] = [self._hint_judging, self._hint_counting]
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            steps += [_remove_blobs, _remove_expired]
        for step in steps:
            with self._flask.app_context():
                try:
                    step()
                except Exception:  # noqa: BLE001 - the next sweep tries again
                    _log.exception("a step of the sweep failed")

    def _hint_judging(self) -> None:
        """Recordings whose lease ran out, or whose message was lost."""
        if self._enough_waiting(INFERENCE_QUEUE):
            return
        around = services()
        for recording in requeue_expired(_now(), around.config.lease_seconds):
            around.queue.judge(recording)

    def _hint_counting(self) -> None:
        """Reports and proposed ranges that nobody has compared."""
        if self._enough_waiting(AGGREGATION_QUEUE):
            return
        around = services()
        patience = around.config.lease_seconds
        for recording in waiting_for_comparison(_now(), patience):
            around.queue.count(recording)
        proposed = db.session.scalars(
            select(Range.id).where(Range.state == RangeState.PROPOSED).limit(_MOST_RANGES)
        ).all()
        db.session.rollback()
        self._range_sent_at = {
            known: at for known, at in self._range_sent_at.items() if known in proposed
        }
        for range_id in proposed:
            # Its own message is on its way when it is first seen here, so that one waits as well.
            if self._range_sent_at.setdefault(range_id, _now()) <= _now() - patience:
                self._range_sent_at[range_id] = _now()
                around.queue.check_range(range_id)

    def _enough_waiting(self, queue: str) -> bool:
        try:
            with self._celery.connection_for_write() as connection:
                declared = connection.default_channel.queue_declare(queue, passive=True)
                return int(declared.message_count) >= MANY_WAITING
        except ChannelError:
            # Redis knows no empty queue.
            return False
        except (KombuError, OSError):
            _log.warning("the broker does not answer; nothing is sent again now")
            return True


def _remove_blobs() -> None:
    delete_unneeded_blobs(services().blobs)


def _remove_expired() -> None:
    """Tokens past their time, and workers not seen for a day."""

    def work() -> None:
        db.session.execute(delete(ApiToken).where(ApiToken.expires_at <= _now()))
        oldest = _now() - SIGHTING_DAYS * 86_400
        db.session.execute(delete(WorkerSighting).where(WorkerSighting.seen_at < oldest))

    in_transaction(db, work)


def _now() -> int:
    return int(time.time())


def main() -> None:
    configure_logging("sweeper")
    forbid("sweeper", NOT_FOR_THE_AGGREGATOR)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    flask = start_background_app("sweeper")
    sweeper = Sweeper(flask)
    with flask.app_context():
        pause = services().config.sweep_seconds
    notify_ready()
    while not stop.is_set():
        sweeper.sweep()
        stop.wait(pause)


if __name__ == "__main__":
    main()
