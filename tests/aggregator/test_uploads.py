"""Uploading sealed recordings and following them."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask

from app.aggregator.factory import create_app
from app.aggregator.recordings import api, cleanup
from app.aggregator.recordings.uploads import Registered, Upload
from app.aggregator.services import services
from app.aggregator.tables import Recording, RecordingState, db
from config import AggregatorConfig
from crypto.encoding import new_id
from crypto.hpke import OVERHEAD_BYTES
from tests.aggregator.cast import DAY, Browser, Caller, Cast, put, sealed, state_of
from tests.aggregator.conftest import Line


def blobs(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "blobs").rglob("*") if p.is_file())


def path(recording: str, day: str = DAY) -> str:
    return f"/api/recordings/{recording}?day={day}"


@pytest.fixture
def judged(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings that were announced to the inference workers."""
    announced: list[str] = []
    queue = type(app.extensions["hushbeat"].queue)
    monkeypatch.setattr(queue, "judge", lambda _self, one: announced.append(one))
    return announced


def test_an_upload_is_stored_registered_and_announced(
    app: Flask, cast: Cast, tmp_path: Path, judged: list[str]
) -> None:
    recording, data = new_id(), sealed(150_000)
    answer = cast.patient.put(path(recording), data)
    assert answer.status_code == 201
    assert answer.get_json() == {"recording": recording, "day": DAY, "state": "queued"}
    sha = hashlib.sha256(data).hexdigest()
    assert blobs(tmp_path) == [f"{recording}-{sha}"]
    assert (tmp_path / "blobs" / "sealed" / f"{recording}-{sha}").read_bytes() == data
    assert judged == [recording]
    with app.app_context():
        row = db.session.get_one(Recording, recording)
        assert (row.pseudonym, row.sealed_sha256) == (cast.patient.collector, sha)


def test_the_same_upload_again_changes_nothing(
    cast: Cast, tmp_path: Path, judged: list[str]
) -> None:
    recording = put(cast.patient)
    before = blobs(tmp_path)
    answer = cast.patient.put(path(recording, "2025-02-01"), sealed())
    assert answer.status_code == 200
    assert answer.get_json() == {"recording": recording, "day": DAY, "state": "queued"}
    assert blobs(tmp_path) == before
    assert judged == [recording]


def test_other_bytes_under_the_same_id_are_refused_with_the_state(
    cast: Cast, tmp_path: Path
) -> None:
    recording = put(cast.patient)
    before = blobs(tmp_path)
    answer = cast.patient.put(path(recording), sealed(fill=b"t"))
    assert answer.status_code == 409
    assert answer.get_json()["type"] == "urn:hushbeat:problem:recording-exists"
    assert answer.get_json()["state"] == "queued"
    assert blobs(tmp_path) == before


def test_a_colleague_cannot_touch_or_see_a_recording(cast: Cast, tmp_path: Path) -> None:
    recording = put(cast.patient)
    before = blobs(tmp_path)
    for data in (sealed(), sealed(fill=b"t")):
        answer = cast.colleague.put(path(recording), data)
        assert answer.status_code == 409
        assert "state" not in answer.get_json()
    assert blobs(tmp_path) == before
    assert cast.colleague.get(f"/api/recordings?ids={recording}").get_json() == {"recordings": []}


def test_strangers_and_other_kinds_upload_nothing(cast: Cast, tmp_path: Path) -> None:
    for caller, status in ((cast.stranger, 401), (cast.doctor, 403), (cast.operator, 403)):
        assert caller.put(path(new_id()), sealed()).status_code == status
        assert caller.get("/api/recordings").status_code == status
    assert blobs(tmp_path) == []


def test_uploads_work_while_the_key_holder_is_down(cast: Cast, line: Line) -> None:
    line.down = True
    put(cast.patient)
    assert line.calls == []


@pytest.mark.parametrize("size", [0, 1, OVERHEAD_BYTES])
def test_what_is_too_short_to_be_sealed_is_refused(cast: Cast, tmp_path: Path, size: int) -> None:
    assert cast.patient.put(path(new_id()), sealed(size)).status_code in (400, 411)
    assert blobs(tmp_path) == []


def test_the_size_limit_is_exact(cast: Cast, tmp_path: Path) -> None:
    largest = 200_000 + OVERHEAD_BYTES
    assert cast.patient.put(path(new_id()), sealed(largest)).status_code == 201
    answer = cast.patient.put(path(new_id()), sealed(largest + 1))
    assert answer.status_code == 413
    assert answer.get_json()["type"] == "urn:hushbeat:problem:recording-too-large"
    assert len(blobs(tmp_path)) == 1


