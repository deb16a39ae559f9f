"""The aggregator's client of the key holder: whom it believes, and what it makes of failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.aggregator import keyholder_client
from app.aggregator.keyholder_client import (
    KeyholderClient,
    KeyholderRefused,
    KeyholderUnavailable,
    UntrustedManifest,
)
from app.aggregator.secrets import AggregatorSecrets
from config import AggregatorConfig
from crypto.jws import SigningKey
from crypto.messages import KeyState, Manifest
from crypto.service_auth import check_authorization
from tests.aggregator.conftest import Keyholder, Line

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def statement_key(config: AggregatorConfig) -> SigningKey:
    return AggregatorSecrets.load(config).statement_key


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(keyholder_client.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def client(config: AggregatorConfig, statement_key: SigningKey, line: Line) -> KeyholderClient:
    return KeyholderClient(config, statement_key, line)


def answering(config: AggregatorConfig, key: SigningKey, answer: Answer) -> KeyholderClient:
    return KeyholderClient(config, key, httpx.MockTransport(answer))


def test_the_manifest_is_asked_for_once_a_minute(
    client: KeyholderClient, line: Line, clock: list[float], keyholder: Keyholder
) -> None:
    assert client.manifest().active_key == keyholder.keys.paillier.public
    clock[0] += 59
    client.manifest()
    assert line.calls == ["/v1/manifest"]
    clock[0] += 1
    client.manifest()
    assert len(line.calls) == 2


def test_a_refresh_is_not_asked_for_at_once_again(
    client: KeyholderClient, line: Line, clock: list[float]
) -> None:
    client.manifest()
    client.manifest(refresh=True)
    assert len(line.calls) == 1
    clock[0] += 2
    client.manifest(refresh=True)
    assert len(line.calls) == 2


def test_the_last_manifest_serves_while_the_key_holder_is_away(
    client: KeyholderClient, line: Line, clock: list[float]
) -> None:
    first = client.manifest()
    line.down = True
    clock[0] += 60
    assert client.manifest() is first
    assert client.answered is False
    assert client.manifest() is first
    assert len(line.calls) == 2, "it is left alone for a moment"
    line.down = False
    clock[0] += 2
    client.manifest()
    assert client.answered is True


def test_without_any_manifest_it_is_unavailable(
    client: KeyholderClient, line: Line, clock: list[float]
) -> None:
    line.down = True
    for _ in range(3):
        with pytest.raises(KeyholderUnavailable):
            client.manifest()
    assert len(line.calls) == 1
    line.down = False
    clock[0] += 2
    client.manifest()


def test_another_manifest_key_is_not_believed(
    client: KeyholderClient, config: AggregatorConfig, statement_key: SigningKey, tmp_path: Path
) -> None:
    home = tmp_path / "other"
    (home / "public").mkdir(parents=True)
    (home / "public" / "keyholder-fingerprint").write_text("0" * 64)
    other = KeyholderClient(replace(config, home=home), statement_key, client._http._transport)
    with pytest.raises(UntrustedManifest):
        other.manifest()
    (home / "public" / "keyholder-fingerprint").unlink()
    third = KeyholderClient(replace(config, home=home), statement_key, client._http._transport)
    with pytest.raises(KeyholderUnavailable, match="bring it here"):
        third.manifest()


def test_a_manifest_for_another_aggregator_is_not_believed(
    config: AggregatorConfig, line: Line
) -> None:
    with pytest.raises(UntrustedManifest, match="another statement key"):
        KeyholderClient(config, SigningKey.generate(), line).manifest()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"Location": "http://elsewhere.example/"}),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"manifest": "a.b.c", "key": {}}),
        httpx.Response(200, json={"manifest": "a.b.c", "key": 5}),
        httpx.Response(200, json={"manifest": 5, "key": {"kty": "OKP"}}),
    ],
)
def test_whatever_is_no_manifest_makes_it_unavailable(
    config: AggregatorConfig, statement_key: SigningKey, answer: httpx.Response
) -> None:
    with pytest.raises(KeyholderUnavailable):
        answering(config, statement_key, lambda _: answer).manifest()


def test_an_altered_manifest_is_not_believed(
    client: KeyholderClient,
    config: AggregatorConfig,
    statement_key: SigningKey,
    keyholder: Keyholder,
) -> None:
    real = keyholder.app.test_client().get("/v1/manifest").get_json()
    head, body, tail = real["manifest"].split(".")
    altered = {**real, "manifest": f"{head}.{body[:-4]}AAAA.{tail}"}
    foreign = SigningKey.generate()
    resigned = {"manifest": client.manifest().sign(foreign), "key": real["key"]}
    own_key = {"manifest": client.manifest().sign(foreign), "key": foreign.public_jwk}
    for answer in (altered, resigned, own_key):
        made = httpx.Response(200, json=answer)
        with pytest.raises(UntrustedManifest):
            answering(config, statement_key, lambda _, made=made: made).manifest()


def test_only_the_active_key_is_given(
    config: AggregatorConfig,
    statement_key: SigningKey,
    client: KeyholderClient,
    keyholder: Keyholder,
    clock: list[float],
) -> None:
    key_id = keyholder.keys.paillier.public.key_id
    found = client.paillier_key(key_id)
    assert found == keyholder.keys.paillier.public
    assert client.paillier_key("0" * 64) is None
    from crypto.keyholder.private_key import PrivateKey
    from crypto.messages import PaillierEntry

    newer = PrivateKey.generate(1024).public
    now = client.manifest()
    entries = (
        PaillierEntry(key_id=key_id, n=found.n, state=KeyState.RETIRED),
        PaillierEntry(key_id=newer.key_id, n=newer.n, state=KeyState.ACTIVE),
    )
    rotated: Manifest = replace(now, paillier=entries, issued_at=int(time.time()))
    signed = {
        "manifest": rotated.sign(keyholder.keys.manifest),
        "key": keyholder.keys.manifest.public_jwk,
    }
    client._http._transport = httpx.MockTransport(lambda _: httpx.Response(200, json=signed))
    clock[0] += 2
    assert client.paillier_key(newer.key_id) == newer, "an unknown key makes it ask again"
    assert client.paillier_key(key_id) is None


def test_calls_are_signed_and_answers_are_bytes(
    config: AggregatorConfig, statement_key: SigningKey
) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        check_authorization(
            request.headers["Authorization"],
            statement_key.public_jwk,
            "keyholder",
            "POST",
            request.url.path,
            request.content,
            time.time(),
        )
        assert request.headers["Content-Type"] == "application/msgpack"
        seen.append(request.url.path)
        return httpx.Response(200, content=request.content[::-1])

    client = answering(config, statement_key, answer)
    assert client.open_session(b"\x01\x02") == b"\x02\x01"
    assert client.compare(b"\x03\x04") == b"\x04\x03"
    assert seen == ["/v1/comparison-sessions", "/v1/comparisons"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_failure_that_may_pass(
    config: AggregatorConfig, statement_key: SigningKey, status: int
) -> None:
    client = answering(config, statement_key, lambda _: httpx.Response(status))
    with pytest.raises(KeyholderUnavailable):
        client.compare(b"x")
    assert not client.answered


def test_a_line_that_breaks(client: KeyholderClient, line: Line) -> None:
    line.down = True
    with pytest.raises(KeyholderUnavailable):
        client.open_session(b"x")


@pytest.mark.parametrize(
    ("answer", "slug"),
    [
        (
            httpx.Response(409, json={"type": "urn:hushbeat:problem:position-out-of-order"}),
            "position-out-of-order",
        ),
        (
            httpx.Response(409, json={"type": "urn:hushbeat:problem:session-ended", "item": "1"}),
            "session-ended",
        ),
        (httpx.Response(404, content=b"<html>"), "http-404"),
        (httpx.Response(400, json={"type": 5}), "http-400"),
    ],
)
def test_a_refusal_names_its_problem(
    config: AggregatorConfig, statement_key: SigningKey, answer: httpx.Response, slug: str
) -> None:
    client = answering(config, statement_key, lambda _: answer)
    with pytest.raises(KeyholderRefused) as caught:
        client.compare(b"x")
    assert caught.value.slug == slug
    assert caught.value.item is None


def test_a_refusal_names_its_position(config: AggregatorConfig, statement_key: SigningKey) -> None:
    problem = {"type": "urn:hushbeat:problem:position-already-served", "item": 3}
    client = answering(config, statement_key, lambda _: httpx.Response(409, json=problem))
    with pytest.raises(KeyholderRefused) as caught:
        client.compare(b"x")
    assert (caught.value.slug, caught.value.item) == ("position-already-served", 3)
