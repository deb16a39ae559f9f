"""`/healthz`: the process answers. `/readyz`: everything that it needs works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from flask import Flask, Response, jsonify

_log = logging.getLogger(__name__)


def register_health(app: Flask, checks: Mapping[str, Callable[[], object]]) -> None:
    """Adds both endpoints. A check raises when its part does not work.

    `/readyz` answers 200, or 503 if a check failed, with `{"ready": bool, "checks": {name: bool}}`;
    why one failed is in the log only, for anyone may ask.
    """

    def healthz() -> Response:
        return jsonify({"alive": True})

    def readyz() -> tuple[Response, int]:
        results = {name: _passes(name, check) for name, check in checks.items()}
        ready = all(results.values())
        return jsonify({"ready": ready, "checks": results}), 200 if ready else 503

    app.add_url_rule("/healthz", "healthz", healthz)
    app.add_url_rule("/readyz", "readyz", readyz)


def _passes(name: str, check: Callable[[], object]) -> bool:
    try:
        check()
    except Exception:  # noqa: BLE001 - whatever a check raises means not ready
        _log.warning("not ready: %s", name, exc_info=True)
        return False
    return True
