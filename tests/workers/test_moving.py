"""What is under a retired key goes to the active one, once, whatever is killed on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from app.aggregator import tables as a
from app.aggregator.keyholder_client import KeyholderUnavailable
from app.aggregator.openings.service import AskedCell, KeyMoving, open_tallies
from app.aggregator.services import services
from app.keyholder import tables as b
from app.keyholder.keys import KeyholderKeys
from app.keyholder.keys.bundle import passphrase
from app.keyholder.keys.paillier import rotate
from config import KeyholderConfig
from crypto.at_rest import StorageKey
from crypto.keyholder.private_key import PrivateKey
from crypto.moves import decode_move
from crypto.unsealing import SealingKey
from tests.workers.conftest import (
    COMPARE,
    DAY,
    FAST,
    HEALTHY,
    KEY_BITS,
    MURMUR,
    MURMUR_AND_SLOW,
    World,
)
from workers.aggregation import assigning, batches, moved_items, moving, tallies
from workers.aggregation.counting import count_waiting
from workers.aggregation.tallies import TallyName

MOVES = "/v1/moves"
OTHER_DAY = "2026-03-02"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = PrivateKey.generate.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(defaults, "__defaults__", (KEY_BITS,))


class Killed(BaseException):
    """The process is gone here."""


def turn(world: World, *, seen: bool = True) -> None:
    """Rotates; from now on the world's reports are made under the new key, and A knows of it."""
    folder = KeyholderConfig.from_environment({"HUSHBEAT_HOME": str(world.home)}).secrets
    rotate(folder, passphrase(folder))
    world.keys = KeyholderKeys.load(folder)
    if seen:
        look(world)


def look(world: World) -> None:
    services().keyholder._asked_at = float("-inf")
    world.key = services().keyholder.manifest().active_key
    assert world.key == world.keys.paillier.public
    world.session()


def lapse(world: World) -> None:
    world.lapse()
    a.db.session.execute(update(a.KeyMove).values(lease_until=0))
    a.db.session.commit()


def under(world: World) -> set[tuple[str, str, int, bool]]:
    """Tallies: day, key, recordings, whether they are on their way."""
    a.db.session.rollback()
    rows = a.db.session.execute(
        select(a.Tally.day, a.Tally.key_id, a.Tally.recordings, a.Tally.moving)
    )
    return {tuple(row) for row in rows}


def nothing_left(world: World) -> None:
    a.db.session.rollback()
    assert a.db.session.scalars(select(a.KeyMove)).all() == []
    assert {row[1] for row in under(world)} <= {world.key.key_id}
    assert not any(row[3] for row in under(world))
    assert not moving.anything_to_move()


def test_counts_survive_and_go_on(either_world: World) -> None:
    world = either_world
    patient = world.patient()
    for result in (MURMUR, FAST, MURMUR_AND_SLOW):
        world.reported(patient, result)
    world.reported(patient, MURMUR, OTHER_DAY)
    assert not count_waiting(60)
    turn(world)
    for result in (MURMUR, HEALTHY, FAST):
        world.reported(patient, result)
    assert not count_waiting(60)
    assert world.opened(patient) == (6, 3, 3)
    assert world.opened(patient, OTHER_DAY) == (1, 1, 0)
    nothing_left(world)


