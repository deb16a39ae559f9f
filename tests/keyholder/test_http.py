"""What holds for every endpoint: origins, headers, methods, sizes, and no call without a reason."""

from __future__ import annotations

import pytest
from flask import Flask

from app.common.body_deadline import BodyDeadline
from tests.keyholder.world import World, slug

FOR_COLLECTORS = [
    "/v1/enrolments",
    "/v1/grants",
    "/v1/revocations",
    "/v1/devices",
    "/v1/device-removals",
    "/v1/recoveries",
    "/v1/recoveries/<jti>/cancellation",
    "/v1/recoveries/<jti>/completion",
    "/v1/log",
    "/v1/openings",
    "/v1/rosters",
    "/v1/cohort-openings",
    "/v1/cohort-queries",
]
FOR_THE_AGGREGATOR = [
    "/v1/comparison-sessions",
    "/v1/comparisons",
    "/v1/moves",
    "/v1/cohort-members",
]
PAGE = "http://127.0.0.1:8000"
FOREIGN = ["http://127.0.0.1:8002", "https://127.0.0.1:8000", "null", "http://evil.example"]


def rules(app: Flask) -> set[tuple[str, str]]:
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_these_endpoints_and_no_others(world: World) -> None:
    expected = {("POST", path) for path in FOR_COLLECTORS + FOR_THE_AGGREGATOR}
    expected |= {("GET", path) for path in ("/v1/manifest", "/healthz", "/readyz")}
    assert rules(world.app) == expected


@pytest.mark.parametrize("path", ["/v1/manifest", *FOR_COLLECTORS])
def test_the_aggregators_pages_may_call_what_is_for_collectors(world: World, path: str) -> None:
    method = "GET" if path == "/v1/manifest" else "POST"
    preflight = world.client.options(
        path, headers={"Origin": PAGE, "Access-Control-Request-Method": method}
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert method in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type"
    # The answer can be read, also when it is an error.
    answer = world.client.open(path, method=method, headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", FOREIGN)
def test_other_pages_may_not(world: World, origin: str) -> None:
    for path in ["/v1/manifest", *FOR_COLLECTORS]:
        for method in ("OPTIONS", "POST", "GET"):
            answer = world.client.open(path, method=method, headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_page_may_call_what_is_for_the_aggregator(world: World) -> None:
    for path in [*FOR_THE_AGGREGATOR, "/healthz", "/readyz", "/nothing"]:
        for method in ("OPTIONS", "POST", "GET"):
            answer = world.client.open(path, method=method, headers={"Origin": PAGE})
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_slow_bodies_end_in_this_role_too(world: World) -> None:
    assert isinstance(world.app.wsgi_app, BodyDeadline)


def test_every_answer_carries_the_headers(world: World) -> None:
    for path in ("/v1/manifest", "/v1/openings", "/nothing"):
        headers = world.client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", FOR_COLLECTORS)
def test_bodies_that_are_no_json_object_are_refused(world: World, path: str) -> None:
    for body in (b"", b"[]", b"{}", b"\xff", b"{" * 500):
        answer = world.client.post(path, data=body, content_type="application/json")
        assert slug(answer) == "invalid-request"
    assert slug(world.client.post(path, data=b"{}")) == "invalid-request"
    assert slug(world.client.get(path)) == "method-not-allowed"


@pytest.mark.parametrize("path", FOR_COLLECTORS[:6])
def test_small_messages_have_a_small_limit(world: World, path: str) -> None:
    answer = world.client.post(path, json={"grant": "A" * 20_000})
    assert slug(answer) == "request-entity-too-large"
