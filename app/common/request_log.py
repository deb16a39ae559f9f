"""One log line a request, without its path, query, headers or body."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, request

_access = logging.getLogger("hushbeat.access")


def log_requests(app: Flask) -> None:
    """One line a request: method, route (not the path), status and milliseconds.

    Being asked for one's health every few seconds is not worth a line.
    """

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def finish(response: Response) -> Response:
        started = g.get("started")
        health = request.path in ("/healthz", "/readyz")
        _access.log(
            logging.DEBUG if health else logging.INFO,
            "request",
            extra={
                "fields": {
                    "method": request.method,
                    "route": request.url_rule.rule if request.url_rule else None,
                    "status": response.status_code,
                    "ms": round((time.perf_counter() - started) * 1000) if started else None,
                }
            },
        )
        return response
