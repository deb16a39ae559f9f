"""A worker of role A's own writes its sighting into A's database."""

from __future__ import annotations

import time

from flask import Flask

from app.aggregator.tables import WorkerSighting, db
from app.common.database import in_transaction


def sighted(flask: Flask, name: str, kind: str) -> None:
    """Note that this worker is there and ready."""

    def work() -> None:
        db.session.merge(WorkerSighting(name=name, kind=kind, ready=True, seen_at=int(time.time())))

    with flask.app_context():
        in_transaction(db, work)
