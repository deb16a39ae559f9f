"""Hints to the workers: Celery messages that carry an id or nothing.

A message may be lost, late or doubled: the row is the truth and the sweeper queues again. A broker
that is down therefore never fails a request.
"""

from __future__ import annotations

import logging

from celery import Celery

from config import celery_settings

INFERENCE_QUEUE = "inference"
AGGREGATION_QUEUE = "aggregation"
JUDGE = "hushbeat.inference.judge"
COMPARE = "hushbeat.aggregation.compare"

_PATIENCE_SECONDS = 2
"""How long a request waits for a broker that does not answer."""

_log = logging.getLogger(__name__)


class Queue:
    """Sends the two hints. Every method returns whether the broker took the message."""

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery("hushbeat-aggregator", set_as_current=False)
        self._celery.conf.update(celery_settings(broker_url))
        self._celery.conf.broker_transport_options = {
            **self._celery.conf.broker_transport_options,
            # kombu tries again for seconds by default, and a request would wait for it.
            "max_retries": 0,
            "socket_connect_timeout": _PATIENCE_SECONDS,
            "socket_timeout": _PATIENCE_SECONDS,
        }

    def judge(self, recording_id: str) -> bool:
        """A recording waits for an inference worker."""
        return self._send(JUDGE, INFERENCE_QUEUE, recording_id)

    def compare(self) -> bool:
        """A report or a proposed range waits for its comparison: whoever comes takes all."""
        return self._send(COMPARE, AGGREGATION_QUEUE)

    def _send(self, task: str, queue: str, *arguments: str) -> bool:
        try:
            self._celery.send_task(task, args=list(arguments), queue=queue, retry=False)
        except Exception:  # noqa: BLE001 - no broker, of whatever kind, fails a request
            _log.warning("the broker did not take %s; the sweeper will send it again", task)
            return False
        return True
