"""The client against real processes of both roles: the owner, the colleague and the stranger."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from client import errors, grants, openings, ranges, uploading
from client.collector import TIMEOUT, Collector, now
from client.profile import Profile
from client.transfer import transfer
from client.uploading import State
from crypto.encoding import b64u, new_id, unb64u
from crypto.errors import OpeningMismatch, SealBroken
from crypto.hpke import blind_info, seal
from crypto.jws import CollectorKey
from crypto.messages import Grant, Revocation, Statement
from crypto.slots import join, zone_bits
from deploy.demo.truth import Counts, expected_counts, judge
from deploy.local.system import LocalSystem
from models.synthesis import phonocardiogram, silence, wav_bytes
from workers.inference.judge import Judge

DAY = datetime.now().astimezone().date()
DAY_BEFORE = DAY - timedelta(days=1)
WEEK = (DAY - timedelta(days=6), DAY)
PASSWORD = "a long enough password"
HEALTHY = ranges.HealthyRange(lo=500, hi=1_000)
SOUNDS = {
    "slow.wav": wav_bytes(phonocardiogram(45, seconds=6.0)),
    "normal.wav": wav_bytes(phonocardiogram(75, seconds=6.0, seed=1)),
    "murmur.wav": wav_bytes(phonocardiogram(80, murmur=0.4, seconds=6.0, seed=2)),
    "silence.wav": wav_bytes(silence(6.0)),
}

Register = Callable[..., Collector]
Answer = dict[str, object]
Change = Callable[[Answer], Answer]


@dataclass(frozen=True)
class Story:
    """A patient who uploaded, the doctor with the consent, and what is true."""

    patient: Collector
    doctor: Collector
    colleague: Collector
    other_patient: Collector
    finished: dict[str, State]
    expected: Counts


@pytest.fixture(scope="module")
def register(
    running_system: LocalSystem, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Register]:
    made: list[Collector] = []

    def register_one(kind: str) -> Collector:
        collector = Collector.register(
            Profile(tmp_path_factory.mktemp("profiles") / kind),
            running_system.keyholder_url,
            _fingerprint(running_system),
            PASSWORD,
            display_name=f"Client {kind}",
            kind=kind,
        )
        made.append(collector)
        return collector

    yield register_one
    for collector in made:
        collector.close()


@pytest.fixture(scope="module")
def story(register: Register, tmp_path_factory: pytest.TempPathFactory) -> Story:
    patient, doctor, colleague = register("patient"), register("doctor"), register("doctor")
    _consent(patient, doctor)
    ranges.set_range(doctor, patient.pseudonym, HEALTHY)
    folder = tmp_path_factory.mktemp("recordings")
    for name, sound in SOUNDS.items():
        (folder / name).write_bytes(sound)
    files = sorted(folder.iterdir())
    transferred = transfer(patient, files[:2], DAY)
    transferred.finished |= transfer(patient, files[2:], DAY_BEFORE).finished
    judging = Judge.load()
    truths = [judge(sound, judging) for sound in SOUNDS.values()]
    return Story(
        patient,
        doctor,
        colleague,
        register("patient"),
        {path.name: progress.state for path, progress in transferred.finished.items()},
        expected_counts(truths, HEALTHY),
    )


def _fingerprint(system: LocalSystem) -> str:
    return (system.home / "public" / "keyholder-fingerprint").read_text().strip()


def _consent(patient: Collector, doctor: Collector) -> str:
    return grants.grant(patient, grants.find_doctor(patient, doctor.account()["doctor_code"]))


def _total(opened: list[openings.Opened]) -> Counts:
    return Counts(
        sum(one.recordings for one in opened),
        sum(one.sound for one in opened),
        sum(one.rate for one in opened),
    )


def test_every_recording_ends_as_it_should(story: Story) -> None:
    assert story.finished == {
        "slow.wav": State.COUNTED,
        "normal.wav": State.COUNTED,
        "murmur.wav": State.COUNTED,
        "silence.wav": State.UNREADABLE,
    }
    assert story.expected == Counts(recordings=3, sound=1, rate=1)


def test_the_owner_opens_day_by_day(story: Story) -> None:
    opened = openings.open_each_day(story.patient, *WEEK)
    assert _total(opened) == story.expected
    assert [one.days for one in opened] == [(DAY_BEFORE.isoformat(),), (DAY.isoformat(),)]


def test_the_doctor_opens_the_whole_list_at_once(story: Story) -> None:
    listed = ranges.patients(story.doctor)
    assert [(one.pseudonym, one.range_state) for one in listed] == [
        (story.patient.pseudonym, "active")
    ]
    opened = openings.open_patients(story.doctor, [story.patient.pseudonym], *WEEK)
    assert _total(list(opened.values())) == story.expected
    by_day = openings.open_each_day(story.doctor, *WEEK, story.patient.pseudonym)
    assert _total(by_day) == story.expected


def test_a_window_without_recordings_counts_nothing(story: Story) -> None:
    week_after = (DAY + timedelta(days=1), DAY + timedelta(days=7))
    opened = openings.open_patients(story.doctor, [story.patient.pseudonym], *week_after)
    assert _total(list(opened.values())) == Counts(0, 0, 0)
    assert openings.open_each_day(story.patient, *week_after) == []


def test_the_same_file_again_is_one_recording(story: Story) -> None:
    sent: list[int] = []
    recording = uploading.upload(story.patient, SOUNDS["slow.wav"], DAY, sent.append)
    (progress,) = uploading.progress(story.patient, [recording])
    assert progress.state is State.COUNTED
    assert _total(openings.open_each_day(story.patient, *WEEK)) == story.expected


def test_registering_and_logging_in_again_changes_nothing(story: Story) -> None:
    story.patient.log_in(PASSWORD)
    story.patient.enrol()
    assert story.patient.account()["enrolled"] is True
    with pytest.raises(errors.ProfileError):
        Collector.register(
            story.patient.profile,
            story.patient.identity.keyholder_url,
            story.patient.identity.fingerprint,
            PASSWORD,
            display_name="x",
            kind="patient",
        )


def test_another_key_is_not_enrolled_for_the_same_account(story: Story) -> None:
    with pytest.raises(errors.Conflict):
        story.patient.aggregator.post("/api/enrolments", key=CollectorKey.generate().public_jwk)


def test_colleagues_open_nothing(story: Story) -> None:
    pseudonym = story.patient.pseudonym
    for other in (story.colleague, story.other_patient):
        with pytest.raises((errors.NotFound, errors.NotAllowed)):
            openings.days_with_recordings(other, *WEEK, pseudonym)
        with pytest.raises((errors.NotFound, errors.NotAllowed)):
            openings.open_scopes(other, [openings.Scope(pseudonym, (DAY.isoformat(),))])
    assert ranges.patients(story.colleague) == []


def test_colleagues_change_nothing(story: Story) -> None:
    (consent,) = grants.consents(story.patient)
    with pytest.raises((errors.NotFound, errors.NotAllowed)):
        ranges.propose(story.colleague, story.patient.pseudonym, HEALTHY)
    with pytest.raises(errors.Refused):
        grants.revoke(story.other_patient, consent.grant)
    with pytest.raises(errors.NotAllowed):
        uploading.upload(story.colleague, SOUNDS["normal.wav"], DAY)
    assert grants.consents(story.patient) == [consent]


def test_a_stranger_gets_nothing(story: Story) -> None:
    with httpx.Client(timeout=TIMEOUT) as http:
        stranger = Collector(story.patient.profile, http)
        for token in (None, "A" * 43):
            stranger.aggregator.token = token
            with pytest.raises(errors.NotLoggedIn):
                stranger.account()
            with pytest.raises(errors.NotLoggedIn):
                openings.days_with_recordings(stranger, *WEEK)
            with pytest.raises(errors.NotLoggedIn):
                stranger.aggregator.post("/api/openings", kind="tally", cells=[], recipient="")


def test_a_wrong_password_is_refused(story: Story) -> None:
    with httpx.Client(timeout=TIMEOUT) as http:
        stranger = Collector(story.other_patient.profile, http)
        with pytest.raises(errors.NotLoggedIn):
            stranger.log_in("not the password at all")


def test_nothing_is_sent_to_a_server_with_another_fingerprint(
    running_system: LocalSystem, tmp_path: Path
) -> None:
    asked: list[httpx.Request] = []
    http = httpx.Client(timeout=TIMEOUT, event_hooks={"request": [asked.append]})
    profile = Profile(tmp_path / "nobody")
    with http, pytest.raises(errors.FingerprintMismatch):
        Collector.register(
            profile,
            running_system.keyholder_url,
            "0" * 64,
            PASSWORD,
            display_name="x",
            kind="patient",
            http=http,
        )
    assert [request.url.path for request in asked] == ["/v1/manifest"]
    assert not profile.exists()


def test_a_revoked_grant_is_refused_by_the_key_holder_itself(
    story: Story, register: Register
) -> None:
    doctor = register("doctor")
    grant = _consent(story.patient, doctor)
    scope = [openings.Scope(story.patient.pseudonym, (DAY.isoformat(), DAY_BEFORE.isoformat()))]
    assert _total(openings.open_scopes(doctor, scope)) == story.expected
    # As if the aggregator did not want to know: only the key holder is told.
    revocation = Revocation(grant=grant, patient=story.patient.pseudonym, iat=now())
    story.patient.keyholder.post(
        "/v1/revocations", revocation=revocation.sign(story.patient.identity.key)
    )
    with pytest.raises(errors.NotAllowed, match="key holder refused"):
        openings.open_scopes(doctor, scope)
    grants.revoke(story.patient, grant)
    with pytest.raises(errors.NotFound, match="aggregator refused"):
        openings.open_scopes(doctor, scope)
    assert grant not in [one.grant for one in grants.consents(story.patient)]


def test_nobody_else_can_sign_a_grant(story: Story) -> None:
    forged = Grant(
        grant=new_id(),
        patient=story.patient.pseudonym,
        doctor=story.colleague.pseudonym,
        doctor_thumbprint=story.colleague.identity.key.thumbprint,
        iat=now(),
    ).sign(story.colleague.identity.key)
    with pytest.raises(errors.Refused):
        story.colleague.keyholder.post("/v1/grants", grant=forged)
    with pytest.raises(errors.Refused):
        story.colleague.aggregator.post("/api/consents", grant=forged)


def test_a_doctor_with_a_swapped_key_is_noticed(story: Story) -> None:
    def swap(answer: Answer) -> Answer:
        return answer | {"key": CollectorKey.generate().public_jwk}

    code = story.doctor.account()["doctor_code"]
    with (
        _in_between(story.patient, "/api/doctors", swap) as patient,
        pytest.raises(errors.DoctorCodeMismatch),
    ):
        grants.find_doctor(patient, code)


def test_a_range_whose_limits_are_out_of_order_is_not_accepted(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken doctor's program encrypts lo > hi; the check that both servers made shows it."""
    wrong = object.__new__(ranges.HealthyRange)
    for name, value in (("lo", 1_000), ("hi", 500), ("threshold", 1)):
        object.__setattr__(wrong, name, value)
    packed = join([1, 1_000, 501], zone_bits(story.doctor.manifest.active_key.bits))
    monkeypatch.setattr(ranges, "pack_range", lambda *_: packed)
    before = story.doctor.aggregator.get("/api/patients")["patients"][0]["range"]
    with pytest.raises(errors.RangeRefused, match="out of order"):
        ranges.set_range(story.doctor, story.patient.pseudonym, wrong)
    after = story.doctor.aggregator.get("/api/patients")["patients"][0]["range"]
    assert (after, after["state"]) == (before, "active")


