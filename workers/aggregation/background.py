"""Role A's background application as a worker process starts it: checked, guarded and sighted."""

from __future__ import annotations

import time

from flask import Flask

from app.aggregator.factory import create_background_app
from app.aggregator.operations import record_sighting
from app.aggregator.tables import Recording, db
from app.common.import_guard import NOT_FOR_THE_AGGREGATOR, forbid
from workers.sighting import keep_sighted, worker_name


def start_background_app(kind: str) -> Flask:
    """The application of this process, which is from now on seen on the operator's page as `kind`.

    Raises whatever is wrong with the secrets or the database, before the first task shows it.
    """
    forbid("aggregator", NOT_FOR_THE_AGGREGATOR)
    flask = create_background_app()
    with flask.app_context():
        db.session.execute(db.select(Recording.id).limit(1))
    name = worker_name(kind)

    def tell() -> None:
        with flask.app_context():
            record_sighting(name, kind, ready=True, now=int(time.time()))

    keep_sighted(tell)
    return flask
