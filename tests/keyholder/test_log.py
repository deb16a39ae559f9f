"""The log tells of everything once, in order, to its owner alone; what is changed in it shows."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.keyholder import openings
from app.keyholder.log.audit import LogBroken, check, entries
from app.keyholder.log.chain import entry_of
from app.keyholder.tables import CollectorKey as KeyRow
from app.keyholder.tables import Grant as GrantRow
from app.keyholder.tables import LogEntry as LogRow
from app.keyholder.tables import LogHead as HeadRow
from app.keyholder.tables import db
from config import KeyholderConfig
from crypto.encoding import sha256_hex
from crypto.errors import ProtocolViolation
from crypto.jws import CollectorKey
from crypto.messages import CollectorKind, LogHead, LogKind, LogMark
from crypto.messages.log import NOTHING, check_head, follow
from crypto.slots import Counts
from tests.keyholder.world import Party, World, slug
from tests.support.authenticator import Passkey

COUNTS = Counts(sound=2, rate=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def either_world(
    request: pytest.FixtureRequest,
    make_world: Callable[[KeyholderConfig], World],
    config: KeyholderConfig,
) -> World:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
        config = replace(config, database_url=url)
    return make_world(config)


@pytest.fixture
def session(world: World) -> Iterator[Session]:
    with world.app.app_context():
        yield db.session()
        db.session.rollback()


def change(world: World, statement: str, **values: Any) -> None:
    """Somebody writes into the database behind role B's back."""
    with world.app.app_context():
        db.session.execute(text("PRAGMA foreign_keys = OFF"))
        db.session.execute(text(statement), values)
        db.session.commit()


def kinds(world: World, party: Party) -> list[str]:
    return [entry.kind.value for entry in world.log(party)]


def test_everything_is_told_once(world: World, owner: Party, colleague: Party) -> None:
    tally = world.tally_of(owner, 3, COUNTS)
    device = world.with_device(owner)
    grant = world.granted(device, colleague)
    again = world.grant_message(owner, colleague)
    token = replace(again, grant=grant).sign(owner.key)
    assert world.client.post("/v1/grants", json={"grant": token}).status_code == 200
    asked = world.ask(colleague, tally)
    asked.counts()
    asked.send()
    world.ask(owner, tally).counts()
    for _ in range(2):
        world.revoke(grant, owner)
        world.remove(owner, device)
    told = world.log(owner)
    assert [(one.kind, one.actor, one.thumbprint) for one in told] == [
        (LogKind.ENROLMENT, owner.collector, owner.root),
        (LogKind.DEVICE, owner.collector, owner.root),
        (LogKind.GRANT, owner.collector, device.key.thumbprint),
        (LogKind.TALLY, colleague.collector, colleague.root),
        (LogKind.TALLY, owner.collector, owner.root),
        (LogKind.REVOCATION, owner.collector, owner.root),
        (LogKind.DEVICE_REMOVAL, owner.collector, owner.root),
    ]
    assert [one.subject for one in told[:4]] == [
        owner.root,
        device.key.thumbprint,
        grant,
        asked.statement.jti,
    ]
    assert [(one.cells, one.recordings) for one in told[2:5]] == [(0, 0), (1, 3), (1, 3)]
    assert kinds(world, colleague) == ["enrolment"]


def test_an_opening_of_many_tells_each_what_was_theirs(
    world: World, owner: Party, other_patient: Party, doctor: Party
) -> None:
    world.granted(other_patient, doctor)
    tallies = (
        world.tally_of(owner, 3, COUNTS),
        world.tally_of(owner, 2, COUNTS, "2026-03-02"),
        world.tally_of(other_patient, 4, COUNTS),
    )
    world.ask(doctor, *tallies).counts()
    for party, cells, recordings in ((owner, 2, 5), (other_patient, 1, 4)):
        last = world.log(party)[-1]
        assert (last.kind, last.actor) == (LogKind.TALLY, doctor.collector)
        assert (last.cells, last.recordings) == (cells, recordings)


def test_what_is_refused_leaves_no_entry(
    world: World, owner: Party, colleague: Party, session: Session
) -> None:
    tally = world.tally_of(owner, 3, COUNTS)
    before = check(session)
    world.ask(colleague, tally).send()
    world.revoke("0" * 32, owner)
    world.client.post("/v1/devices", json=world.device(colleague, world.device_of(owner)))
    session.rollback()
    assert check(session) == before


