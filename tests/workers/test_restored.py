"""Databases that were restored from a backup, the two of different age: nothing is counted twice,
no number is served twice, and the days concerned go on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.aggregator import restored as aggregator_restored
from app.aggregator import tables as a
from app.keyholder import restored as keyholder_restored
from app.keyholder import tables as b
from app.keyholder.keys import KeyholderKeys
from config import KeyholderConfig
from crypto.keyholder.private_key import PrivateKey
from tests.workers.conftest import FAST, KEY_BITS, MURMUR, MURMUR_AND_SLOW, World
from tests.workers.test_moving import lapse, look, nothing_left, turn
from workers.aggregation import assigning
from workers.aggregation.counting import count_waiting


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = PrivateKey.generate.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(defaults, "__defaults__", (KEY_BITS,))


def copy(source: Path, target: Path) -> None:
    """As docs/operation.md does it, in both directions."""
    with closing(sqlite3.connect(source)) as held, closing(sqlite3.connect(target)) as copied:
        held.backup(copied)


def database(world: World, role: str) -> Path:
    return world.home / role / f"{role}.sqlite3"


def restore_aggregator(world: World, backup: Path) -> None:
    a.db.session.rollback()
    copy(backup, database(world, "aggregator"))
    aggregator_restored.begin(a.db.engine)
    a.db.session.rollback()


def restore_keyholder(world: World, backup: Path) -> KeyholderConfig:
    with world.keyholder.app_context():
        b.db.session.remove()
        copy(backup, database(world, "keyholder"))
    config = KeyholderConfig.from_environment({"HUSHBEAT_HOME": str(world.home)})
    keyholder_restored.begin(config)
    world.keys = KeyholderKeys.load(config.secrets)
    look(world)
    return config


def test_both_of_one_moment(world: World, tmp_path: Path) -> None:
    """The drill: counts of the backup open, and everything goes on."""
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    waiting = world.reported(patient, FAST)
    for role in ("aggregator", "keyholder"):
        copy(database(world, role), tmp_path / role)
    shutil.copytree(world.home / "keyholder" / "secrets", tmp_path / "secrets")
    assert not count_waiting(60)
    world.reported(patient, MURMUR)
    assert not count_waiting(60)

    shutil.rmtree(world.home / "keyholder" / "secrets")
    shutil.copytree(tmp_path / "secrets", world.home / "keyholder" / "secrets")
    restore_aggregator(world, tmp_path / "aggregator")
    assert world.opened(patient) == (1, 1, 0)
    config = restore_keyholder(world, tmp_path / "keyholder")
    assert not count_waiting(60)
    assert world.row(waiting).state == "counted"
    assert world.opened(patient) == (2, 1, 1)
    nothing_left(world)
    keyholder_restored.end(config)
    assert not keyholder_restored.is_restored(config.secrets)


def test_a_key_holder_that_is_older(world: World, tmp_path: Path) -> None:
    patient, later = world.patient(), world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    copy(database(world, "keyholder"), tmp_path / "keyholder")
    for one in (patient, later):
        world.reported(one, FAST)
    assert not count_waiting(60)
    old = world.key
    config = restore_keyholder(world, tmp_path / "keyholder")
    # A worker that does not know of the new key yet: nothing is served under the old one again.
    stale = world.reported(patient, MURMUR)
    a.db.session.execute(
        a.db.update(a.Recording).where(a.Recording.id == stale).values(key_id=old.key_id)
    )
    a.db.session.commit()
    world.reported(later, MURMUR_AND_SLOW)
    assert not count_waiting(60)
    assert world.opened(later) == (2, 1, 2)
    assert world.opened(patient)[0] == 3
    nothing_left(world)
    with world.keyholder.app_context():
        under_old = b.db.session.scalars(
            select(func.count())
            .select_from(b.ServedTally)
            .where(b.ServedTally.key_id == old.key_id, b.ServedTally.moved_by.is_(None))
        ).one()
    assert under_old == 0
    keyholder_restored.end(config)
    world.reported(later, MURMUR)
    assert not count_waiting(60)
    assert world.opened(later) == (3, 2, 2)


def test_nothing_is_compared_under_a_key_of_before(world: World, tmp_path: Path) -> None:
    patient = world.patient()
    copy(database(world, "keyholder"), tmp_path / "keyholder")
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    served = world.served()
    old = world.key
    assert served == {patient.collector: 1}
    restore_keyholder(world, tmp_path / "keyholder")
    world.key = old
    world.session()  # of an aggregator that keeps the old key, with number 1 once more
    a.db.session.execute(a.db.update(a.Tally).values(recordings=0))
    a.db.session.execute(a.db.delete(a.Comparison))
    a.db.session.commit()
    world.reported(patient, FAST)
    leased = assigning.assign(old, 0, 60)
    assert leased is not None
    lapse(world)
    count_waiting(5)
    with world.keyholder.app_context():
        rows = b.db.session.scalars(select(b.ServedTally.key_id)).all()
    assert old.key_id not in rows


def test_an_aggregator_that_is_older(world: World, tmp_path: Path) -> None:
    """It has forgotten that two recordings were counted: they are, under numbers of the new key."""
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    waiting = [world.reported(patient, one) for one in (FAST, MURMUR_AND_SLOW)]
    copy(database(world, "aggregator"), tmp_path / "aggregator")
    assert not count_waiting(60)
    restore_aggregator(world, tmp_path / "aggregator")
    assert world.opened(patient) == (1, 1, 0)
    turn(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (3, 2, 2)
    assert {world.row(one).state for one in waiting} == {"counted"}
    nothing_left(world)


def test_what_was_reserved_is_given_up_and_what_was_sent_is_kept(
    world: World, tmp_path: Path
) -> None:
    """A number that was used since the backup must not be used for another request."""
    patient, other = world.patient(), world.patient()
    world.reported(patient, MURMUR)
    unsent = assigning.assign(world.key, 0, 60)
    assert unsent is not None
    world.reported(other, FAST)
    copy(database(world, "aggregator"), tmp_path / "aggregator")
    before = {batch.session for batch in world.batches()}
    assert not count_waiting(60)
    restore_aggregator(world, tmp_path / "aggregator")
    assert world.batches() == []
    sessions = a.db.session.scalars(select(a.ComparisonSession)).all()
    assert {one.session for one in sessions if one.ended} >= before
    turn(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (1, 1, 0)
    assert world.opened(other) == (1, 0, 1)
