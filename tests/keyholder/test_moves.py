"""Rotation at the key holder: states of keys in files, and moves that are served once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.common.migrate import upgrade
from app.keyholder.keys import KeyholderKeys
from app.keyholder.keys.__main__ import main
from app.keyholder.keys.bundle import passphrase
from app.keyholder.keys.paillier import (
    STATES,
    add_pending,
    list_keys,
    remove_retired,
    rotate,
)
from app.keyholder.tables import ServedTally, db
from config import KeyholderConfig
from crypto.comparison.positions import RecordingPosition
from crypto.encoding import new_id
from crypto.errors import KeyFileError
from crypto.jws import SigningKey
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import KeyState, Manifest
from crypto.moves import (
    TALLY,
    MovedTally,
    MoveRequest,
    decode_move,
    decode_moved,
    encode_move,
    masked,
    unmasked,
)
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import KERNEL
from crypto.slots import Counts, rate_count_offset
from tests.keyholder.comparing import Comparing
from tests.keyholder.conftest import TEST_BITS
from tests.keyholder.world import DAY, Party, Tally, World, slug

MOVES = "/v1/moves"
MASKS = [3, 1 << 88]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = PrivateKey.generate.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(defaults, "__defaults__", (TEST_BITS,))


@pytest.fixture(params=["sqlite", "postgresql"])
def either(
    make_world: Callable[[KeyholderConfig], World],
    config: KeyholderConfig,
    request: pytest.FixtureRequest,
) -> World:
    if request.param == "sqlite":
        return make_world(config)
    from dataclasses import replace

    url = request.getfixturevalue("postgres").new_database()
    upgrade("keyholder", url)
    return make_world(replace(config, database_url=url))


def turn(world: World) -> tuple[PublicKey, PublicKey]:
    """Rotates; the public keys that were and are active."""
    folder = world.config.secrets
    rotate(folder, passphrase(folder))
    new = KeyholderKeys.load(folder).paillier.public
    return world.keys.paillier.public, new


def request_of(old: PublicKey, new: PublicKey, *tallies: Tally, number: int | None = None) -> bytes:
    moved = [
        MovedTally(
            one.patient.collector,
            one.day,
            number or one.recordings,
            masked(TALLY, one.ciphertext, MASKS, KERNEL).to_wire(),
        )
        for one in tallies
    ]
    return encode_move(MoveRequest(old.key_id, new.key_id, tuple(moved)))


def counts(world: World, held: Ciphertext, owner: Party, number: int) -> tuple[int, int]:
    keys = KeyholderKeys.load(world.config.secrets)
    public = keys.paillier.public
    mask = keys.masks.total(public, owner.collector, DAY, number)
    packed = (keys.paillier.decrypt(held) - mask) % public.n
    offset = rate_count_offset(public.bits)
    return packed % (1 << offset), packed >> offset


def served(world: World) -> dict[str, tuple[int, bool]]:
    with world.app.app_context():
        return {
            row.key_id: (row.served, row.moved_by is not None)
            for row in db.session.scalars(db.select(ServedTally))
        }


# The folder


def test_the_life_of_a_key(tmp_path: Path, keys: KeyholderKeys) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    phrase = passphrase(folder)
    first = keys.paillier.public.key_id
    pending = add_pending(folder, phrase)
    assert add_pending(folder, phrase) == pending
    assert KeyholderKeys.load(folder).paillier.public.key_id == first
    rotate(folder, phrase)
    states = {one.key_id: one.state for one in list_keys(folder, phrase)}
    assert states == {first: KeyState.RETIRED, pending.key_id: KeyState.ACTIVE}
    loaded = KeyholderKeys.load(folder)
    loaded.self_test()
    assert loaded.paillier.public.key_id == pending.key_id
    assert loaded.in_use(first).public == keys.paillier.public
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    with pytest.raises(KeyFileError):
        remove_retired(folder, phrase, pending.key_id)
    remove_retired(folder, phrase, first)
    assert [one.key_id for one in list_keys(folder, phrase)] == [pending.key_id]
    assert not (folder / "paillier.key").exists()


def test_a_rotation_that_is_killed_goes_on_with_the_same_key(
    tmp_path: Path, keys: KeyholderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    phrase = passphrase(folder)
    with monkeypatch.context() as patch:
        patch.setattr("app.keyholder.keys.paillier.list_keys", _killed_at_second(list_keys))
        with pytest.raises(InterruptedError):
            rotate(folder, phrase)
    (pending,) = [one for one in list_keys(folder, phrase) if one.state is KeyState.PENDING]
    _, new = rotate(folder, phrase)
    assert new.key_id == pending.key_id


def _killed_at_second(function: Callable[..., object]) -> Callable[..., object]:
    calls = []

    def wrapped(*args: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            raise InterruptedError
        return function(*args)

    return wrapped


def test_rotations_at_once_leave_one_active_key(tmp_path: Path, keys: KeyholderKeys) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    phrase = passphrase(folder)
    threads = [threading.Thread(target=rotate, args=(folder, phrase)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [one.state for one in list_keys(folder, phrase)]
    assert sorted(states) == ["active", "retired", "retired", "retired"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"keys": []}', b'{"keys": [{"key_id": "x", "file": "../p"}]}']
)
def test_a_damaged_file_of_states_is_named(
    tmp_path: Path, keys: KeyholderKeys, content: bytes
) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    (folder / STATES).write_bytes(content)
    with pytest.raises(KeyFileError, match=STATES):
        KeyholderKeys.load(folder)


def test_a_running_key_holder_publishes_the_new_key_at_once(world: World) -> None:
    old, new = turn(world)
    shown = world.client.get("/v1/manifest").json
    assert shown is not None
    manifest = Manifest.claimed(shown["manifest"])
    assert manifest.active_key == new
    assert {one.key_id: one.state for one in manifest.paillier} == {
        old.key_id: KeyState.RETIRED,
        new.key_id: KeyState.ACTIVE,
    }


def test_a_state_file_that_breaks_leaves_a_running_key_holder_as_it_was(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _, new = turn(world)
    before = world.client.get("/v1/manifest").json
    (world.config.secrets / STATES).write_bytes(b"{")
    assert world.client.get("/v1/manifest").json == before
    assert "stay as they were" in caplog.text
    assert new.key_id


def test_the_commands(
    world: World,
    owner: Party,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = str(world.config.secrets.parents[1])
    monkeypatch.setenv("HUSHBEAT_HOME", home)
    tally = world.tally_of(owner, 2, Counts(1, 0))
    assert main(["new"]) == main(["rotate"]) == main(["verify"]) == main(["list"]) == 0
    printed = capsys.readouterr().out
    old = world.keys.paillier.public
    assert f"{old.key_id}  retired   1 tallies" in printed
    assert main(["prune", old.key_id]) == 1
    assert "still under this key" in capsys.readouterr().err
    new = KeyholderKeys.load(world.config.secrets).paillier.public
    assert world.post(MOVES, request_of(old, new, tally)).status_code == 200
    assert main(["prune", old.key_id]) == 0
    assert main(["prune", new.key_id]) == 1


# Moves


def test_a_tally_moves_and_goes_on(either: World) -> None:
    world = either
    owner = world.enrolled(Party(kind="patient").kind)  # type: ignore[arg-type]
    tally = world.tally_of(owner, 3, Counts(2, 1))
    old, new = turn(world)
    body = request_of(old, new, tally)
    answer = world.post(MOVES, body)
    assert answer.status_code == 200, answer.text
    (moved,) = decode_moved(answer.data, decode_move(body), new)
    assert counts(world, unmasked(TALLY, moved, MASKS), owner, 3) == (2, 1)
    assert served(world) == {old.key_id: (3, True), new.key_id: (3, False)}
    assert world.post(MOVES, body).data == answer.data


def test_a_tally_moves_once(world: World, owner: Party) -> None:
    tally = world.tally_of(owner, 3, Counts(2, 1))
    old, new = turn(world)
    assert world.post(MOVES, request_of(old, new, tally)).status_code == 200
    again = world.post(MOVES, request_of(old, new, tally))
    assert (again.status_code, slug(again)) == (409, "already-moved")
    assert again.json is not None
    assert again.json["item"] == 0
    _, third = turn(world)
    assert slug(world.post(MOVES, request_of(old, third, tally))) == "already-moved"


def test_the_same_request_at_once_is_one_move(world: World, owner: Party) -> None:
    old, new = turn(world)
    tally = world.tally_of(owner, 3, Counts(2, 1))
    body = request_of(old, new, tally)
    answers: list[bytes] = []

    def send() -> None:
        answers.append(world.app.test_client().post(MOVES, data=body, headers=header).data)

    from crypto.service_auth import authorization

    header = {"Authorization": authorization(world.statement_key, "keyholder", "POST", MOVES, body)}
    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1
    assert served(world)[new.key_id] == (3, False)


def test_a_closed_tally_is_never_compared_under_the_old_key_again(
    world: World, owner: Party
) -> None:
    comparing = Comparing(world)
    tally = world.tally(owner, [(0, 700)])
    position = RecordingPosition(owner.collector, DAY, 2)
    request = comparing.request(comparing.recording(position))
    old, new = turn(world)
    assert world.post(MOVES, request_of(old, new, tally)).status_code == 200
    refused = comparing.send(request)
    assert (refused.status_code, slug(refused)) == (409, "position-already-served")


def test_what_is_numbered_under_the_retired_key_is_still_compared(
    world: World, owner: Party
) -> None:
    comparing = Comparing(world)
    position = RecordingPosition(owner.collector, DAY, 1)
    request = comparing.request(comparing.recording(position))
    turn(world)
    assert comparing.send(request).status_code == 200


def test_a_moved_tally_still_opens_under_the_old_key(world: World, owner: Party) -> None:
    """A statement that was made before the move is good until it expires."""
    tally = world.tally_of(owner, 3, Counts(2, 1))
    asked = world.ask(owner, tally)
    old, new = turn(world)
    assert world.post(MOVES, request_of(old, new, tally)).status_code == 200
    assert asked.counts() == [Counts(2, 1)]


@pytest.mark.parametrize("number", [4, 5])
def test_more_recordings_than_were_served_are_refused(
    world: World, owner: Party, number: int
) -> None:
    tally = world.tally_of(owner, 3, Counts(2, 1))
    old, new = turn(world)
    refused = world.post(MOVES, request_of(old, new, tally, number=number))
    assert (refused.status_code, slug(refused)) == (422, "not-served")
    assert served(world) == {old.key_id: (3, False)}


def test_one_bad_tally_closes_none(world: World, owner: Party, other_patient: Party) -> None:
    good = world.tally_of(owner, 3, Counts(2, 1))
    unknown = Tally(other_patient, DAY, 1, good.ciphertext)
    old, new = turn(world)
    refused = world.post(MOVES, request_of(old, new, good, unknown))
    assert refused.json is not None
    assert refused.json["item"] == 1
    assert served(world) == {old.key_id: (3, False)}


def test_only_from_a_retired_key_to_one_in_use(world: World, owner: Party) -> None:
    tally = world.tally_of(owner, 3, Counts(2, 1))
    folder = world.config.secrets
    add_pending(folder, passphrase(folder))
    loaded = KeyholderKeys.load(folder)
    old, pending = loaded.paillier.public, loaded.others[0].private.public
    assert slug(world.post(MOVES, request_of(old, pending, tally))) == "foreign-key"
    old, new = turn(world)
    assert slug(world.post(MOVES, request_of(new, old, tally))) == "foreign-key"
    assert served(world) == {old.key_id: (3, False)}


def test_only_the_aggregator_asks(world: World, owner: Party) -> None:
    tally = world.tally_of(owner, 3, Counts(2, 1))
    body = request_of(*turn(world), tally)
    assert world.client.post(MOVES, data=body).status_code == 401
    assert world.post(MOVES, body, SigningKey.generate()).status_code == 401
    assert world.post(MOVES, b"\x80").status_code == 400
    zero = bytes(world.keys.paillier.public.ciphertext_bytes)
    broken = MovedTally(owner.collector, DAY, 3, zero)
    asked = decode_move(body)
    refused = world.post(MOVES, encode_move(MoveRequest(asked.source, asked.target, (broken,))))
    assert slug(refused) == "ciphertext-out-of-range"
    assert set(served(world)) == {asked.source}


def test_nothing_of_a_move_is_logged_or_stored(
    world: World, owner: Party, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tally = world.tally_of(owner, 3, Counts(2, 1))
    old, new = turn(world)
    body = request_of(old, new, tally)
    answer = world.post(MOVES, body)
    (sent,) = decode_move(body).tallies
    path = world.config.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        stored = "".join(connection.iterdump())
    for secret in (sent.ciphertext, answer.data):
        assert secret.hex() not in stored.lower()
        assert secret.hex() not in caplog.text
    assert new_id() not in stored
