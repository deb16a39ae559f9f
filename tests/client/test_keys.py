"""Several devices, recovery and the log, with the real servers: a story in three parts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.aggregator.operator_account import make_operator
from client import command_line, devices, errors, grants, log, recovery
from client.collector import TIMEOUT, Collector
from client.key_commands import notices
from client.profile import Profile
from config import AggregatorConfig
from crypto.encoding import new_id
from crypto.errors import ProtocolViolation
from crypto.jws import CollectorKey, doctor_code
from crypto.messages import LogKind, LogMark
from deploy.local.system import LocalSystem
from tests.client.fake_servers import FakeServers, answer

PASSWORD = "a long enough password"

Register = Callable[[str], Collector]


def _fingerprint(system: LocalSystem) -> str:
    return (system.home / "public" / "keyholder-fingerprint").read_text().strip()


@pytest.fixture
def register(running_system: LocalSystem, tmp_path: Path) -> Iterator[Register]:
    made: list[Collector] = []

    def register_one(kind: str) -> Collector:
        collector = Collector.register(
            Profile(tmp_path / f"{kind}-{len(made)}"),
            running_system.keyholder_url,
            _fingerprint(running_system),
            PASSWORD,
            display_name=f"Key {kind}",
            kind=kind,
        )
        made.append(collector)
        return collector

    yield register_one
    for collector in made:
        collector.close()


@pytest.fixture
def join(running_system: LocalSystem, tmp_path: Path) -> Iterator[Callable[[str], Collector]]:
    made: list[Collector] = []

    def join_one(login: str) -> Collector:
        collector = Collector.join(
            Profile(tmp_path / f"joined-{len(made)}"),
            running_system.keyholder_url,
            _fingerprint(running_system),
            login,
            PASSWORD,
        )
        made.append(collector)
        return collector

    yield join_one
    for collector in made:
        collector.close()


def consent(patient: Collector, doctor: Collector) -> str:
    return grants.grant(patient, grants.find_doctor(patient, doctor.account()["doctor_code"]))


def kinds(collector: Collector) -> list[LogKind]:
    return [entry.kind for entry in log.read(collector)[0].entries]


def test_a_device_is_taken_in_and_removed(register: Register, join: Register) -> None:
    patient, doctor = register("patient"), register("doctor")
    phone = join(patient.identity.login)
    assert phone.pseudonym == patient.pseudonym
    assert phone.identity.root == patient.identity.key.thumbprint
    phone.log_in(PASSWORD)
    phone.enrol()  # nothing to enrol, and nothing refused
    with pytest.raises(errors.Refused):
        consent(phone, doctor)
    phone.profile.drop_unconfirmed("grant", "0" * 32)

    code = devices.request(phone, "My phone")
    assert devices.request(phone, "My phone") == code == doctor_code(phone.identity.key.thumbprint)
    with pytest.raises(errors.StillWaiting):
        devices.finish(phone, 0.0)
    (waiting,) = devices.waiting(patient)
    assert (waiting.label, waiting.code) == ("My phone", code)
    with pytest.raises(errors.CodeUnknown):
        devices.approve(patient, "ABCD-EFGH-IJKL-MNOP")
    devices.approve(patient, code.lower())
    devices.finish(phone, 5.0)
    with pytest.raises(errors.BadAnswer):
        devices.finish(phone, 0.0)

    listed = {one.thumbprint: (one.label, one.own) for one in devices.listed(phone)}
    assert listed == {
        patient.identity.key.thumbprint: ("", False),
        phone.identity.key.thumbprint: ("My phone", True),
    }
    grant = consent(phone, doctor)
    assert [one.grant for one in grants.consents(patient)] == [grant]
    grants.revoke(patient, grant)
    assert kinds(phone) == [
        LogKind.ENROLMENT,
        LogKind.DEVICE,
        LogKind.GRANT,
        LogKind.REVOCATION,
    ]
    with pytest.raises(errors.CodeUnknown):
        devices.remove(patient, "")
    with pytest.raises(errors.Refused):
        devices.remove(phone, phone.identity.key.thumbprint)
    assert devices.remove(patient, phone.identity.key.thumbprint[:12])
    with pytest.raises(errors.NotAllowed, match="removed"):
        consent(phone, doctor)
    assert notices(phone) == []


def test_changes_from_elsewhere_are_told_once(register: Register, join: Register) -> None:
    patient = register("patient")
    assert notices(patient) == []
    phone = join(patient.identity.login)
    devices.approve(patient, devices.request(phone, "My phone"))
    devices.finish(phone, 5.0)
    assert notices(patient) == []  # its own doing
    tablet = join(patient.identity.login)
    devices.approve(phone, devices.request(tablet, "My tablet"))
    devices.finish(tablet, 5.0)
    (told,) = notices(patient)
    assert tablet.identity.key.thumbprint in told
    assert notices(patient) == []


def test_a_history_that_was_rewritten_stops_the_client(register: Register) -> None:
    patient = register("patient")
    assert notices(patient) == []
    mark = patient.profile.log_mark()
    assert mark.seq > 0
    patient.profile.keep_log_mark(replace(mark, hash="0" * 64))
    consent(patient, register("doctor"))
    for _ in range(2):
        (told,) = notices(patient)
        assert told.startswith("STOP")
    with pytest.raises(ProtocolViolation):
        log.look(patient)
    patient.profile.keep_log_mark(LogMark(mark.seq + 10_000, mark.hash))
    assert notices(patient)[0].startswith("STOP")


def test_a_patient_without_a_key_recovers(
    running_system: LocalSystem, register: Register, join: Register
) -> None:
    patient, doctor, colleague = register("patient"), register("doctor"), register("doctor")
    consent(patient, doctor)
    new = join(patient.identity.login)
    code = recovery.begin(new)
    assert recovery.begin(new) == code
    assert recovery.proceed(new) == recovery.Standing((), None)
    assert recovery.listed(colleague) == []
    with pytest.raises(errors.CodeUnknown):
        recovery.approve(colleague, code)
    assert recovery.approve(doctor, code).display_name == "Key patient"
    assert recovery.proceed(new).approvers == (doctor.pseudonym,)

    (asked,) = recovery.listed(doctor)
    assert asked.approved
    _approve_as_operator(running_system, asked.recovery)
    standing = recovery.proceed(new)
    assert set(standing.approvers) == {"aggregator", doctor.pseudonym}
    assert standing.completes_at is not None
    assert standing.completes_at > time.time() + 71 * 3600
    assert not standing.complete
    # Whoever still has a key hears of it, and can stop it.
    (told,) = notices(patient)
    assert f"recovery cancel {asked.recovery}" in told

    with closing(sqlite3.connect(running_system.home / "keyholder/keyholder.sqlite3")) as database:
        database.execute(
            "UPDATE recoveries SET completes_at = ? WHERE jti = ?",
            (int(time.time()), asked.recovery),
        )
        database.commit()
    assert recovery.proceed(new).complete
    assert [one.own for one in devices.listed(new)] == [True]
    assert kinds(new)[-1] is LogKind.RECOVERY_COMPLETION
    consent(new, colleague)
    with pytest.raises(errors.NotAllowed):
        consent(patient, register("doctor"))
    with pytest.raises(errors.BadAnswer):
        recovery.proceed(new)


def test_a_key_that_is_left_stops_a_recovery(
    running_system: LocalSystem, register: Register, join: Register
) -> None:
    patient, doctor = register("patient"), register("doctor")
    consent(patient, doctor)
    thief = join(patient.identity.login)
    recovery.approve(doctor, recovery.begin(thief))
    (asked,) = recovery.listed(doctor)
    _approve_as_operator(running_system, asked.recovery)
    assert recovery.proceed(thief).completes_at is not None
    recovery.cancel(patient, asked.recovery)
    with pytest.raises(errors.Conflict):
        recovery.proceed(thief)
    assert notices(patient) == []


def test_a_key_that_the_aggregator_swaps_in_has_another_code(tmp_path: Path) -> None:
    """The person compares the code that was computed from the key."""
    servers = FakeServers()
    genuine, swapped = CollectorKey.generate(), CollectorKey.generate()
    servers.on["GET /api/devices"] = lambda _: answer(
        devices=[],
        requests=[
            {
                "request": new_id(),
                "key": swapped.public_jwk,
                "type": "software",
                "label": "My phone",
                "code": doctor_code(genuine.thumbprint),
                "requested_at": 0,
                "approved": False,
            }
        ],
    )
    with (
        servers.collector(tmp_path) as collector,
        pytest.raises(errors.CodeUnknown, match="another key in its place"),
    ):
        devices.approve(collector, doctor_code(genuine.thumbprint))


def test_the_commands(
    running_system: LocalSystem,
    register: Register,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    patient = register("patient")
    (tmp_path / "password").write_text(PASSWORD)

    def run(profile: str, *arguments: str) -> tuple[int, str, str]:
        status = command_line.main(["--folder", str(tmp_path), "--profile", profile, *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    joining = [
        *("--login", patient.identity.login, "--keyholder", running_system.keyholder_url),
        *("--fingerprint", _fingerprint(running_system)),
        *("--password-file", str(tmp_path / "password")),
    ]
    old = patient.profile.folder.name
    status, out, err = run("phone", "device", "request", *joining, "--wait", "0")
    assert (status, "Not approved yet" in err) == (1, True)
    code = out.splitlines()[0].removeprefix("Code of this device: ")
    assert run(old, "device", "list")[1].splitlines()[-1] == f"waits: {code}  Python client"
    assert run(old, "device", "approve", code)[0] == 0
    assert run("phone", "device", "request", "--wait", "5")[0] == 0
    status, out, _ = run("phone", "log")
    assert [line.split()[2] for line in out.splitlines()] == ["enrolment", "device"]
    assert run("phone", "device", "remove", patient.identity.key.thumbprint)[0] == 0
    status, _, err = run(old, "log")
    assert (status, "removed" in err) == (1, True)
    status, _, err = run("nobody", "device", "request")
    assert (status, "--login" in err) == (1, True)
    assert run("phone", "recovery", "continue")[0] == 1
    assert run("phone", "recovery", "cancel", "x")[0] == 1


def _approve_as_operator(system: LocalSystem, jti: str) -> None:
    config = AggregatorConfig.from_environment({"HUSHBEAT_HOME": str(system.home)})
    login = f"op-{new_id()[:8]}"
    password = make_operator(config, login)
    with httpx.Client(base_url=system.aggregator_url, timeout=TIMEOUT) as http:
        token = http.post("/api/tokens", json={"login": login, "password": password}).json()
        headers = {"Authorization": f"Bearer {token['token']}"}
        done = http.post(f"/api/recoveries/{jti}/approvals", json={}, headers=headers)
        assert done.status_code == 200, done.text