# gunicorn marks the end of a body itself; other servers leave that to the application.
@pytest.mark.parametrize("terminated", [True, False])
def test_a_body_shorter_than_announced_leaves_nothing(
    app: Flask, cast: Cast, tmp_path: Path, terminated: bool
) -> None:
    environ = {"CONTENT_LENGTH": "100", "wsgi.input_terminated": terminated}
    recording = new_id()
    answer = cast.patient.put(path(recording), sealed(99), environ_overrides=environ)
    assert answer.status_code == 400
    assert blobs(tmp_path) == []
    assert state_of(app, recording) is None
    put(cast.patient, recording=recording)
    answer = cast.patient.put(path(recording), sealed(99), environ_overrides=environ)
    assert answer.status_code == 400


def test_an_upload_that_comes_when_the_same_one_has_ended_leaves_no_blob(
    app: Flask, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = api._register

    def after_the_other(new: Upload) -> Registered:
        register(new)
        db.session.get_one(Recording, new.recording).state = RecordingState.COUNTED
        db.session.commit()
        return register(new)

    monkeypatch.setattr(api, "_register", after_the_other)
    answer = cast.patient.put(path(new_id()), sealed())
    assert (answer.status_code, answer.get_json()["state"]) == (200, "counted")
    assert blobs(tmp_path) == []


def test_a_body_of_unknown_length_is_refused(cast: Cast, tmp_path: Path) -> None:
    answer = cast.patient.put(
        path(new_id()), sealed(), environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"}
    )
    assert answer.status_code == 411
    assert blobs(tmp_path) == []


@pytest.mark.parametrize(
    "recording",
    ["..%2f..%2fetc", "%2e%2e", "A" * 32, "a" * 31, "a" * 33, "a" * 31 + "%00", "a" * 31 + "%0a"],
)
def test_an_id_is_32_hex_digits(cast: Cast, tmp_path: Path, recording: str) -> None:
    assert cast.patient.put(path(recording), sealed()).status_code in (400, 404)
    assert blobs(tmp_path) == []


@pytest.mark.parametrize(
    "day", ["", "2025-2-1", "2025-02-30", "01.02.2025", "9999-12-31", "2025-02-01%0a", "x"]
)
def test_a_day_is_a_day_that_has_come(cast: Cast, tmp_path: Path, day: str) -> None:
    assert cast.patient.put(path(new_id(), day), sealed()).status_code == 400
    assert cast.patient.put(f"/api/recordings/{new_id()}", sealed()).status_code == 400
    assert blobs(tmp_path) == []


def test_tomorrow_is_a_day_east_of_greenwich(cast: Cast) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert cast.patient.put(path(new_id(), str(tomorrow)), sealed()).status_code == 201
    later = tomorrow + timedelta(days=1)
    assert cast.patient.put(path(new_id(), str(later)), sealed()).status_code == 400


def test_a_form_is_not_parsed_but_stored(cast: Cast, tmp_path: Path) -> None:
    """The content type of an upload means nothing, whatever a browser was made to send."""
    answer = cast.patient.put(
        path(new_id()), sealed(), content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 201
    assert len(blobs(tmp_path)) == 1


def test_a_browser_needs_the_csrf_token(app: Flask, cast: Cast, tmp_path: Path) -> None:
    browser = Browser(app, cast.patient.id)
    refused = browser.client.put(path(new_id()), data=sealed())
    assert (refused.status_code, refused.get_json()["type"]) == (400, "urn:hushbeat:problem:csrf")
    forged = browser.client.put(path(new_id()), data=sealed(), headers={"X-CSRFToken": "x"})
    assert forged.status_code == 400
    assert blobs(tmp_path) == []
    taken = browser.client.put(path(new_id()), data=sealed(), headers={"X-CSRFToken": browser.csrf})
    assert taken.status_code == 201


def test_a_broker_that_is_down_fails_no_upload(
    app: Flask, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "broker").iterdir():
        folder.rmdir()
    (tmp_path / "broker").rmdir()
    (tmp_path / "broker").write_text("in the way")
    recording = put(cast.patient)
    assert state_of(app, recording) == "queued"


def test_a_refused_client_gets_rid_of_its_bytes_and_hears_why(cast: Cast) -> None:
    """Were the connection closed on it, it would hear nothing and send everything again."""
    refusals = {
        (cast.doctor, 150_000): 403,
        (cast.patient, 200_000 + OVERHEAD_BYTES + 1): 413,
    }
    for (caller, size), status in refusals.items():
        body = BytesIO(sealed(size))
        assert caller.put(path(new_id()), b"", input_stream=body).status_code == status
        assert body.tell() == min(size, 200_000 + OVERHEAD_BYTES)


def test_a_stranger_is_not_listened_to(cast: Cast) -> None:
    body = BytesIO(sealed(150_000))
    assert cast.stranger.put(path(new_id()), b"", input_stream=body).status_code == 401
    assert body.tell() == 0


@pytest.mark.parametrize("same", [True, False], ids=["same bytes", "other bytes"])
def test_two_uploads_of_one_recording_at_once(
    either_app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """Both have stored their bytes before either makes the row: one wins, whole."""
    app, cast = either_app, Cast(either_app)
    barrier = threading.Barrier(2, timeout=10)
    register = api._register

    def together(new: object) -> object:
        barrier.wait()
        return register(new)

    monkeypatch.setattr(api, "_register", together)
    recording, answers = new_id(), []

    def send(data: bytes) -> None:
        client = Caller(app, None, "")
        client.token = cast.patient.token
        answers.append(client.put(path(recording), data).status_code)

    bodies = [sealed(), sealed(fill=b"s" if same else b"t")]
    threads = [threading.Thread(target=send, args=(data,)) for data in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ([200, 201] if same else [201, 409])
    with app.app_context():
        row = db.session.get_one(Recording, recording)
        assert blobs(tmp_path) == [f"{recording}-{row.sealed_sha256}"]


def test_a_list_has_the_newest_first_and_only_what_is_asked_for(app: Flask, cast: Cast) -> None:
    recordings = [put(cast.patient) for _ in range(3)]
    put(cast.colleague)
    with app.app_context():
        for age, recording in enumerate(recordings):
            db.session.get_one(Recording, recording).uploaded_at = 1_000 - age
        db.session.commit()
    listed = cast.patient.get("/api/recordings").get_json()["recordings"]
    assert [row["recording"] for row in listed] == recordings
    assert set(listed[0]) == {"recording", "day", "state", "reason", "uploaded_at"}
    some = cast.patient.get(f"/api/recordings?ids={recordings[2]},{new_id()}").get_json()
    assert [row["recording"] for row in some["recordings"]] == [recordings[2]]
    assert cast.patient.get("/api/recordings?ids=../x").status_code == 400
    many = ",".join([recordings[0]] * 201)
    assert cast.patient.get(f"/api/recordings?ids={many}").status_code == 400


def test_cleaning_up_keeps_what_is_needed(app: Flask, cast: Cast, tmp_path: Path) -> None:
    waiting, finished, lost = (put(cast.patient) for _ in range(3))
    with app.app_context():
        db.session.get_one(Recording, finished).state = "failed"
        db.session.delete(db.session.get_one(Recording, lost))
        db.session.commit()
        store = services().blobs
        assert cleanup.delete_unneeded_blobs(store) == 1
        assert [name[:32] for name in blobs(tmp_path)] == sorted([waiting, lost])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cleanup, "ABANDONED_SECONDS", -1)
            assert cleanup.delete_unneeded_blobs(store) == 1
        assert [name[:32] for name in blobs(tmp_path)] == [waiting]


@pytest.mark.parametrize(
    "limits",
    [{"MAX_WAITING_RECORDINGS": "2"}, {"MAX_WAITING_BYTES": "1000"}],
    ids=["number", "bytes"],
)
def test_an_account_has_only_so_much_waiting(
    home: Path, config: AggregatorConfig, tmp_path: Path, limits: dict[str, str]
) -> None:
    chosen = AggregatorConfig.from_environment({"HUSHBEAT_HOME": str(home)} | limits)
    app = create_app(
        replace(
            config,
            max_waiting_recordings=chosen.max_waiting_recordings,
            max_waiting_bytes=chosen.max_waiting_bytes,
        )
    )
    cast = Cast(app)
    recordings = [put(cast.patient, sealed(450)) for _ in range(2)]
    before = blobs(tmp_path)
    body = BytesIO(sealed(450))
    answer = cast.patient.put(path(new_id()), b"", input_stream=body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "15")
    assert answer.get_json()["type"] == "urn:hushbeat:problem:too-many-waiting"
    assert body.tell() == 450
    assert blobs(tmp_path) == before
    assert cast.patient.put(path(recordings[0]), sealed(450)).status_code == 200
    put(cast.colleague, sealed(450))
    with app.app_context():
        db.session.get_one(Recording, recordings[0]).state = RecordingState.REPORTED
        db.session.commit()
    put(cast.patient, sealed(450))
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def test_uploads_of_one_account_come_only_so_often(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_UPLOADS_PER_MINUTE", 3)
    for _ in range(3):
        put(cast.patient)
    answer = cast.patient.put(path(new_id()), sealed())
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "10"
    put(cast.colleague)
