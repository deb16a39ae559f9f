"""The workers' log lines: JSON, and no message of an exception, which may quote a value."""

from __future__ import annotations

import json
import logging
import sys

from workers.logs import JsonLines


def test_an_exception_is_its_class_and_its_places() -> None:
    try:
        raise ValueError("score 54321")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it %s", ("failed",), None)
        record.exc_info = sys.exc_info()
    line = json.loads(JsonLines("inference").format(record))
    assert line["message"] == "it failed"
    assert line["role"] == "inference"
    assert line["exception"] == "ValueError"
    assert "test_logs.py" in line["at"]
    assert "54321" not in json.dumps(line)