def test_a_grant_that_is_revoked_in_the_same_moment_opens_nothing(
    world: World, owner: Party, colleague: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = world.tally_of(owner, 3, COUNTS)
    grant = world.granted(owner, colleague)
    asked = world.ask(colleague, tally)
    check_counted = openings._check_counted

    def revoke_meanwhile(*arguments: Any) -> None:
        check_counted(*arguments)
        thread = threading.Thread(target=lambda: world.revoke(grant, owner))
        thread.start()
        thread.join()

    monkeypatch.setattr(openings, "_check_counted", revoke_meanwhile)
    assert slug(asked.send()) == "not-granted"
    assert kinds(world, owner) == ["enrolment", "grant", "revocation"]


def test_the_owner_follows_the_log_to_its_signed_end(world: World, owner: Party) -> None:
    tally = world.tally_of(owner, 3, COUNTS)
    mark = LogMark()
    for _ in range(3):
        asked = world.log_request(owner, mark.seq)
        answer = world.client.post("/v1/log", json={"request": asked.sign(owner.key)}).json
        assert answer is not None
        told = world.log(owner, mark.seq)
        mark = follow(told, owner.collector, mark)
        head = LogHead.verify(answer["head"], world.keys.manifest.public_jwk, time.time())
        check_head(head, asked, mark)
        world.enrolled(CollectorKind.DOCTOR)
        world.ask(owner, tally).counts()
    assert [(key["thumbprint"], key["type"]) for key in answer["keys"]] == [
        (owner.root, "software")
    ]


def test_a_long_log_comes_in_parts(
    world: World, owner: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.keyholder.log.api.MOST_ENTRIES", 2)
    for _ in range(3):
        world.with_device(owner)
    first = world.log(owner)
    rest = world.log(owner, first[-1].seq)
    assert [entry.kind.value for entry in first + rest] == ["enrolment"] + ["device"] * 3
    assert world.log(owner, rest[-1].seq) == []


def test_nobody_else_reads_it(
    world: World, owner: Party, other_patient: Party, doctor: Party, stranger: Party
) -> None:
    for other in (other_patient, doctor, stranger):
        request = world.log_request(owner).sign(other.key)
        answer = world.client.post("/v1/log", json={"request": request})
        assert slug(answer) == "bad-signature"
    request = world.log_request(stranger).sign(stranger.key)
    assert slug(world.client.post("/v1/log", json={"request": request})) == "not-enrolled"
    late = int(time.time()) - 400
    request = world.log_request(owner, iat=late, exp=late + 300).sign(owner.key)
    assert slug(world.client.post("/v1/log", json={"request": request})) == "expired"
    seen = {entry.pseudonym for entry in world.log(doctor)}
    assert seen == {doctor.collector}


def test_the_log_is_whole_whatever_the_hurry(either_world: World) -> None:
    world = either_world
    owners = [world.enrolled(CollectorKind.PATIENT) for _ in range(4)]
    tallies = [world.tally_of(owner, 3, COUNTS) for owner in owners]
    start, failed = threading.Barrier(len(owners)), []

    def work(owner: Party, tally: Any) -> None:
        start.wait(timeout=20)
        try:
            for _ in range(3):
                world.with_device(owner)
                world.ask(owner, tally).counts()
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(owners, tallies, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with world.app.app_context():
        assert check(db.session()) == 4 + 4 * 6


def test_two_devices_that_remove_each_other_leave_one(either_world: World) -> None:
    world = either_world
    for _ in range(3):
        one = world.enrolled(CollectorKind.PATIENT)
        other = world.with_device(one)
        start, answers = threading.Barrier(2), []

        def work(by: Party, removed: Party, start: Any = start, answers: Any = answers) -> None:
            start.wait(timeout=20)
            answers.append(slug(world.remove(by, removed)))

        threads = [threading.Thread(target=work, args=p) for p in ((one, other), (other, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["200", "key-revoked"]


@pytest.fixture
def history(world: World, owner: Party, doctor: Party) -> World:
    """Keys, grants and openings; the log explains them."""
    lost = world.with_device(owner)
    world.remove(owner, lost)
    world.with_device(owner)
    ended = world.enrolled(CollectorKind.DOCTOR)
    world.revoke(world.granted(owner, ended), owner)
    world.ask(doctor, world.tally_of(owner, 3, COUNTS)).counts()
    return world


def test_the_log_explains_what_is_there(history: World, session: Session) -> None:
    assert check(session) == len(list(entries(session))) > 8


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE log_entries SET recordings = 0 WHERE kind = 'tally'", "hash"),
        ("DELETE FROM log_entries WHERE kind = 'tally'", "head"),
        ("DELETE FROM log_entries WHERE kind = 'revocation'", "missing"),
        ("UPDATE log_entries SET kind = 'nothing' WHERE seq = 3", "kind"),
        ("UPDATE log_head SET hash = '0'", "head"),
        ("UPDATE grants SET revoked_at = NULL", "in force without an entry"),
        ("UPDATE grants SET revoked_at = 1", "ended without an entry"),
        ("UPDATE grants SET doctor = 'x' WHERE revoked_at IS NULL", "not what its message says"),
        ("UPDATE grants SET \"grant\" = 'x' WHERE revoked_at IS NULL", "by another message"),
        ("DELETE FROM grants", "gone without an entry"),
        ("UPDATE collector_keys SET revoked_at = NULL", "in force without an entry"),
        ("UPDATE collector_keys SET revoked_at = 1", "revoked without an entry"),
        ("UPDATE collector_keys SET message = 'x'", "by another message"),
        ("UPDATE collector_keys SET type = 'passkey'", "not what its message says"),
        ("UPDATE collector_keys SET key_jwk = '{}'", "not what its message says"),
        ("DELETE FROM collector_keys", "gone without an entry"),
        ("UPDATE collectors SET thumbprint = collector", "not the one that was enrolled"),
    ],
)
def test_what_was_changed_by_hand_shows(history: World, statement: str, found: str) -> None:
    change(history, statement)
    with history.app.app_context(), pytest.raises(LogBroken, match=found):
        check(db.session())


def test_a_key_by_hand_shows(history: World, owner: Party) -> None:
    key = CollectorKey.generate()
    change(
        history,
        "INSERT INTO collector_keys (thumbprint, collector, key_jwk, type, message, added_at)"
        " SELECT :thumbprint, collector, key_jwk, type, message, added_at FROM collector_keys"
        " WHERE thumbprint = :root",
        thumbprint=key.thumbprint,
        root=owner.root,
    )
    with history.app.app_context(), pytest.raises(LogBroken, match="in force without an entry"):
        check(db.session())


def test_an_entry_that_skips_one_of_its_pseudonym_shows(history: World, owner: Party) -> None:
    with history.app.app_context():
        rows = list(db.session.scalars(db.select(LogRow).order_by(LogRow.seq)))
        last = [row for row in rows if row.pseudonym == owner.collector][-1]
        _rewrite(rows, skipping=last)
        db.session.commit()
        with pytest.raises(LogBroken, match="of the same pseudonym"):
            check(db.session())


@pytest.mark.parametrize("passkeys", [False, True])
def test_what_nobody_signed_shows_though_the_log_tells_of_it(
    history: World, owner: Party, other_patient: Party, colleague: Party, passkeys: bool
) -> None:
    """Somebody who writes both the row and its entries lacks the owner's signature."""
    passkey = Passkey("127.0.0.1", "http://127.0.0.1:8000")
    signer = history.with_device(owner, passkey.session(owner.collector) if passkeys else None)
    grant = history.granted(signer, colleague)
    with history.app.app_context():
        check(db.session())
        row = db.session.get_one(GrantRow, grant)
        message = history.grant_message(owner, colleague)
        forged = Party(owner.kind, owner.collector, other_patient.key)
        row.grant = replace(message, grant=grant).sign(forged.key)
        _follow(row.grant, LogKind.GRANT, grant)
        db.session.commit()
        with pytest.raises(LogBroken, match=r"grant .* has no valid signature"):
            check(db.session())
        db.session.delete(row)
        entry = db.session.scalars(db.select(LogRow).filter_by(subject=grant)).one()
        entry.kind = LogKind.COHORT.value
        key = db.session.get_one(KeyRow, signer.key.thumbprint)
        key.message = history.device(forged, signer)["device"]
        _follow(key.message, LogKind.DEVICE, key.thumbprint)
        db.session.commit()
        with pytest.raises(LogBroken, match=r"key .* has no valid signature"):
            check(db.session())


def _follow(token: str, kind: LogKind, subject: str) -> None:
    """The entry's hash of the message, and every later hash, fit again."""
    rows = list(db.session.scalars(db.select(LogRow).order_by(LogRow.seq)))
    for row in rows:
        if (row.kind, row.subject) == (kind.value, subject):
            row.message_sha256 = sha256_hex(token.encode())
    _rewrite(rows)


def test_a_rewritten_chain_does_not_follow_what_the_owner_knows(
    history: World, owner: Party
) -> None:
    """Every hash is right again, and still the owner's last one is not in it."""
    told = history.log(owner)
    known = follow(told, owner.collector, LogMark())
    with history.app.app_context():
        rows = list(db.session.scalars(db.select(LogRow).order_by(LogRow.seq)))
        _rewrite(rows)
        db.session.commit()
        assert check(db.session()) == len(rows)
    history.ask(owner, history.tally_of(owner, 1, Counts(0, 0), "2026-03-09")).counts()
    later = history.log(owner, known.seq)
    with pytest.raises(ProtocolViolation):
        follow(later, owner.collector, known)


def _rewrite(rows: list[LogRow], skipping: LogRow | None = None) -> None:
    prev, own = NOTHING, {}
    for row in rows:
        if row.kind == "tally":
            row.recordings = 1
        row.prev, row.own_prev = prev, own.get(row.pseudonym, NOTHING)
        if row is skipping:
            row.own_prev = NOTHING
        row.hash = prev = own[row.pseudonym] = entry_of(row).hash
    db.session.scalars(db.select(HeadRow)).one().hash = prev


def test_the_command_verifies_and_shows(history: World, owner: Party) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app.keyholder.log", *arguments],
            env={"HUSHBEAT_HOME": str(history.config.home), "PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    whole = run("verify")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "entries, whole" in whole.stdout
    shown = run("show", owner.collector).stdout.splitlines()
    assert len(shown) == len(history.log(owner))
    assert "1 cells, 3 recordings" in shown[-1]
    change(history, "UPDATE log_entries SET actor = pseudonym WHERE kind = 'tally'")
    broken = run("verify")
    assert broken.returncode == 1
    assert broken.stdout.startswith("The log is broken: entry ")
