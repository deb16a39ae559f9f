"""Moves to another key: what B encrypts anew for a thief of all of A, even where it is decrypted.

The tests decrypt with B's new key what the thief would read under a scope of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.keyholder import restored
from app.keyholder.keys import KeyholderKeys
from app.keyholder.tables import ServedTally, db
from config import KeyholderConfig
from crypto.comparison.fast import Item
from crypto.comparison.positions import RecordingPosition
from crypto.keyholder.private_key import PrivateKey
from crypto.moves import MovedTally, MoveRequest, decode_move, decode_moved, encode_move
from crypto.paillier import Ciphertext
from crypto.slots import ZONES, Counts, pack_report, split, zone_bits
from tests.attacks.test_comparisons import copy
from tests.attacks.thief import Thief, covered, mask, packed
from tests.keyholder.comparing import Comparing
from tests.keyholder.conftest import TEST_BITS
from tests.keyholder.test_moves import MOVES, turn
from tests.keyholder.world import DAY, Party, Tally, World, slug


@pytest.fixture(autouse=True)
def small_next_key(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = PrivateKey.generate.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(defaults, "__defaults__", (TEST_BITS,))


class Moving:
    """Both keys of a world whose key was rotated."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.old, self.new = turn(world)
        self.keys = KeyholderKeys.load(world.config.secrets)

    def request(
        self, tallies: Sequence[tuple[Party, int, Ciphertext]], zoned: Sequence[Ciphertext] = ()
    ) -> bytes:
        moved = [
            MovedTally(party.collector, DAY, number, ciphertext.to_bytes())
            for party, number, ciphertext in tallies
        ]
        bare = tuple(one.to_bytes() for one in zoned)
        return encode_move(MoveRequest(self.old.key_id, self.new.key_id, tuple(moved), bare))

    def numbers(self, request: bytes) -> list[int]:
        """What B answers, decrypted."""
        answer = self.world.post(MOVES, request)
        assert answer.status_code == 200, answer.text
        answered = decode_moved(answer.data, decode_move(request), self.new)
        return [self.keys.paillier.decrypt(one) for one in answered]

    def mask(self, party: Party, number: int) -> int:
        return self.keys.masks.total(self.new, party.collector, DAY, number)


def test_the_victims_tally(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Noise: what was under the mask of the old key comes under that of the new one, once."""
    moving = Moving(world)
    request = moving.request([(victim, 3, tally.ciphertext)])
    (number,) = moving.numbers(request)
    assert (number - moving.mask(victim, 3)) % moving.new.n == packed(world, Counts(2, 1))
    assert number >> 300 != 0
    # The same bytes again; nothing else, under any number, by which masks could be compared.
    assert world.post(MOVES, request).data == world.post(MOVES, request).data
    for other in (
        [(victim, 3, tally.ciphertext.add_constant(1))],
        [(victim, 2, tally.ciphertext)],
        [(victim, 3, world.encrypt(0))],
    ):
        assert slug(world.post(MOVES, moving.request(other))) == "already-moved"
    ahead = moving.request([(victim, 4, tally.ciphertext)])
    assert slug(world.post(MOVES, ahead)) == "not-served"


def test_nothing_in_place_of_the_victims_tally(world: World, tally: Tally, victim: Party) -> None:
    """Noise: zeros in its place give what is left of one mask, under the other."""
    moving = Moving(world)
    (number,) = moving.numbers(moving.request([(victim, 3, world.encrypt(0))]))
    assert (number - moving.mask(victim, 3)) % moving.new.n != 0
    assert number >> 300 != 0
    with world.app.app_context():
        rows = db.session.scalars(db.select(ServedTally)).all()
        assert {(row.key_id, row.served) for row in rows} == {
            (moving.old.key_id, 3),
            (moving.new.key_id, 3),
        }


def test_the_victims_tally_as_the_thiefs_own(world: World, thief: Thief, tally: Tally) -> None:
    """Noise: under the thief's masks the victim's mask stays, cut into the windows of counts."""
    world.tally_of(thief.patient, 3, Counts(0, 0))
    moving = Moving(world)
    (number,) = moving.numbers(moving.request([(thief.patient, 3, tally.ciphertext)]))
    bare = (number - moving.mask(thief.patient, 3)) % moving.new.n
    own = mask(world, Tally(thief.patient, DAY, 3, tally.ciphertext))
    left = (covered(world, tally) - own) % moving.old.n
    window = (1 << 90) - 1
    assert bare & window == left & window
    assert bare & window >> 24 << 24 != 0


def test_the_victims_tally_as_a_report(world: World, thief: Thief, tally: Tally) -> None:
    """Noise for a tally; accepted: reports and ranges, which stand at A without a mask."""
    moving = Moving(world)
    report = world.encrypt(pack_report(TEST_BITS, 40_000, 720))
    number, readable = moving.numbers(moving.request([], [tally.ciphertext, report]))
    zone = zone_bits(TEST_BITS)
    windows = split(number, zone, ZONES)
    assert windows[:2] == [part & (1 << 82) - 1 for part in split(covered(world, tally), zone, 2)]
    assert split(readable, zone, ZONES) == [40_000, 720, 720]


def test_a_key_holder_that_knows_of_its_restore(
    world: World, config: KeyholderConfig, thief: Thief, victim: Party, tmp_path: Path
) -> None:
    """Nothing: set back and told so, B compares nothing more under keys whose numbers it forgot."""
    database, backup = Path(config.database_url.removeprefix("sqlite:///")), tmp_path / "backup"
    comparing = Comparing(world)
    at = RecordingPosition(victim.collector, DAY, 1)
    copy(database, backup)
    comparing.compare(comparing.recording(at, 65_535, 720))
    copy(backup, database)
    restored.begin(config)
    later = Comparing(world)
    for side in (comparing, later):
        for item in (Item(at, None), side.recording(at)):
            assert slug(side.send(side.request(item))) == "session-ended"
    with world.app.app_context():
        assert db.session.scalars(db.select(ServedTally)).all() == []
