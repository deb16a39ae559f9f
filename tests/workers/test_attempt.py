"""One attempt: what is reported, what is given back, and that nothing of a result is logged."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import httpx
import pytest

from config import InferenceConfig
from crypto.encoding import new_id
from crypto.hpke import recording_info, seal
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import (
    FailedReport,
    KeyState,
    Manifest,
    PaillierEntry,
    ReadableReport,
    Report,
    SealingEntry,
    UnreadableReport,
)
from crypto.service_auth import check_authorization
from crypto.slots import pack_report
from crypto.unsealing import SealingKey
from tests.workers.conftest import KEY_BITS
from workers.inference.aggregator_client import AggregatorClient
from workers.inference.attempt import Attempts
from workers.inference.containers import BadHeader
from workers.inference.judge import Judgement, Readable, Unreadable
from workers.inference.manifest import ManifestUnavailable
from workers.inference.quality import UnreadableReason
from workers.inference.secrets import InferenceSecrets

SCORE, RATE = 54_321, 1_234


class Judges:
    """Says what the test wants to hear, or raises it."""

    def __init__(self, outcome: Judgement | BaseException) -> None:
        self.outcome = outcome
        self.heard: list[bytes] = []

    def judge(self, data: bytes) -> Judgement:
        self.heard.append(data)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Manifests:
    def __init__(self, manifest: Manifest | None) -> None:
        self._manifest = manifest

    def current(self) -> Manifest:
        if self._manifest is None:
            raise ManifestUnavailable("away")
        return self._manifest


class Aggregator(httpx.BaseTransport):
    """The workers' side of role A for one recording; calls named in `fails` fail."""

    def __init__(self, secrets: InferenceSecrets, sealed: bytes) -> None:
        self.secrets = secrets
        self.sealed = sealed
        self.recording, self.pseudonym, self.lease = new_id(), new_id(), new_id()
        self.calls: list[str] = []
        self.reports: list[Report] = []
        self.fails: dict[str, int | Exception] = {}
        self.fails_once: dict[str, list[int | Exception]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.rpartition("/")[2]
        self.calls.append(call)
        body = request.read()
        check_authorization(
            request.headers["Authorization"],
            self.secrets.report_key.public_jwk,
            "aggregator",
            request.method,
            request.url.raw_path.decode(),
            body,
            int(time.time()),
        )
        once = self.fails_once.get(call)
        failure = once.pop() if once else self.fails.get(call)
        if isinstance(failure, Exception):
            raise failure
        if failure:
            return httpx.Response(failure, json={"type": "urn:hushbeat:problem:for-the-test"})
        return getattr(self, f"_{call}")(request, body)

    def _lease(self, _request: httpx.Request, _body: bytes) -> httpx.Response:
        given = {"recording": self.recording, "pseudonym": self.pseudonym, "lease": self.lease}
        return httpx.Response(200, json={**given, "attempt": 1})

    def _blob(self, request: httpx.Request, _body: bytes) -> httpx.Response:
        assert request.url.params["lease"] == self.lease
        return httpx.Response(200, content=self.sealed)

    def _report(self, _request: httpx.Request, body: bytes) -> httpx.Response:
        token = json.loads(body)["report"]
        key = self.secrets.report_key.public_jwk
        self.reports.append(Report.verify(token, key, time.time()))
        return httpx.Response(200, json={})

    def _release(self, _request: httpx.Request, body: bytes) -> httpx.Response:
        assert json.loads(body) == {"lease": self.lease}
        return httpx.Response(204)


class Bench:
    """Everything that an attempt needs, each part to be changed by a test."""

    def __init__(self, home: Path) -> None:
        config = InferenceConfig.from_environment({"HUSHBEAT_HOME": str(home)})
        self.secrets = InferenceSecrets.load(config)
        self.private = PrivateKey.generate(KEY_BITS)
        public = self.private.public
        self.manifest: Manifest | None = Manifest(
            issued_at=0,
            keyholder_url="http://b",
            aggregator_url="http://a",
            paillier=(PaillierEntry(key_id=public.key_id, n=public.n, state=KeyState.ACTIVE),),
            sealing=SealingEntry(
                key_id=self.secrets.sealing_key.key_id, public=self.secrets.sealing_key.public
            ),
            report_key=self.secrets.report_key.public_jwk,
            statement_key=self.secrets.report_key.public_jwk,
            operating_point=32_768,
        )
        self.aggregator = Aggregator(self.secrets, b"")
        self.seal(b"audio")
        self.judges = Judges(Readable("model", SCORE, RATE))
        self.max_bytes = 1_000

    def seal(self, audio: bytes) -> None:
        a = self.aggregator
        info = recording_info(a.recording, a.pseudonym)
        a.sealed = seal(self.secrets.sealing_key.public, info, audio)

    def run(self) -> None:
        client = AggregatorClient(
            "http://a", self.secrets.report_key, self.max_bytes, self.aggregator
        )
        attempts = Attempts(self.secrets, client, Manifests(self.manifest), self.judges)
        attempts.run(self.aggregator.recording)

    @property
    def report(self) -> Report:
        (only,) = self.aggregator.reports
        assert (only.recording, only.pseudonym, only.lease) == (
            self.aggregator.recording,
            self.aggregator.pseudonym,
            self.aggregator.lease,
        )
        return only


@pytest.fixture
def bench(home: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("workers.inference.aggregator_client.REPORT_PAUSE_SECONDS", 0)
    return Bench(home)


def test_a_readable_recording_is_reported_under_encryption(bench: Bench) -> None:
    bench.run()
    assert bench.judges.heard == [b"audio"]
    report = bench.report
    assert isinstance(report, ReadableReport)
    assert report.model == "model"
    key = bench.private.public
    assert report.key_id == key.key_id
    plaintext = bench.private.decrypt(key.parse(report.findings))
    assert plaintext == pack_report(key.bits, SCORE, RATE)


def test_two_reports_of_one_result_look_different(bench: Bench) -> None:
    bench.run()
    bench.run()
    first, second = bench.aggregator.reports
    assert first.findings != second.findings


def test_an_unreadable_recording(bench: Bench) -> None:
    bench.judges.outcome = Unreadable(UnreadableReason.SILENT)
    bench.run()
    assert isinstance(bench.report, UnreadableReport)
    assert bench.report.reason == "silent"


def test_a_file_that_is_no_audio(bench: Bench) -> None:
    bench.judges.outcome = BadHeader("the header lies")
    bench.run()
    assert isinstance(bench.report, FailedReport)
    assert bench.report.reason == "bad_header"


@pytest.mark.parametrize("how", ["flipped", "other key", "other recording", "cut off", "empty"])
def test_what_does_not_open_has_failed(bench: Bench, how: str) -> None:
    a = bench.aggregator
    info = recording_info(a.recording, a.pseudonym)
    a.sealed = {
        "flipped": a.sealed[:-1] + bytes([a.sealed[-1] ^ 1]),
        "other key": seal(SealingKey.generate().public, info, b"audio"),
        "other recording": seal(
            bench.secrets.sealing_key.public, recording_info(new_id(), a.pseudonym), b"audio"
        ),
        "cut off": a.sealed[:40],
        "empty": b"",
    }[how]
    bench.run()
    assert bench.judges.heard == []
    assert isinstance(bench.report, FailedReport)
    assert bench.report.reason == "sealed_broken"


@pytest.mark.parametrize("status", [404, 409, 410])
def test_what_another_worker_has_is_left_alone(bench: Bench, status: int) -> None:
    bench.aggregator.fails["lease"] = status
    bench.run()
    assert bench.aggregator.calls == ["lease"]


def test_no_attempt_begins_without_a_manifest(bench: Bench) -> None:
    bench.manifest = None
    bench.run()
    assert bench.aggregator.calls == []


@pytest.mark.parametrize("failure", [503, 429, httpx.ReadTimeout("")])
def test_a_blob_that_does_not_come_gives_the_lease_back(
    bench: Bench, failure: int | Exception
) -> None:
    bench.aggregator.fails["blob"] = failure
    bench.run()
    assert bench.aggregator.calls == ["lease", "blob", "release"]


def test_a_report_that_does_not_get_through_is_sent_again_as_it_was(bench: Bench) -> None:
    a = bench.aggregator
    a.fails_once["report"] = [httpx.ReadError(""), 503]
    bench.run()
    assert a.calls == ["lease", "blob", "report", "report", "report"]
    assert isinstance(bench.report, ReadableReport)


def test_a_report_that_never_gets_through_gives_the_lease_back(bench: Bench) -> None:
    bench.aggregator.fails["report"] = 502
    bench.run()
    assert bench.aggregator.calls[-2:] == ["report", "release"]


def test_a_refused_report_is_not_sent_again(bench: Bench) -> None:
    bench.aggregator.fails["report"] = 409
    bench.run()
    assert bench.aggregator.calls == ["lease", "blob", "report"]


def test_a_blob_over_the_limit_is_not_read_to_its_end(bench: Bench) -> None:
    bench.seal(bytes(1_001))
    bench.run()
    assert bench.aggregator.calls == ["lease", "blob"]
    assert bench.judges.heard == []
    bench.seal(bytes(1_000))
    bench.run()
    assert bench.judges.heard == [bytes(1_000)]


def test_an_unexpected_error_costs_an_attempt_and_tells_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.judges.outcome = ValueError(f"score {SCORE}")
    bench.run()
    assert bench.aggregator.calls == ["lease", "blob"]
    assert "an attempt failed" in caplog.text


def test_no_result_is_ever_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.run()
    bench.aggregator.fails["report"] = 409
    bench.run()
    assert str(SCORE) not in caplog.text
    assert str(RATE) not in caplog.text