def test_an_altered_answer_of_the_key_holder_does_not_open(story: Story) -> None:
    def flip(answer: Answer) -> Answer:
        sealed = bytearray(unb64u(str(answer["sealed_value"])))
        sealed[-1] ^= 1
        return {"sealed_value": b64u(bytes(sealed))}

    with _in_between(story.patient, "/v1/openings", flip) as patient, pytest.raises(SealBroken):
        openings.open_each_day(patient, *WEEK)


def test_a_blind_of_another_number_is_noticed(story: Story) -> None:
    """An aggregator that lies about rho: what comes out is no count."""

    def lie(answer: Answer) -> Answer:
        payload = str(answer["statement"]).split(".")[1]
        statement = Statement.from_payload(
            json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        )
        width = story.patient.manifest.active_key.plaintext_bytes
        sealed = seal(statement.recipient, blind_info(statement.jti), (7).to_bytes(width, "big"))
        return answer | {"sealed_blind": b64u(sealed)}

    with (
        _in_between(story.patient, "/api/openings", lie) as patient,
        pytest.raises(OpeningMismatch),
    ):
        openings.open_each_day(patient, *WEEK)


def test_an_answer_to_another_opening_is_noticed(story: Story) -> None:
    earlier: list[Answer] = []

    def replay(answer: Answer) -> Answer:
        earlier.append(answer)
        return earlier[0]

    with _in_between(story.patient, "/api/openings", replay) as patient:
        openings.open_each_day(patient, *WEEK)
        with pytest.raises(errors.BadAnswer, match="not for this collector and this opening"):
            openings.open_each_day(patient, *WEEK)


def test_a_key_holder_that_is_down_is_named(story: Story, tmp_path: Path) -> None:
    with pytest.raises(errors.Unreachable, match="key holder"):
        Collector.register(
            Profile(tmp_path / "nobody"),
            "http://127.0.0.1:9",
            "0" * 64,
            PASSWORD,
            display_name="x",
            kind="patient",
        )


@contextmanager
def _in_between(collector: Collector, path: str, change: Change) -> Iterator[Collector]:
    """The same collector, with somebody on the line who changes the answers of one path."""
    with httpx.HTTPTransport() as line:

        def pass_on(request: httpx.Request) -> httpx.Response:
            response = line.handle_request(request)
            response.read()
            if not request.url.path.startswith(path) or response.status_code != 200:
                return response
            return httpx.Response(200, json=change(response.json()))

        http = httpx.Client(transport=httpx.MockTransport(pass_on), timeout=TIMEOUT)
        with Collector(collector.profile, http) as watched:
            yield watched
