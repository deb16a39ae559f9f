"""The Celery app of queue `inference`: `celery -A workers.inference.celery worker -Q inference`."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from app.common.logs import configure_logging
from config import InferenceConfig, celery_settings

LOAD_SECONDS = 120
"""Celery kills a pool process that is not up after 4 s by default; models take longer at times."""

app = Celery("hushbeat-inference", include=["workers.inference.tasks"])


def _settings() -> dict[str, object]:
    broker = InferenceConfig.from_environment().broker_url
    return celery_settings(broker) | {"worker_proc_alive_timeout": LOAD_SECONDS}


def _log(**_: Any) -> None:
    configure_logging("inference")


# Read when a worker starts, not when this module is imported.
app.add_defaults(_settings)
signals.setup_logging.connect(_log, weak=False)
