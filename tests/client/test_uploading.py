"""Sealing, sending, sending again, and following a recording to its end."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from pathlib import Path

import httpx
import pytest

from client.errors import (
    BadAnswer,
    Conflict,
    NotFound,
    RecordingRefused,
    StillWaiting,
)
from client.uploading import (
    MAX_BYTES,
    State,
    check_recording,
    progress,
    read_recording,
    recording_id,
    upload,
    wait_until_finished,
)
from crypto.hpke import recording_info
from models.synthesis import silence, wav_bytes
from tests.client.fake_servers import PSEUDONYM, FakeServers, answer, in_turn, problem

DAY = date(2026, 3, 14)
SOUND = wav_bytes(silence(20.0))
ID = "cd" * 16


@pytest.fixture
def servers() -> FakeServers:
    return FakeServers()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.service.time.sleep", lambda _: None)


def _uploads(servers: FakeServers) -> list[httpx.Request]:
    return [request for request in servers.requests if request.method == "PUT"]


def test_what_is_sent_opens_at_the_worker_only_as_this_recording(
    servers: FakeServers, tmp_path: Path
) -> None:
    servers.on["PUT /api/recordings"] = lambda _: answer(201)
    with servers.collector(tmp_path) as collector:
        recording = upload(collector, SOUND, DAY)
        assert recording == recording_id(collector.identity.id_key, SOUND)
    (request,) = _uploads(servers)
    assert request.url.path == f"/api/recordings/{recording}"
    assert request.url.params["day"] == "2026-03-14"
    assert request.headers["Content-Length"] == str(len(SOUND) + 48)
    info = recording_info(recording, PSEUDONYM)
    assert servers.worker_key.unseal(info, request.content) == SOUND


def test_a_recording_id_is_the_macs_first_half() -> None:
    key = bytes(range(32))
    mac = hmac.new(key, b"hushbeat/recording-id/v1\x00" + SOUND, hashlib.sha256)
    assert recording_id(key, SOUND) == mac.hexdigest()[:32]
    assert recording_id(key, SOUND + b"\x00") != recording_id(key, SOUND)
    assert recording_id(key[::-1], SOUND) != recording_id(key, SOUND)


def test_a_broken_upload_is_sent_again_with_the_same_bytes(
    servers: FakeServers, tmp_path: Path
) -> None:
    servers.on["PUT /api/recordings"] = in_turn(
        problem(503, "database-unavailable"), httpx.ReadError("cut"), answer(200)
    )
    sent: list[int] = []
    with servers.collector(tmp_path) as collector:
        upload(collector, SOUND, DAY, sent.append)
    contents = [request.content for request in _uploads(servers)]
    assert len(contents) == 3
    assert len(set(contents)) == 1
    assert sum(sent) == len(SOUND) + 48
    assert min(sent) == -(len(SOUND) + 48)


def test_a_file_that_was_sent_before_counts_as_sent(servers: FakeServers, tmp_path: Path) -> None:
    servers.on["PUT /api/recordings"] = lambda _: problem(409, "recording-exists")
    sent: list[int] = []
    with servers.collector(tmp_path) as collector:
        upload(collector, SOUND, DAY, sent.append)
    assert sum(sent) == len(SOUND) + 48


@pytest.mark.parametrize(
    ("response", "kind"),
    [(problem(409, "other"), Conflict), (problem(404, "not-found"), NotFound)],
)
def test_a_refusal_is_passed_on(
    servers: FakeServers, tmp_path: Path, response: httpx.Response, kind: type[Exception]
) -> None:
    servers.on["PUT /api/recordings"] = lambda _: response
    with servers.collector(tmp_path) as collector, pytest.raises(kind):
        upload(collector, SOUND, DAY)
    assert len(_uploads(servers)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"hello, this is no sound",
        b"RIFF\x00\x00\x00\x00AVI ",
        b"RIFF",
        b"\xff\x00 no frame",
        b"RIFF\x00\x00\x00\x00WAVE" + bytes(MAX_BYTES),
    ],
)
def test_what_cannot_be_a_recording_never_leaves(
    servers: FakeServers, tmp_path: Path, data: bytes
) -> None:
    with servers.collector(tmp_path) as collector, pytest.raises(RecordingRefused):
        upload(collector, data, DAY)
    assert _uploads(servers) == []


@pytest.mark.parametrize("head", [b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90\x00", SOUND[:12]])
def test_the_accepted_containers_pass(head: bytes) -> None:
    check_recording(head + bytes(100))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingRefused, match="cannot be read"):
        read_recording(tmp_path / "missing.wav")
    with pytest.raises(RecordingRefused, match="cannot be read"):
        read_recording(tmp_path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(RecordingRefused, match="Upload a shorter"):
        read_recording(path)


def _row(state: str, reason: str | None = None) -> dict[str, object]:
    return {"recording": ID, "day": "2026-03-14", "state": state, "reason": reason}


def test_a_recording_is_followed_to_its_end(servers: FakeServers, tmp_path: Path) -> None:
    steps = ["queued", "leased", "leased", "reported", "counted"]
    servers.on["GET /api/recordings"] = in_turn(
        *(answer(recordings=[_row(step)]) for step in steps)
    )
    seen: list[State] = []
    with servers.collector(tmp_path) as collector:
        finished = wait_until_finished(collector, [ID], 60, lambda one: seen.append(one.state))
    assert seen == ["queued", "leased", "reported", "counted"]
    assert finished[0].state is State.COUNTED


def test_a_server_that_restarts_does_not_end_the_wait(servers: FakeServers, tmp_path: Path) -> None:
    servers.on["GET /api/recordings"] = in_turn(
        httpx.ConnectError("down"),
        problem(503, "x"),
        answer(recordings=[_row("unreadable", "noise")]),
    )
    with servers.collector(tmp_path) as collector:
        (finished,) = wait_until_finished(collector, [ID], 60)
    assert finished.reason == "noise"


def test_the_wait_ends(servers: FakeServers, tmp_path: Path) -> None:
    servers.on["GET /api/recordings"] = lambda _: answer(recordings=[_row("queued")])
    with servers.collector(tmp_path) as collector, pytest.raises(StillWaiting, match="1 of 1"):
        wait_until_finished(collector, [ID], -1)


@pytest.mark.parametrize(
    "rows",
    [[], [_row("eaten")], ["x"], [{"recording": ID}], {}, [_row("queued") | {"recording": 1}]],
)
def test_an_answer_that_makes_no_sense_is_refused(
    servers: FakeServers, tmp_path: Path, rows: object
) -> None:
    servers.on["GET /api/recordings"] = lambda _: answer(recordings=rows)
    with servers.collector(tmp_path) as collector, pytest.raises(BadAnswer):
        progress(collector, [ID])


def test_many_recordings_are_asked_for_in_parts(servers: FakeServers, tmp_path: Path) -> None:
    ids = [f"{number:032x}" for number in range(120)]
    servers.on["GET /api/recordings"] = lambda request: answer(
        recordings=[
            _row("counted") | {"recording": one} for one in request.url.params["ids"].split(",")
        ]
    )
    with servers.collector(tmp_path) as collector:
        assert [one.recording for one in progress(collector, ids)] == ids
    assert max(len(str(request.url)) for request in servers.requests) < 4_000
