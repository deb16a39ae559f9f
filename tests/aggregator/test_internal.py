"""What inference workers call: leases, blobs, reports, sightings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.aggregator.recordings import lifecycle
from app.aggregator.tables import Recording, WorkerSighting, db
from crypto.encoding import new_id
from crypto.jws import SigningKey
from crypto.messages import ReadableReport
from crypto.paillier import PublicKey
from crypto.service_auth import authorization
from tests.aggregator.cast import (
    Cast,
    Worker,
    failed,
    put,
    readable,
    sealed,
    state_of,
    unreadable,
)
from tests.aggregator.conftest import Keyholder, Line


@pytest.fixture
def counts(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each message to the aggregation workers."""
    announced: list[str] = []
    queue = type(app.extensions["hushbeat"].queue)
    monkeypatch.setattr(queue, "compare", lambda _self: announced.append("compare"))
    return announced


@pytest.fixture
def recording(cast: Cast) -> str:
    return put(cast.patient)


def blobs(tmp_path: Path) -> list[str]:
    return [p.name for p in (tmp_path / "blobs").rglob("*") if p.is_file()]


def slug(answer: Any) -> str:
    return str(answer.get_json()["type"]).rpartition(":")[2]


def test_a_worker_leases_reads_and_reports(
    app: Flask,
    cast: Cast,
    worker: Worker,
    recording: str,
    key: PublicKey,
    counts: list[str],
    tmp_path: Path,
) -> None:
    lease = worker.lease(recording)
    assert lease | {"lease": ""} == {
        "recording": recording,
        "pseudonym": cast.patient.collector,
        "lease": "",
        "attempt": 1,
    }
    blob = worker.call("GET", f"/internal/recordings/{recording}/blob?lease={lease['lease']}")
    assert (blob.status_code, blob.data) == (200, sealed())
    told = readable(lease, key)
    answers = [worker.report(told) for _ in range(2)]
    assert [a.status_code for a in answers] == [200, 200]
    assert answers[0].get_json() == {"recording": recording, "state": "reported"}
    assert counts == ["compare"]
    assert blobs(tmp_path) == []
    with app.app_context():
        row = db.session.get_one(Recording, recording)
        assert isinstance(told, ReadableReport)
        assert (row.findings, row.key_id) == (told.findings, key.key_id)
        assert row.model == "cnn-1"


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [(unreadable, "unreadable", "silence"), (failed, "failed", "not_audio")],
)
def test_what_cannot_be_judged_ends_with_its_reason(
    cast: Cast,
    worker: Worker,
    recording: str,
    counts: list[str],
    tmp_path: Path,
    told: Any,
    state: str,
    reason: str,
) -> None:
    answer = worker.report(told(worker.lease(recording)))
    assert answer.get_json() == {"recording": recording, "state": state}
    [shown] = cast.patient.get(f"/api/recordings?ids={recording}").get_json()["recordings"]
    assert (shown["state"], shown["reason"]) == (state, reason)
    assert counts == []
    assert blobs(tmp_path) == []
    again = cast.patient.put(f"/api/recordings/{recording}?day=2025-03-01", sealed())
    assert (again.status_code, again.get_json()["state"]) == (200, state)
    assert blobs(tmp_path) == []


def test_a_lease_is_for_one_worker(worker: Worker, recording: str) -> None:
    lease = worker.lease(recording)
    path = f"/internal/recordings/{recording}/lease"
    taken = worker.call("POST", path, {})
    assert (taken.status_code, slug(taken)) == (409, "recording-taken")
    body = {"lease": lease["lease"]}
    released = worker.call("POST", f"/internal/recordings/{recording}/release", body)
    assert released.status_code == 204
    assert worker.lease(recording)["attempt"] == 1
    again = worker.call("POST", f"/internal/recordings/{recording}/release", body)
    assert again.status_code == 204, "an old lease releases nothing"
    assert worker.call("POST", path, {}).status_code == 409


def test_finished_unknown_and_misspelt_recordings(worker: Worker, recording: str) -> None:
    worker.report(unreadable(worker.lease(recording)))
    gone = worker.call("POST", f"/internal/recordings/{recording}/lease", {})
    assert (gone.status_code, slug(gone)) == (410, "recording-finished")
    assert worker.call("POST", f"/internal/recordings/{new_id()}/lease", {}).status_code == 404
    assert worker.call("POST", "/internal/recordings/x/lease", {}).status_code == 400
    unknown = f"/internal/recordings/{new_id()}/blob?lease={new_id()}"
    assert worker.call("GET", unknown).status_code == 404


