"""An application behind the deadline with a short grace, for the gunicorn of its tests."""

from __future__ import annotations

from flask import Flask, request

from app.common.body_deadline import BodyDeadline
from app.common.problems import register_problem_handlers

GRACE_SECONDS = 0.6

application = Flask("bodies")
register_problem_handlers(application)


@application.route("/read", methods=["POST"])
def read() -> dict[str, int]:
    return {"bytes": len(request.get_data())}


@application.route("/unread", methods=["GET", "POST"])
def unread() -> dict[str, int]:
    return {"bytes": 0}


application.wsgi_app = BodyDeadline(  # type: ignore[method-assign]
    application.wsgi_app, GRACE_SECONDS, bytes_per_second=2_000
)
