"""What a collector is told when something goes wrong."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from client import errors
from client.collector import Collector
from client.manifest import check_fingerprint, fetch_manifest
from client.service import Service, field, patiently
from crypto.errors import BadSignature
from crypto.jws import SigningKey
from tests.client.fake_servers import AGGREGATOR, FakeServers, answer, in_turn, problem


@pytest.fixture
def servers() -> FakeServers:
    return FakeServers()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr("client.service.time.sleep", made.append)
    return made


def _get(response: httpx.Response | Exception) -> dict[str, object]:
    http = httpx.Client(transport=httpx.MockTransport(in_turn(response)))
    return Service("aggregator", AGGREGATOR, http).get("/api/account")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Refused),
        (401, errors.NotLoggedIn),
        (403, errors.NotAllowed),
        (404, errors.NotFound),
        (408, errors.Unavailable),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (429, errors.TooManyRequests),
        (500, errors.Refused),
        (503, errors.Unavailable),
    ],
)
def test_problem_details_become_typed_errors(status: int, kind: type[errors.Refused]) -> None:
    with pytest.raises(errors.Refused) as caught:
        _get(problem(status, "some-slug", "Wait for the rain to stop"))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.slug) == (status, "some-slug")
    assert "Wait for the rain to stop." in str(caught.value)


def _busy(retry_after: str) -> httpx.Response:
    return httpx.Response(429, json={}, headers={"Retry-After": retry_after})


def test_a_busy_server_is_given_the_time_that_it_asks_for(pauses: list[float]) -> None:
    http = httpx.Client(
        transport=httpx.MockTransport(in_turn(_busy("15"), _busy("90"), _busy("soon"), answer(200)))
    )
    patiently(lambda: Service("aggregator", AGGREGATOR, http).get("/api/account"), 10)
    assert pauses == [15, 90, 0.8]


def test_no_server_is_waited_for_for_ever(pauses: list[float]) -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: _busy("1500")))
    with pytest.raises(errors.TooManyRequests):
        patiently(lambda: Service("aggregator", AGGREGATOR, http).get("/api/account"), 10)
    assert pauses == [1500, 1500]


@pytest.mark.parametrize("content", [b"<h1>Bad gateway</h1>", b"[1]", b"\xff", b"{", b""])
def test_an_error_without_problem_details_is_still_typed(content: bytes) -> None:
    with pytest.raises(errors.Unavailable):
        _get(httpx.Response(502, content=content))


@pytest.mark.parametrize("content", [b"<h1>Welcome</h1>", b"[1]", b"\xff", b"{", b""])
def test_an_answer_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(errors.BadAnswer):
        _get(httpx.Response(200, content=content))


@pytest.mark.parametrize(
    "broken",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("cut")],
)
def test_a_broken_connection_says_which_server(broken: httpx.HTTPError) -> None:
    with pytest.raises(errors.Unreachable, match=r"aggregator at http://aggregator\.test"):
        _get(broken)


@pytest.mark.parametrize("value", [None, 1, True, [], {}])
def test_a_field_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(errors.BadAnswer, match="login"):
        field({"login": value}, "login", str)


def test_true_is_no_number() -> None:
    with pytest.raises(errors.BadAnswer):
        field({"since": True}, "since", int)


def test_what_passes_is_tried_again_with_growing_pauses(pauses: list[float]) -> None:
    down: list[Exception] = [errors.Unreachable("no"), errors.Unavailable(503, "x", "no")]

    def call() -> str:
        if down:
            raise down.pop()
        return "done"

    assert patiently(call, 60) == "done"
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_what_does_not_pass_is_not_tried_again(pauses: list[float]) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise errors.NotAllowed(403, "x", "no")

    with pytest.raises(errors.NotAllowed):
        patiently(call, 60)
    assert len(calls) == 1
    assert pauses == []


def test_patience_ends(pauses: list[float]) -> None:
    def call() -> None:
        raise errors.Unreachable("no")

    with pytest.raises(errors.Unreachable):
        patiently(call, 0.1)


def test_the_manifest_of_the_pinned_key_is_believed(servers: FakeServers) -> None:
    keyholder = Service("key holder", "http://keyholder.test", servers.client())
    manifest = fetch_manifest(keyholder, servers.fingerprint, 0)
    assert manifest.aggregator_url == AGGREGATOR


def test_another_manifest_key_is_refused(servers: FakeServers, tmp_path: Path) -> None:
    profile = servers.profile(tmp_path)
    servers.manifest_key = SigningKey.generate()
    with pytest.raises(errors.FingerprintMismatch):
        Collector(profile, servers.client())


def test_a_manifest_signed_by_another_key_is_refused(servers: FakeServers) -> None:
    servers.on["GET /v1/manifest"] = lambda _: answer(
        manifest=servers.manifest().sign(SigningKey.generate()),
        key=servers.manifest_key.public_jwk,
    )
    keyholder = Service("key holder", "http://keyholder.test", servers.client())
    with pytest.raises(BadSignature):
        fetch_manifest(keyholder, servers.fingerprint, 0)


def test_a_fingerprint_may_be_typed_in_groups() -> None:
    assert check_fingerprint(" ABCD:" + "0" * 60 + "\n") == "abcd" + "0" * 60


@pytest.mark.parametrize("text", ["", "abcd", "g" * 64, "0" * 65])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(errors.FingerprintMismatch):
        check_fingerprint(text)
