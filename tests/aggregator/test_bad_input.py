"""No input of any caller to any endpoint ends in a server error, on either database."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app.aggregator.tables import AccountKind
from tests.aggregator.cast import Browser, Caller, Cast, Worker, sealed

PATH_PARTS = ["a" * 32, "%00", "%ff", "..%2f..", "x" * 3_000, "%F0%9F%92%94", "'--", "-1"]
VALUES: list[Any] = [None, True, -1, 1e308, "", "x", "\u0000", "é" * 5_000, [], [[[]]], {"a": {}}]
ID = "a" * 32
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/accounts"): {"display_name": "x", "password": "x" * 12, "kind": "patient"},
    ("POST", "/api/tokens"): {"login": "x", "password": "x" * 12},
    ("POST", "/api/enrolments"): {"key": {}},
    ("POST", "/api/openings"): {"kind": "tally", "cells": [], "recipient": "x"},
    ("POST", "/api/consents"): {"grant": "x"},
    ("DELETE", f"/api/consents/{ID}"): {"revocation": "x"},
    ("POST", f"/api/patients/{ID}/ranges"): {"range": "x"},
    ("POST", f"/api/ranges/{ID}/decision"): {"accept": True, "digest": "A" * 43},
    ("POST", "/api/devices/requests"): {"key": {}, "type": "software", "label": "x"},
    ("POST", f"/api/devices/requests/{ID}/approval"): {"device": "x"},
    ("DELETE", f"/api/devices/requests/{ID}"): {},
    ("POST", "/api/devices"): {"device": "x", "proof": "x"},
    ("POST", "/api/devices/removals"): {"removal": "x"},
    ("POST", "/api/recoveries"): {"recovery": "x"},
    ("POST", f"/api/recoveries/{ID}/approvals"): {"approval": "x"},
    ("POST", f"/api/recoveries/{ID}/cancellation"): {"cancel": "x"},
    ("POST", f"/api/recoveries/{ID}/completion"): {"receipt": "x"},
    ("POST", "/api/rosters"): {"roster": "x"},
    ("POST", "/api/cohort-openings"): {"roster": ID, "recipient": "x"},
    ("POST", f"/internal/recordings/{ID}/lease"): {},
    ("POST", f"/internal/recordings/{ID}/report"): {"report": "x"},
    ("POST", f"/internal/recordings/{ID}/release"): {"lease": ID},
    ("POST", "/internal/workers"): {"name": "x", "kind": "inference", "ready": True},
}
RAW = [
    b"", b"{}", b"null", b"[]", b"{", b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 50_000,
    b'{"login":"\\ud800","password":"x"}', b'{"a":' + b"9" * 5_000 + b"}",
]  # fmt: skip


def paths(app: Flask) -> Iterator[tuple[str, str]]:
    """Every method and address below /api and /internal, with each odd part once."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/api", "/internal")):
            parts = PATH_PARTS if rule.arguments else [""]
            # Ends its caller's token and reads nothing: tests/aggregator/test_accounts.py.
            methods = sorted(set(rule.methods or ()) - {"DELETE" * (rule.rule == "/api/tokens")})
            for method, part in itertools.product(methods, parts):
                yield method, re.sub("<[^>]+>", lambda _, part=part: part, rule.rule)


@pytest.fixture
def callers(either_app: Flask, worker_keys: Any) -> list[Any]:
    cast = Cast(either_app)
    clinic = Caller(either_app, AccountKind.CLINIC, "Clinic")
    people = [cast.patient, cast.doctor, clinic, cast.operator]
    return [*people, Worker(either_app, worker_keys[1])]


def test_every_endpoint_is_here(either_app: Flask) -> None:
    with_bodies = {entry for entry in paths(either_app) if entry[0] in ("POST", "DELETE")}
    odd = [part for part in PATH_PARTS if part != ID]
    assert {e for e in with_bodies if not any(part in e[1] for part in odd)} == set(BODIES)


def test_odd_addresses_and_queries(either_app: Flask, callers: list[Any]) -> None:
    query = "?day=%00&first=%ff&last=x&ids=%00,%00&pseudonym=%00&lease=%00"
    for method, path in paths(either_app):
        body = {} if method in ("POST", "DELETE") else None
        for caller in callers:
            answer = caller.call(method, path + query, body)
            assert answer.status_code < 500, (method, path, answer.text)


def test_odd_bodies(either_app: Flask, callers: list[Any]) -> None:
    *people, worker = callers
    for (method, path), body in BODIES.items():
        for field, value in itertools.product((*body, "unknown"), VALUES):
            for caller in people if path.startswith("/api") else (worker,):
                answer = caller.call(method, path, body | {field: value})
                assert answer.status_code < 500, (path, field, value, answer.text)


def test_bodies_that_are_no_json(either_app: Flask, callers: list[Any]) -> None:
    patient: Caller = callers[0]
    kinds = ("application/json", "multipart/form-data; boundary=x")
    for (method, path), body, kind in itertools.product(BODIES, RAW, kinds):
        answer = patient.call(method, path, data=body, content_type=kind)
        assert answer.status_code < 500, (path, body[:20], kind, answer.text)


# WTForms 3.3 wants the choices of the pages' forms written otherwise; no business of this test.
@pytest.mark.filterwarnings("ignore:Passing SelectField choices:DeprecationWarning")
def test_forms_with_odd_values(either_app: Flask, callers: list[Any]) -> None:
    browser = Browser(either_app)
    for path, value in itertools.product(("/login", "/register"), ("\x00", "\ufffe", "x" * 9_000)):
        form = {
            "csrf_token": browser.csrf,
            "login": value,
            "display_name": value,
            "password": value * 12,
            "repeated": value * 12,
            "kind": value,
            "age_band": "adult",
        }
        answer = browser.client.post(path, data=form)
        assert answer.status_code < 500, (path, value[:20], answer.text)


def test_odd_headers(either_app: Flask) -> None:
    client = either_app.test_client()
    for name, value in itertools.product(
        ("Authorization", "Cookie", "X-CSRFToken", "Accept-Language", "Accept", "Content-Type"),
        (
            "",
            "x",
            "Bearer " + "é" * 100,
            "hushbeat=x.y.z",
            "Hushbeat a.b.c",
            ";;;,,,q=",
            "*" * 5_000,
        ),
    ):
        for path in ("/api/account", "/internal/workers", "/login", "/", "/nowhere"):
            for method in ("GET", "POST"):
                answer = client.open(path, method=method, headers={name: value}, data=sealed())
                assert answer.status_code < 500, (method, path, name, value, answer.text)
