"""Everything is denied by default; sessions, CSRF tokens and cookies."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, session

from app.aggregator.access import PUBLIC
from app.aggregator.accounts import sessions
from crypto.encoding import new_id
from tests.aggregator.cast import DAY, Browser, Cast, sealed

EXAMPLES = {
    "recording_id": "a" * 32,
    "grant_id": "a" * 32,
    "range_id": "a" * 32,
    "request_id": "a" * 32,
    "jti": "a" * 32,
    "pseudonym": "a" * 32,
    "code": "ABCD-EFGH-IJKL-MNOP",
    "filename": "x.js",
}


def test_a_stranger_gets_nowhere_but_to_what_is_public(app: Flask) -> None:
    client = app.test_client()
    seen = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in PUBLIC:
            continue
        path = re.sub(r"<(?:[^:<>]*:)?([^<>]+)>", lambda m: EXAMPLES[m[1]], rule.rule)
        for method in sorted(rule.methods or ()):
            answer = client.open(path, method=method)
            if rule.endpoint.startswith("pages.") and method in ("GET", "HEAD", "OPTIONS"):
                assert answer.status_code == 302, rule
                assert answer.headers["Location"] == "/login"
            else:
                assert answer.status_code == 401, (rule, method)
            seen.add(rule.endpoint)
    assert len(seen) > 20


def test_every_public_endpoint_exists(app: Flask) -> None:
    assert set(app.view_functions) >= PUBLIC


def test_the_worker_calls_are_nobody_elses(cast: Cast) -> None:
    for caller in (cast.patient, cast.doctor, cast.operator, cast.stranger):
        assert caller.post("/internal/workers", {}).status_code == 401
        assert caller.post(f"/internal/recordings/{'a' * 32}/lease").status_code == 401


def test_an_unknown_address_is_not_found(cast: Cast) -> None:
    for caller in (cast.patient, cast.stranger):
        answer = caller.get("/api/nothing")
        assert answer.status_code == 404
        assert answer.mimetype == "application/problem+json"
    assert cast.patient.call("PATCH", "/api/account").status_code == 405


def test_the_process_tells_that_it_lives_and_is_ready(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.get_json() == {"ready": True, "checks": {"database": True, "blobs": True}}


def test_a_session_is_an_account(app: Flask, cast: Cast) -> None:
    browser = Browser(app, cast.patient.id)
    assert browser.client.get("/api/account").get_json()["login"] == cast.patient.login


def test_changes_from_a_session_need_the_csrf_token_of_that_session(app: Flask, cast: Cast) -> None:
    browser = Browser(app, cast.patient.id)
    body = {"key": cast.patient.key.public_jwk}
    other = Browser(app, cast.colleague.id)
    for token in (None, "", "x", other.csrf[:-1]):
        headers = {} if token is None else {"X-CSRFToken": token}
        answer = browser.client.post("/api/enrolments", json=body, headers=headers)
        assert answer.status_code == 400
        assert answer.get_json()["type"] == "urn:hushbeat:problem:csrf"
    answer = browser.client.post(
        "/api/enrolments", json=body, headers={"X-CSRFToken": browser.csrf}
    )
    assert answer.status_code == 200


def test_a_token_beside_a_session_does_not_switch_csrf_off(app: Flask, cast: Cast) -> None:
    """Else a page that can make a browser send any bearer token could act for the session."""
    browser = Browser(app, cast.patient.id)
    answer = browser.client.put(
        f"/api/recordings/{new_id()}?day={DAY}",
        data=sealed(),
        headers={"Authorization": f"Bearer {cast.colleague.token}"},
    )
    assert answer.status_code == 400


def test_pages_need_the_csrf_token_even_without_an_account(app: Flask) -> None:
    answer = app.test_client().post("/login", data={"login": "x", "password": "y"})
    assert answer.status_code == 400
    assert b"x" * 100 not in answer.data


def test_logging_in_begins_a_session_beside_others(app: Flask, cast: Cast) -> None:
    """One device lets another one in: both have to be logged in."""
    other = Browser(app, cast.patient.id)
    with app.test_request_context():
        session["left"] = "from before"
        sessions.log_in(cast.patient.account())
        assert "left" not in session
        assert session.permanent
    assert other.client.get("/api/account").status_code == 200


def test_logging_out_makes_copies_of_the_cookie_worthless(app: Flask, cast: Cast) -> None:
    browser, copy = Browser(app, cast.patient.id), Browser(app, cast.patient.id)
    answer = browser.client.post("/logout", data={"csrf_token": browser.csrf})
    assert answer.status_code == 302
    assert browser.client.get("/api/account").status_code == 401
    assert copy.client.get("/api/account").status_code == 401


def test_a_session_expires(app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(app, cast.patient.id)
    assert app.permanent_session_lifetime == timedelta(minutes=60)
    later = datetime.now(UTC) + timedelta(minutes=61)
    monkeypatch.setattr("itsdangerous.timed.time.time", later.timestamp)
    assert browser.client.get("/api/account").status_code == 401


def test_the_cookie_is_for_this_site_only(app: Flask, cast: Cast) -> None:
    answer = Browser(app, cast.patient.id).client.get("/api/account")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


class TestOverTls:
    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"AGGREGATOR_URL": "https://hushbeat.example"}

    def test_the_cookie_is_secure(self, app: Flask, cast: Cast) -> None:
        browser = Browser(app, cast.patient.id)
        answer = browser.client.get("/api/account", base_url="https://localhost")
        assert "Strict-Transport-Security" in answer.headers
        assert app.config["SESSION_COOKIE_SECURE"] is True


def test_answers_carry_the_policy_and_are_not_stored(cast: Cast) -> None:
    for answer in (cast.patient.get("/api/account"), cast.stranger.get("/api/account")):
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