def test_reports_that_were_waiting_are_moved_and_counted(either_world: World) -> None:
    world = either_world
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    waiting = [world.reported(patient, MURMUR_AND_SLOW), world.reported(patient, FAST, OTHER_DAY)]
    turn(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (2, 2, 1)
    assert world.opened(patient, OTHER_DAY) == (1, 0, 1)
    assert {world.row(one).state for one in waiting} == {"counted"}
    nothing_left(world)


def test_a_batch_under_way_ends_under_the_old_key_first(world: World) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    world.switch.off.add(COMPARE)
    with pytest.raises(KeyholderUnavailable):
        count_waiting(60)
    turn(world)
    world.reported(patient, FAST)
    world.switch.off.clear()
    lapse(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (2, 1, 1)
    nothing_left(world)


def test_a_number_that_no_batch_has_is_given_anew(world: World) -> None:
    """As after a batch that was refused because its session had ended."""
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    leased = assigning.assign(world.key, 0, 60)
    assert leased is not None
    batches.assign_anew(leased, ended=True)
    assert a.db.session.get_one(a.Comparison, recording).session is None
    turn(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (1, 1, 0)
    nothing_left(world)


def test_a_worker_that_does_not_know_yet(world: World) -> None:
    """It assigns under the old key; another one moves what it may and the rest afterwards."""
    patient, other = world.patient(), world.patient()
    old = world.key
    world.reported(patient, MURMUR)
    world.reported(other, FAST)
    assert not count_waiting(60)
    late = world.reported(patient, MURMUR)
    turn(world)
    leased = assigning.assign(old, 0, 60)  # the other worker, by its last manifest
    assert leased is not None
    assert moving.move_some(0)
    assert {(row[1], row[3]) for row in under(world)} == {
        (old.key_id, False),
        (world.key.key_id, False),
    }
    assert assigning.assign(old, 0, 60) is None
    lapse(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (2, 2, 0)
    assert world.opened(other) == (1, 0, 1)
    assert world.row(late).state == "counted"
    nothing_left(world)


def test_a_tally_on_its_way_gets_no_number(world: World) -> None:
    patient = world.patient()
    old = world.key
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    turn(world)
    world.switch.off.add(MOVES)
    with pytest.raises(KeyholderUnavailable):
        moving.move_some(0)
    waiting = world.reported(patient, MURMUR)
    a.db.session.execute(
        update(a.Recording).where(a.Recording.id == waiting).values(key_id=old.key_id)
    )
    a.db.session.commit()
    assert assigning.assign(old, 0, 60) is None
    assert assigning.assign(world.key, 0, 60) is None
    # A worker that saw the tally free, and comes to lock it now.
    name = TallyName(patient.collector, DAY)
    assert tallies.lock(old, [name]) == []
    a.db.session.rollback()


@pytest.mark.parametrize(
    "step",
    ["_play", "_keep_request", "sent", "answered", "_put_in_force", "replace"],
)
def test_a_kill_at_every_step(
    either_world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world = either_world
    patient = world.patient()
    doctor_range = world.range(patient, 50_000, 600, 1_400, a.RangeState.ACTIVE)
    for result in (MURMUR, FAST):
        world.reported(patient, result)
    assert not count_waiting(60)
    world.reported(patient, MURMUR_AND_SLOW)
    turn(world)

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        holders: dict[str, tuple[Any, str, Callable[..., Any]]] = {
            "sent": (services().keyholder, "move", die),
            "answered": (services().keyholder, "move", _then(services().keyholder.move, die)),
            "replace": (moved_items, "replace", _then(moved_items.replace, die)),
        }
        patch.setattr(*holders.get(step, (moving, step, die)))
        with pytest.raises(Killed):
            count_waiting(60)
        a.db.session.rollback()
    lapse(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (3, 2, 1)
    nothing_left(world)
    assert a.db.session.get_one(a.Range, doctor_range).state == a.RangeState.REPLACED


def _then(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        first(*args)
        return second(*args)

    return both


def test_the_request_is_the_same_after_a_kill(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    turn(world)
    sent: list[bytes] = []
    world.switch.before = lambda body: sent.append(body) if body[:1] == b"\x85" else None
    with monkeypatch.context() as patch:
        patch.setattr(moving, "_put_in_force", _raise)
        with pytest.raises(Killed):
            moving.move_some(0)
    a.db.session.rollback()
    lapse(world)
    assert moving.move_some(0)
    moves = [body for body in sent if _is_move(body)]
    assert len(moves) == 2
    assert moves[0] == moves[1]
    assert world.opened(patient) == (1, 1, 0)


def _raise(*_: Any) -> None:
    raise Killed


def _is_move(body: bytes) -> bool:
    try:
        decode_move(body)
    except Exception:  # noqa: BLE001
        return False
    return True


def test_two_workers_put_one_move_in_force(world: World) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    turn(world)
    raced: list[bool] = []

    def meanwhile(body: bytes) -> None:
        if _is_move(body) and not raced:
            raced.append(True)
            lapse(world)
            raced.append(moving.move_some(0))

    world.switch.before = meanwhile
    assert moving.move_some(0)
    assert raced == [True, True]
    assert world.opened(patient) == (1, 1, 0)
    nothing_left(world)


def test_the_range_in_force_moves_and_new_recordings_wait_for_it(world: World) -> None:
    """Under the doctor's range a murmur of 60,000 is healthy, and 400 a minute as well."""
    patient = world.patient()
    world.range(patient, 65_000, 300, 1_400, a.RangeState.ACTIVE)
    turn(world)
    world.reported(patient, MURMUR_AND_SLOW)
    assert tallies.candidates(world.key.key_id, 10) == []
    assert assigning.assign(world.key, 0, 60) is None
    assert not count_waiting(60)
    assert world.opened(patient) == (1, 0, 0)
    nothing_left(world)


def test_undecided_ranges_are_made_again(world: World) -> None:
    patient = world.patient()
    proposed = world.range(patient, 65_000, 300, 1_400, a.RangeState.PROPOSED)
    checked = world.range(patient, 65_000, 300, 1_400, a.RangeState.CHECKED)
    turn(world)
    assert not count_waiting(60)
    states = {a.db.session.get_one(a.Range, one).state for one in (proposed, checked)}
    assert states == {a.RangeState.REFUSED}


def test_twice_in_a_row(world: World) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    world.reported(patient, FAST)
    turn(world)
    turn(world)
    world.reported(patient, MURMUR, OTHER_DAY)
    assert not count_waiting(60)
    assert world.opened(patient) == (2, 1, 1)
    assert world.opened(patient, OTHER_DAY) == (1, 1, 0)
    nothing_left(world)


def test_a_tally_that_is_refused_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the key holder's database is older: it does not know of these recordings."""
    patient, other = world.patient(), world.patient()
    for one in (patient, other):
        world.reported(one, MURMUR)
    assert not count_waiting(60)
    pseudonym = patient.collector
    with world.keyholder.app_context():
        b.db.session.execute(
            update(b.ServedTally).where(b.ServedTally.pseudonym == pseudonym).values(served=0)
        )
        b.db.session.commit()
    turn(world)
    for _ in range(3):
        count_waiting(60)
    assert world.opened(other) == (1, 1, 0)
    assert "refuses to move" in caplog.text
    left = a.db.session.get_one(a.Tally, (patient.collector, "2026-03-01"))
    assert left.key_id != world.key.key_id
    assert not left.moving


def test_a_day_that_an_older_database_blocked_goes_on_after_a_rotation(world: World) -> None:
    """The key holder has served a number that this database has forgotten."""
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    with world.keyholder.app_context():
        b.db.session.execute(update(b.ServedTally).values(served=2))
        b.db.session.commit()
    forgotten = world.reported(patient, FAST)
    count_waiting(60)
    assert world.row(forgotten).state == "reported"
    turn(world)
    a.db.session.execute(update(a.Tally).values(aside_until=1))
    a.db.session.commit()
    assert not count_waiting(60)
    assert world.opened(patient) == (2, 1, 1)
    nothing_left(world)


def test_a_lost_storage_key_leaves_the_move(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    assert not count_waiting(60)
    turn(world)
    monkeypatch.setattr(StorageKey, "unseal", _broken)
    assert not moving.move_some(0)
    assert "storage key lost" in caplog.text


def _broken(*_: Any) -> bytes:
    from crypto.errors import SealBroken

    raise SealBroken("lost")


def test_what_is_damaged_stops_nothing(world: World) -> None:
    patient, other = world.patient(), world.patient()
    world.reported(other, MURMUR)
    assert not count_waiting(60)
    a.db.session.execute(
        update(a.Tally).where(a.Tally.pseudonym == other.collector).values(ciphertext=b"x")
    )
    bad = world.reported(patient, MURMUR)
    a.db.session.execute(update(a.Recording).where(a.Recording.id == bad).values(findings=b"x"))
    broken = world.range(other, 0, 0, 1, a.RangeState.ACTIVE)
    a.db.session.execute(update(a.Range).where(a.Range.id == broken).values(bounds=b"x"))
    a.db.session.commit()
    good = world.reported(patient, MURMUR)
    turn(world)
    assert not count_waiting(60)
    assert world.opened(patient) == (2, 1, 0)
    assert world.row(good).state == "counted"
    assert a.db.session.get_one(a.Range, broken).state == a.RangeState.REFUSED


def test_openings_meanwhile(world: World) -> None:
    patient = world.patient()
    patient.thumbprint = "A" * 43
    a.db.session.commit()
    recipient = SealingKey.generate().public
    for day in ("2026-03-01", OTHER_DAY):
        world.reported(patient, MURMUR, day)
    assert not count_waiting(60)
    old = world.key
    turn(world)
    both = [AskedCell(patient.collector, ("2026-03-01", OTHER_DAY))]

    def asked_under() -> str:
        from crypto.messages import Statement

        return Statement.claimed(open_tallies(patient, both, recipient).statement).key_id

    assert asked_under() == old.key_id
    a.db.session.execute(
        update(a.Tally).where(a.Tally.day == OTHER_DAY).values(key_id=world.key.key_id)
    )
    a.db.session.commit()
    with pytest.raises(KeyMoving):
        asked_under()
    a.db.session.execute(update(a.Tally).where(a.Tally.day == OTHER_DAY).values(key_id=old.key_id))
    a.db.session.commit()
    assert not count_waiting(60)
    assert asked_under() == world.key.key_id
