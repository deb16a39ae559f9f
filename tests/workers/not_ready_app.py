"""A Celery app whose children cannot be made ready, or only slowly; see test_readiness.py."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from config import celery_settings
from workers.readiness import load_in_children

app = Celery("not-ready")
app.conf.update(celery_settings(os.environ["BROKER_URL"]), worker_proc_alive_timeout=60)


@app.task(name="touch", queue="inference")
def touch(path: str) -> None:
    Path(path).touch()


def _load() -> None:
    if os.environ["LOADING"] == "fails":
        raise RuntimeError("a model is missing; install the models again")
    time.sleep(6)


load_in_children(_load)
