"""Problem details, strict bodies, signed calls, health and headers, on a small application."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, Response, jsonify, redirect
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import TooManyRequests

from app.common.health import register_health
from app.common.problems import NotAllowed, Problem, register_problem_handlers
from app.common.requests import json_body, require_service
from app.common.security_headers import page_policy, register_security_headers
from crypto.errors import CiphertextOutOfRange, InvalidEncoding
from crypto.jws import SigningKey
from crypto.service_auth import authorization

KEY = SigningKey.generate()
READY = {"part": True}


class Full(Problem):
    slug = "full"
    title = "It is full"
    status = 409
    retry_after = 7


def raising(error: Exception) -> Any:
    def view() -> Response:
        raise error

    return view


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("test")
    app.config["MAX_CONTENT_LENGTH"] = 4000
    register_problem_handlers(app)
    register_security_headers(app, page_policy("http://127.0.0.1:8001"), https=True)
    errors = {
        "full": Full("Come back.", state="counted"),
        "crypto": CiphertextOutOfRange("a ciphertext lies between 0 and n^2"),
        "encoding": InvalidEncoding("expected a day"),
        "bug": ZeroDivisionError("the secret is 4711"),
        "database": OperationalError("SELECT 4711", {}, Exception("locked")),
        "limit": TooManyRequests(retry_after=3),
    }
    for name, error in errors.items():
        app.add_url_rule(f"/{name}", name, raising(error))
    app.add_url_rule("/elsewhere", "elsewhere", lambda: redirect("/full"))
    app.add_url_rule(
        "/body",
        "body",
        lambda: jsonify(json_body(name=str, age=int | None, tags=list | None)),
        methods=["POST"],
    )

    def service() -> Response:
        require_service(KEY.public_jwk, "keyholder")
        return jsonify(ok=True)

    app.add_url_rule("/service", "service", service, methods=["GET", "POST"])

    def check() -> None:
        if not READY["part"]:
            raise RuntimeError("the secret is 4711")

    register_health(app, {"part": check})
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/full", 409, "full"),
        ("/crypto", 422, "ciphertext-out-of-range"),
        ("/encoding", 400, "invalid-encoding"),
        ("/bug", 500, "internal-error"),
        ("/database", 503, "database-unavailable"),
        ("/limit", 429, "too-many-requests"),
        ("/nothing", 404, "not-found"),
        ("/body", 405, "method-not-allowed"),
    ],
)
def test_every_error_is_a_problem(client: FlaskClient, path: str, status: int, slug: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json is not None
    assert answer.json["type"] == f"urn:hushbeat:problem:{slug}"
    assert answer.json["status"] == status
    assert set(answer.json) >= {"title", "detail"}
    assert "4711" not in answer.text


def test_a_problem_carries_its_members_and_when_to_come_back(client: FlaskClient) -> None:
    answer = client.get("/full")
    assert answer.json == {
        "type": "urn:hushbeat:problem:full",
        "title": "It is full",
        "status": 409,
        "detail": "Come back.",
        "state": "counted",
    }
    assert answer.headers["Retry-After"] == "7"
    assert client.get("/limit").headers["Retry-After"] == "3"
    assert "POST" in client.get("/body").headers["Allow"]


def test_a_redirect_is_no_problem(client: FlaskClient) -> None:
    assert client.get("/elsewhere").status_code == 302


def test_pages_get_a_page() -> None:
    app = Flask("test")
    register_problem_handlers(app, lambda: True, lambda problem: f"<h1>{problem.title}</h1>")
    app.add_url_rule("/", "index", raising(NotAllowed("No.")))
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert answer.text == "<h1>This is not yours to do</h1>"


def test_a_body_is_read_with_what_may_be_missing(client: FlaskClient) -> None:
    answer = client.post("/body", json={"name": "x"})
    assert answer.json == {"name": "x", "age": None, "tags": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"name": 1}',
        b'{"name": null}',
        b'{"name": "x", "age": true}',
        b'{"name": "x", "age": 1.0}',
        b'{"name": "x", "age": NaN}',
        b'{"name": "x", "name": "y"}',
        b'{"name": "x", "other": 1}',
        b'{"name": "x\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": "x", "tags": [{"\\udfff": 1}]}',
        b'{"name": "x", "tags": ' + b"[" * 400 + b"}",
        b'\xff{"name": "x"}',
        b'{"name": "x", "age": 1' + b"0" * 900 + b"}",
    ],
)
def test_a_body_that_is_not_as_prescribed_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/body", data=body, content_type="application/json")
    if body.startswith(b'{"name": "x", "age": 1000'):  # a number, however long
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400


def test_other_content_types_and_long_bodies_are_refused(client: FlaskClient) -> None:
    assert client.post("/body", data=b'{"name": "x"}').status_code == 400
    assert client.post("/body", json={"name": "x" * 4000}).status_code == 413
    chunks = client.post(
        "/body",
        input_stream=BytesIO(b"[" * 5000),
        headers={"Transfer-Encoding": "chunked"},
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert chunks.status_code == 400  # werkzeug cuts it off at the limit


def test_no_depth_of_nesting_is_an_error_of_the_server(client: FlaskClient) -> None:
    for depth in range(700, 1000, 10):
        body = b'{"name": "x", "tags": ' + b"[" * depth + b"]" * depth + b"}"
        answer = client.post("/body", data=body, content_type="application/json")
        assert answer.status_code in (200, 400)


def test_a_signed_call_is_let_in(client: FlaskClient) -> None:
    header = authorization(KEY, "keyholder", "POST", "/service?a=1", b"body")
    answer = client.post("/service?a=1", data=b"body", headers={"Authorization": header})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        "Hushbeat",
        "Hushbeat a.b.c",
        authorization(SigningKey.generate(), "keyholder", "POST", "/service", b"body"),
        authorization(KEY, "aggregator", "POST", "/service", b"body"),
        authorization(KEY, "keyholder", "GET", "/service", b"body"),
        authorization(KEY, "keyholder", "POST", "/service?a=1", b"body"),
        authorization(KEY, "keyholder", "POST", "/service", b"other"),
        authorization(KEY, "keyholder", "POST", "/service", b"body", now=1_700_000_000),
    ],
)
def test_any_other_call_is_not(client: FlaskClient, header: str) -> None:
    answer = client.post("/service", data=b"body", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["type"] == "urn:hushbeat:problem:not-authenticated"


def test_health_says_whether_and_not_why(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"alive": True}
    assert client.get("/readyz").json == {"ready": True, "checks": {"part": True}}
    READY["part"] = False
    try:
        answer = client.get("/readyz")
    finally:
        READY["part"] = True
    assert answer.status_code == 503
    assert json.loads(answer.data) == {"ready": False, "checks": {"part": False}}


def test_every_answer_carries_the_headers(client: FlaskClient) -> None:
    for path in ("/healthz", "/nothing", "/bug"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self' http://127.0.0.1:8001;" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "max-age" in headers["Strict-Transport-Security"]
