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
from sqlalchemy import delete, func, select

from app.aggregator.queueing import AGGREGATION_QUEUE, INFERENCE_QUEUE
from app.aggregator.recordings.cleanup import delete_unneeded_blobs
from app.aggregator.recordings.lifecycle import requeue_expired
from app.aggregator.services import services
from app.aggregator.tables import ApiToken, Tally, WorkerSighting, db
from app.common.database import in_transaction
from app.common.import_guard import NOT_FOR_THE_AGGREGATOR, forbid
from app.common.logs import configure_logging
from config import celery_settings
from workers.aggregation.assigning import anything_waits
from workers.aggregation.background import start_background_app
from workers.aggregation.moving import anything_to_move
from workers.readiness import notify_ready

TIDY_SECONDS = 60.0
SIGHTING_DAYS = 1
MANY_WAITING = 500
"""Messages in a queue beyond which the workers have enough to do and nothing is sent again."""

_log = logging.getLogger(__name__)


class Sweeper:
    """One sweep after the other, in the application context of `flask`."""

    def __init__(self, flask: Flask) -> None:
        self._flask = flask
        self._tidied_at = float("-inf")
        with flask.app_context():
            self._celery = Celery("hushbeat-sweeper", set_as_current=False)
            self._celery.conf.update(celery_settings(services().config.broker_url))

    def sweep(self) -> None:
        """Do everything that is due. A step that fails is logged and does not stop the others."""
        steps: list[Callable[[], None]] = [self._hint_judging, self._hint_comparing]
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            steps += [_remove_blobs, _remove_expired, _report_aside]
        for step in steps:
            with self._flask.app_context():
                try:
                    step()
                except Exception:  # noqa: BLE001 - the next sweep tries again
                    _log.exception("a step of the sweep failed")

    def _hint_judging(self) -> None:
        """Recordings whose lease ran out, or whose message was lost."""
        if self._enough_waiting(INFERENCE_QUEUE, MANY_WAITING):
            return
        around = services()
        for recording in requeue_expired(_now(), around.config.lease_seconds):
            around.queue.judge(recording)

    def _hint_comparing(self) -> None:
        """Reports, proposed ranges and batches that nobody has at hand."""
        # A message takes all that waits, so one that is still in the queue is enough.
        if not self._enough_waiting(AGGREGATION_QUEUE, 1) and (
            anything_waits(_now()) or anything_to_move()
        ):
            services().queue.compare()

    def _enough_waiting(self, queue: str, enough: int) -> bool:
        try:
            with self._celery.connection_for_write() as connection:
                declared = connection.default_channel.queue_declare(queue, passive=True)
                return int(declared.message_count) >= enough
        except ChannelError:
            # Redis knows no empty queue.
            return False
        except (KombuError, OSError):
            _log.warning("the broker does not answer; nothing is sent again now")
            return True


def _report_aside() -> None:
    """A tally that the key holder refuses needs somebody who finds out why."""
    aside = db.session.scalar(select(func.count()).where(Tally.aside_until > 0))
    db.session.rollback()
    if aside:
        _log.error("%d tallies are left aside: the key holder refuses their next position", aside)


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
