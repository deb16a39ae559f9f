from __future__ import annotations

import json
import logging

import pytest
from flask import Flask

from app.common.logs import JsonFormatter, configure_logging
from app.common.problems import register_problem_handlers
from app.common.request_log import log_requests


def test_a_request_is_one_line_without_path_query_or_body(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("keyholder")
    configure_logging("keyholder")  # once more changes nothing
    app = Flask("test")
    log_requests(app)
    register_problem_handlers(app)
    app.add_url_rule("/patients/<name>", "patient", lambda name: name, methods=["POST"])
    app.add_url_rule("/healthz", "healthz", lambda: "")
    app.test_client().get("/healthz")
    app.test_client().post("/patients/jane?token=4711", data=b"secret body")

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["route"] == "/patients/<name>"
    assert (line["role"], line["method"], line["status"]) == ("keyholder", "POST", 200)
    assert not any(word in lines[0] for word in ("jane", "4711", "secret"))


def test_an_exception_is_logged_by_class_and_place_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("keyholder")
    app = Flask("test")
    register_problem_handlers(app)

    def broken() -> str:
        raise ValueError("the count is 4711")

    app.add_url_rule("/", "broken", broken)
    assert app.test_client().get("/").status_code == 500

    text = capsys.readouterr().err
    line = json.loads(text)
    assert line["error"] == "ValueError"
    assert any("broken" in place for place in line["at"])
    assert "4711" not in text


def test_a_line_stays_one_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "two\nlines é", None, None)
    assert "\n" not in JsonFormatter("keyholder").format(record)
