"""The Celery app of queue `aggregation`: `celery -A workers.aggregation.celery worker -Q ...`.

It and its tasks run inside role A's trust: A's database, A's secrets.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from app.common.logs import configure_logging
from config import AggregatorConfig, celery_settings

LOAD_SECONDS = 60
"""Celery kills a pool process that is not up after 4 s by default; a busy machine takes longer."""

app = Celery("hushbeat-aggregation", include=["workers.aggregation.tasks"])


def _settings() -> dict[str, object]:
    broker = AggregatorConfig.from_environment().broker_url
    return celery_settings(broker) | {"worker_proc_alive_timeout": LOAD_SECONDS}


def _log(**_: Any) -> None:
    configure_logging("aggregation")


# Read when a worker starts, not when this module is imported.
app.add_defaults(_settings)
signals.setup_logging.connect(_log, weak=False)