def test_a_recording_that_keeps_killing_its_worker_is_quarantined(
    app: Flask, cast: Cast, worker: Worker, recording: str
) -> None:
    for attempt in (1, 2, 3):
        lease = worker.lease(recording)
        assert lease["attempt"] == attempt
        for _ in range(2):
            worker.call("GET", f"/internal/recordings/{recording}/blob?lease={lease['lease']}")
        with app.app_context():
            db.session.get_one(Recording, recording).lease_until = 0
            db.session.commit()
    refused = worker.call("POST", f"/internal/recordings/{recording}/lease", {})
    assert refused.status_code == 410
    [shown] = cast.patient.get("/api/recordings").get_json()["recordings"]
    assert (shown["state"], shown["reason"]) == ("failed", "quarantined")


def test_a_blob_is_read_with_the_present_lease_only(worker: Worker, recording: str) -> None:
    path = f"/internal/recordings/{recording}/blob"
    assert worker.call("GET", f"{path}?lease={new_id()}").status_code == 409
    lease = worker.lease(recording)
    assert worker.call("GET", f"{path}?lease={new_id()}").status_code == 409
    assert worker.call("GET", f"{path}?lease=..").status_code == 400
    assert worker.call("GET", path).status_code == 400
    worker.report(unreadable(lease))
    assert worker.call("GET", f"{path}?lease={lease['lease']}").status_code == 409


def test_forged_reports_are_refused(
    app: Flask,
    cast: Cast,
    worker: Worker,
    recording: str,
    key: PublicKey,
    keyholder: Keyholder,
    counts: list[str],
) -> None:
    lease = worker.lease(recording)
    other = worker.lease(put(cast.colleague))
    width = key.ciphertext_bytes
    factor = int(keyholder.keys.paillier._p).to_bytes(width, "big")

    def changed(**changes: Any) -> ReadableReport:
        good = readable(lease, key)
        assert isinstance(good, ReadableReport)
        return ReadableReport(**{**vars(good), **changes})

    cases = [
        (changed(lease=new_id()), 409),
        (changed(lease=other["lease"]), 409),
        (changed(pseudonym=other["pseudonym"]), 404),
        (changed(key_id="0" * 64), 422),
        (changed(findings=bytes(width)), 422),
        (changed(findings=b"\xff" * width), 422),
        (changed(findings=factor), 422),
        (changed(findings=b"short"), 400),
        (unreadable(lease, "Not A Word"), 400),
    ]
    for told, status in cases:
        assert worker.report(told).status_code == status, told
    assert worker.report(changed(), key=SigningKey.generate()).status_code == 422
    path = f"/internal/recordings/{recording}/report"
    for token in ("", "x", "a.b.c", unreadable(other).sign(worker.key)):
        assert worker.call("POST", path, {"report": token}).status_code == 400
    assert worker.call("POST", path, {"report": 5}).status_code == 400
    assert state_of(app, recording) == "leased"
    assert counts == []
    assert worker.report(changed()).status_code == 200


def test_a_replayed_report_of_another_content_is_refused(
    app: Flask, worker: Worker, recording: str, key: PublicKey, counts: list[str]
) -> None:
    lease = worker.lease(recording)
    worker.report(readable(lease, key))
    for told in (readable(lease, key), unreadable(lease), failed(lease)):
        answer = worker.report(told)
        assert (answer.status_code, slug(answer)) == (409, "report-conflict")
    assert state_of(app, recording) == "reported"
    assert counts == ["compare"]


def test_a_report_of_one_recording_is_none_of_another(
    app: Flask, cast: Cast, worker: Worker, recording: str, key: PublicKey
) -> None:
    other = put(cast.patient)
    worker.lease(other)
    told = readable(worker.lease(recording), key).sign(worker.key)
    answer = worker.call("POST", f"/internal/recordings/{other}/report", {"report": told})
    assert answer.status_code == 400
    assert state_of(app, other) == "leased"


