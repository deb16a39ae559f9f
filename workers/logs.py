"""The workers' log: one JSON object a line on standard error, and never a result in it.

An exception is logged as its class and its stack of places: messages may quote values.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType


def configure_logging(worker: str) -> None:
    """Send this process's log to standard error, marked with the kind of worker."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for talkative in ("httpx", "httpcore", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """A log record as one line of JSON."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._worker,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["at"] = " < ".join(_places(record.exc_info[2]))
        return json.dumps(line, ensure_ascii=False)


def _places(stack: TracebackType | None) -> list[str]:
    frames = reversed(traceback.extract_tb(stack))
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
