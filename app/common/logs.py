"""Logs: one JSON object a line on standard error, without anything that is somebody's business.

A line never holds a body, a query string, a path with an identifier in it, or the message of an
exception (messages quote values); an exception is logged as its class and its stack of places.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

# These log whole URLs, or every request, at INFO.
_TALKATIVE = ("werkzeug", "httpx", "httpcore", "alembic")


def configure_logging(role: str) -> None:
    """Sends this process's log to standard error as JSON lines marked with `role`."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _StandardError)]:
        root.removeHandler(handler)
    handler = _StandardError()
    handler.setFormatter(JsonFormatter(role))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; `extra={"fields": {...}}` adds members."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = [
                f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, ensure_ascii=True, default=lambda value: type(value).__name__)


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Our own handler, told apart from others' when logging is configured again."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