def test_calls_are_signed_for_this_very_request(worker: Worker, recording: str) -> None:
    path = f"/internal/recordings/{recording}/lease"
    signed = {
        "another key": authorization(SigningKey.generate(), "aggregator", "POST", path, b"{}"),
        "another server": authorization(worker.key, "keyholder", "POST", path, b"{}"),
        "another path": authorization(worker.key, "aggregator", "POST", path + "?x", b"{}"),
        "another body": authorization(worker.key, "aggregator", "POST", path, b"{ }"),
        "long ago": authorization(worker.key, "aggregator", "POST", path, b"{}", now=1),
        "nothing": "",
        "a token": "Bearer x",
    }
    for what, header in signed.items():
        answer = worker.client.post(
            path,
            data=b"{}",
            content_type="application/json",
            headers={"Authorization": header} if header else {},
        )
        assert answer.status_code == 401, what


def test_until_the_key_holder_was_heard_of_workers_wait(
    worker: Worker, recording: str, line: Line
) -> None:
    line.down = True
    answer = worker.call("POST", f"/internal/recordings/{recording}/lease", {})
    assert answer.status_code == 503


def test_work_goes_on_while_the_key_holder_is_away(
    worker: Worker, recording: str, key: PublicKey, line: Line
) -> None:
    lease = worker.lease(recording)
    line.down = True
    assert worker.report(readable(lease, key)).status_code == 200


def test_a_crash_after_the_report_leaves_a_blob_for_the_sweeper_only(
    app: Flask,
    worker: Worker,
    recording: str,
    key: PublicKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer got lost: the worker sends the report again, and the rest is done then."""
    accept = lifecycle.accept_report

    def crash(*arguments: Any) -> None:
        accept(*arguments)
        raise KeyboardInterrupt

    told = readable(worker.lease(recording), key)
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "accept_report", crash)
        with pytest.raises(KeyboardInterrupt):
            worker.report(told)
    assert state_of(app, recording) == "reported"
    assert worker.report(told).status_code == 200


def test_sightings(app: Flask, worker: Worker) -> None:
    seen = {"name": "host-1", "kind": "inference", "ready": False}
    assert worker.call("POST", "/internal/workers", seen).status_code == 204
    assert worker.call("POST", "/internal/workers", seen | {"ready": True}).status_code == 204
    with app.app_context():
        [row] = db.session.query(WorkerSighting)
        assert (row.name, row.kind, row.ready) == ("host-1", "inference", True)
    for wrong in ({"name": ""}, {"name": "x" * 121}, {"name": "a\nb"}, {"kind": "x"}, {"ready": 1}):
        assert worker.call("POST", "/internal/workers", seen | wrong).status_code == 400


def test_leases_whose_answers_got_lost_quarantine_nothing(
    app: Flask, worker: Worker, recording: str
) -> None:
    for _ in range(5):
        assert worker.lease(recording)["attempt"] == 1
        with app.app_context():
            db.session.get_one(Recording, recording).lease_until = 0
            db.session.commit()
    assert state_of(app, recording) == "leased"


def test_a_lease_that_is_given_back_after_the_blob_was_fetched_is_no_attempt(
    worker: Worker, recording: str
) -> None:
    for _ in range(5):
        lease = worker.lease(recording)
        assert lease["attempt"] == 1
        body = {"lease": lease["lease"]}
        worker.call("GET", f"/internal/recordings/{recording}/blob?lease={lease['lease']}")
        worker.call("POST", f"/internal/recordings/{recording}/release", body)


def test_a_recording_that_arrived_broken_is_uploaded_again(
    app: Flask, cast: Cast, worker: Worker, recording: str, key: PublicKey, counts: list[str]
) -> None:
    worker.report(failed(worker.lease(recording), "sealed_broken"))
    path = f"/api/recordings/{recording}?day=2025-03-02"
    assert cast.colleague.put(path, sealed(fill=b"n")).status_code == 409
    answer = cast.patient.put(path, sealed(fill=b"n"))
    assert answer.status_code == 201
    expected = {"recording": recording, "day": "2025-03-01", "state": "queued"}
    assert answer.get_json() == expected
    again = cast.patient.put(path, sealed(fill=b"n"))
    assert (again.status_code, again.get_json()) == (200, expected)
    lease = worker.lease(recording)
    blob = worker.call("GET", f"/internal/recordings/{recording}/blob?lease={lease['lease']}")
    assert blob.data == sealed(fill=b"n")
    assert worker.report(readable(lease, key)).status_code == 200
    refused = cast.patient.put(path, sealed(fill=b"x"))
    assert (refused.status_code, refused.get_json()["state"]) == (409, "reported")
