"""The comparison as an oracle: what a thief of all of A reads with it, and what stays shut.

A chooses which ciphertext stands behind a position, and B decrypts it, masked or not. So whoever
plays A against B reads every number that stands at A *without* a mask of B: reports in flight and
healthy ranges. Tallies stand under masks, and reading them bit by bit gives coins.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from app.common.database import in_transaction
from app.keyholder.sessions import add_session
from app.keyholder.tables import ComparisonSession, ServedTally, db
from config import KeyholderConfig
from crypto.comparison.base_transfer import TRANSFERS
from crypto.comparison.batches import decode_request, encode_request
from crypto.comparison.blocks import Blocks
from crypto.comparison.fast import Checked, Counted, FastInitiator, Item
from crypto.comparison.ot_extension import ExtensionReceiver, ExtensionSender
from crypto.comparison.parameters import Layout, Parameters
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.encoding import new_id
from crypto.messages import CollectorKind
from crypto.opening import commit_digest
from crypto.paillier import Ciphertext
from crypto.slots import SCORE_BITS, ZONES, Counts, join, pack_range, pack_report, split, zone_bits
from tests.attacks.thief import Thief, covered, packed
from tests.keyholder.comparing import BATCHES, Comparing, session_pair
from tests.keyholder.test_concurrency import together
from tests.keyholder.world import DAY, Party, World, slug

COINS = 100
FAIR = 3.9 * (COINS / 4) ** 0.5
"""A fair coin is farther from its half once in 10,000 times."""


def at(party: Party, number: int = 1, day: str = DAY) -> RecordingPosition:
    return RecordingPosition(party.collector, day, number)


def difference(world: World, report: Ciphertext, threshold: int, rate: int) -> Ciphertext:
    """A report against bounds of the thief's choice: score >= threshold, rate >= `rate`, twice."""
    public = world.keys.paillier.public
    bounds = join([threshold, rate, rate], zone_bits(public.bits))
    return report.add_constant(-bounds)


# (f) Reading a number bit by bit


@pytest.mark.parametrize("counts", [Counts(0, 0), Counts(3, 3)])
def test_a_tally_compared_as_if_it_were_a_difference(
    world: World, thief: Thief, counts: Counts
) -> None:
    """Coins: the bits of a tally are fair whatever its counts, those of its mask."""
    tallies = [world.tally_of(Party(CollectorKind.PATIENT), 3, counts) for _ in range(COINS)]
    findings = thief.compares([tally.ciphertext for tally in tallies])
    n, zone = world.keys.paillier.public.n, zone_bits(world.keys.paillier.public.bits)
    zeros = join([1 << SCORE_BITS] * ZONES, zone)
    for tally, (sound, rate) in zip(tallies, findings, strict=True):
        # Exactly bit l of each zone of counts + mask, and nothing else.
        zones = split((covered(world, tally) + zeros) % n, zone, ZONES)
        bits = [z >> SCORE_BITS & 1 for z in zones]
        assert sound == bits[0]
        assert rate == 1 - bits[1] + bits[2]
    assert abs(sum(sound for sound, _ in findings) - COINS / 2) < FAIR
    assert abs(sum(rate == 1 for _, rate in findings) - COINS / 2) < FAIR


def test_a_report_in_flight(world: World, thief: Thief) -> None:
    """Accepted: the score and heart rate of a report that A has and has not counted yet."""
    key = world.keys.paillier.public
    report = key.encrypt(pack_report(key.bits, 41_234, 873))
    # At once, as an opening of the thief's own...
    assert split(thief.opens(report), zone_bits(key.bits), ZONES) == [41_234, 873, 873]
    # ...or by bisection, as recordings of the thief's own.
    low, high = 0, 1 << SCORE_BITS
    while high - low > 1 << 12:
        middle = (low + high) // 2
        [(sound, _)] = thief.compares([difference(world, report, middle, 0)])
        low, high = (middle, high) if sound else (low, middle)
    assert low <= 41_234 < high


def test_a_stored_range(world: World, thief: Thief) -> None:
    """Accepted: a healthy range that stands at A."""
    key = world.keys.paillier.public
    bounds = key.encrypt(pack_range(key.bits, 32_768, 612, 1040))
    assert split(thief.opens(bounds), zone_bits(key.bits), ZONES) == [32_768, 612, 1041]


def test_what_a_recording_added(world: World, thief: Thief, victim: Party) -> None:
    """Noise: of a finished batch, with A's shares and B's answer, the position's mask is left."""
    comparing = Comparing(world)
    (counted,) = comparing.compare(comparing.recording(at(victim), 65_535, 300))
    assert isinstance(counted, Counted)
    public = world.keys.paillier.public
    number = thief.opens(counted.contribution)
    step = world.keys.masks.step(public, at(victim))
    assert (number - step) % public.n == packed(world, Counts(1, 1))
    assert number >> 64 != 0


def test_an_unmasked_comparison(world: World, thief: Thief) -> None:
    """Accepted: without any account, one bit a refused request of what A has without a mask.

    `mask-forgotten` says that all slots of a number are small, so A learns where a report in flight
    stands by shifting it to the edge. Of a tally it never says so: 2^-96 for each.
    """
    public = world.keys.paillier.public
    comparing = Comparing(world)
    small = join([1000, 500, 500], zone_bits(public.bits))
    for shift, refused in ((38, True), (41, False)):
        request = unmasked(comparing, at(thief.patient), world.encrypt(small << shift))
        answer = slug(comparing.send(request))
        assert answer == ("mask-forgotten" if refused else "200")


def unmasked(comparing: Comparing, position: RecordingPosition, sent: Ciphertext) -> bytes:
    """A batch in which this stands as the masked number."""
    request = decode_request(comparing.request(comparing.recording(position)))
    return encode_request(replace(request, masked=(sent.to_wire(),)))


def test_tallies_never_look_unmasked(world: World, thief: Thief) -> None:
    """Nothing: whether a number is small says nothing of a tally, which never is."""
    comparing = Comparing(world)
    for number, counts in enumerate((Counts(0, 0), Counts(3, 3), Counts(0, 3)), 1):
        tally = world.tally_of(Party(CollectorKind.PATIENT), 3, counts)
        request = unmasked(comparing, at(thief.patient, number), tally.ciphertext.rerandomised())
        assert slug(comparing.send(request)) == "200"


# (d), (e) Two answers for one position


def test_one_position_is_answered_once(world: World, thief: Thief, victim: Party) -> None:
    """Nothing: the same bytes again, or a refusal, in whichever session, batch or content.

    Two answers for one position would carry the same mask: their difference is a finding.
    """
    first, second = Comparing(world), Comparing(world)
    sent = first.request(first.recording(at(victim), 65_535, 720))
    answer = first.send(sent)
    assert first.send(sent).data == answer.data
    void = Item(at(victim), None)
    for comparing, request, refusal in (
        (first, first.request(first.recording(at(victim), 0, 720), number=0), "batch"),
        (first, first.request(void, number=0), "batch"),
        (first, first.request(first.recording(at(victim), 0, 720)), "position"),
        (first, first.request(void), "position"),
        (second, second.request(second.recording(at(victim), 0, 720)), "position"),
        (second, second.request(void), "position"),
    ):
        assert slug(comparing.send(request)) == f"{refusal}-already-served"
    # The answer once forgotten, nobody gets another one.
    other = first.recording(at(thief.patient))
    settled = decode_request(sent).name
    assert slug(first.send(first.request(other, settled=[settled]))) == "200"
    assert slug(first.send(sent)) == "batch-already-served"


def test_numbers_without_the_ones_before(world: World, victim: Party) -> None:
    """Nothing: positions come in order and without gaps, so no mask of a step is left out."""
    comparing = Comparing(world)
    for number in (2, 3, 1 << 20):
        request = comparing.request(comparing.recording(at(victim, number)))
        assert slug(comparing.send(request)) == "position-out-of-order"
    gap = comparing.request(*(comparing.recording(at(victim, number)) for number in (1, 3)))
    assert slug(comparing.send(gap)) == "position-out-of-order"
    turned = comparing.request(*(comparing.recording(at(victim, number)) for number in (2, 1)))
    assert slug(comparing.send(turned)) == "position-out-of-order"
    with world.app.app_context():
        assert db.session.scalars(db.select(ServedTally)).all() == []


def test_two_sessions_at_once(world: World, victim: Party) -> None:
    """Nothing: of other contents for one position sent at the same moment, one is answered."""
    sides = [Comparing(world) for _ in range(4)]
    requests = [
        side.request(side.recording(at(victim), score, 720))
        for side, score in zip(sides, (0, 65_535, 0, 65_535), strict=True)
    ]
    answers = together(
        *(
            lambda side=side, request=request: side.send(request)
            for side, request in zip(sides, requests, strict=True)
        )
    )
    assert sorted(map(slug, answers)) == ["200"] + ["position-already-served"] * 3


def test_a_key_holder_set_back(
    world: World, config: KeyholderConfig, thief: Thief, victim: Party, tmp_path: Path
) -> None:
    """Accepted: where B's database is set back, what was served since is served once more.

    Two answers then carry one mask, and their difference is that recording's finding. So whoever
    restores a backup tells B (`app.keyholder.restored`; see test_moves.py).
    """
    database, backup = Path(config.database_url.removeprefix("sqlite:///")), tmp_path / "backup"
    comparing = Comparing(world)
    copy(database, backup)
    (counted,) = comparing.compare(comparing.recording(at(victim), 65_535, 720))
    copy(backup, database)
    (void,) = comparing.compare(Item(at(victim), None))
    assert isinstance(counted, Counted)
    assert isinstance(void, Counted)
    number = thief.opens(counted.contribution.add(void.contribution.negated()))
    assert number == packed(world, Counts(1, 0))


def copy(source: Path, target: Path) -> None:
    """One database file over the other, by SQLite's own means."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


# (h) Cheating in the transfer


class Cheat:
    """A's side of a session that turns one bit of some columns and guesses B's offset there.

    The digest fits exactly if the guess does (see tests/crypto/test_crypto_fast_cheating.py).
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.evaluator, self.garbler = session_pair()
        with world.app.app_context():
            in_transaction(db, lambda: add_session(self.garbler))
        self._number = 0

    @property
    def offset(self) -> int:
        return int.from_bytes(self.garbler.offset, "little")

    def request(self, position: RecordingPosition, columns: Sequence[int], guess: int) -> bytes:
        comparing = Comparing(self.world)
        initiator = FastInitiator(self.world.keys.paillier.public, self.evaluator)
        honest = initiator.request(self._number, [comparing.recording(position)])
        request = decode_request(honest)
        layout = Layout(Parameters(), self.world.keys.paillier.public.bits, 1, 0)
        receiver = ExtensionReceiver(
            request.name.session_bytes, self._number, layout.recording_bits, self.evaluator.pairs
        )
        self._number += 1
        size = len(request.columns) // TRANSFERS
        altered = bytearray(request.columns)
        for i in columns:
            altered[i * size] ^= 1
        linear = receiver._linear_hash(bytes(altered))
        own, other = (
            receiver._stretched([pair[side] for pair in self.evaluator.pairs]) for side in (0, 1)
        )
        hashes = [linear(column.tobytes()) for column in own]
        turned = linear(b"\x01" + bytes(size - 1))
        for i in columns:
            if guess >> i & 1:
                hashes[i] = bytes(a ^ b for a, b in zip(hashes[i], turned, strict=True))
        first = (own[0] ^ other[0]).tobytes()
        choices = bytes(a ^ b for a, b in zip(request.columns[:size], first, strict=True))
        check = linear(choices) + hashlib.sha256(b"".join(hashes)).digest()
        return encode_request(replace(request, columns=bytes(altered), check=check))

    def send(self, request: bytes) -> TestResponse:
        return self.world.post(BATCHES, request)

    @property
    def ended(self) -> bool:
        with self.world.app.app_context():
            row = db.session.get_one(ComparisonSession, self.evaluator.session)
            return row.ended_at is not None


def test_a_wrong_guess_ends_the_session(world: World, thief: Thief) -> None:
    """A bit of B's offset for each right guess; the first wrong one ends the session for good."""
    cheat, position = Cheat(world), at(thief.patient)
    right = cheat.offset >> 5 & 1
    assert slug(cheat.send(cheat.request(position, [5], right << 5))) == "200"
    position = at(thief.patient, 2)
    later = cheat.request(position, [], 0)
    wrong = cheat.request(position, [9], ~cheat.offset & 1 << 9)
    assert slug(cheat.send(wrong)) == "session-ended"
    assert cheat.ended
    assert slug(cheat.send(later)) == "session-ended"
    with world.app.app_context():
        row = db.session.execute(db.select(ServedTally)).scalar_one()
        assert row.served == 1


def test_how_often_guesses_hold(world: World) -> None:
    """2^-k for k guessed bits, over sessions whose offsets nobody chose; then the session is gone.

    Fixed bits are guessed, each one 1: fair coins for whoever does not know the offset.
    """
    for columns, low, high in (((3,), 10, 38), ((3, 40, 90), 0, 14)):
        passed = 0
        for _ in range(48):
            cheat = Cheat(world)
            guess = sum(1 << i for i in columns)
            holds = cheat.offset & guess == guess
            position = at(Party(CollectorKind.PATIENT))
            answer = slug(cheat.send(cheat.request(position, columns, guess)))
            assert answer == ("200" if holds else "session-ended")
            assert cheat.ended is not holds
            passed += holds
        assert low <= passed <= high


def test_many_guesses_at_one_moment(
    world: World, thief: Thief, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many bits as without a wrong guess before them: guesses are looked at one by one.

    Requests of one session that arrive together must not each have their own guess answered:
    the session ends with the first wrong one, and what comes after is refused unlooked at.
    """
    cheat, position = Cheat(world), at(thief.patient)
    wrong = [cheat.request(position, [i], ~cheat.offset & 1 << i) for i in range(8, 12)]
    looked_at = []
    original = ExtensionSender.receive

    def counted(self: ExtensionSender, sent: bytes, check: bytes) -> Blocks | None:
        looked_at.append(sent)
        time.sleep(0.3)  # the others arrive
        return original(self, sent, check)

    monkeypatch.setattr(ExtensionSender, "receive", counted)
    answers = together(*(lambda request=request: cheat.send(request) for request in wrong))
    assert [slug(answer) for answer in answers] == ["session-ended"] * 4
    assert len(looked_at) == 1


# Ranges


def test_guessing_the_digest_of_a_range(world: World, thief: Thief) -> None:
    """Nothing: what A has of an invalid range, or tells its doctor, is not B's digest."""
    comparing = Comparing(world)
    for lo, hi in ((900, 800), (0, 1 << 16)):
        position = RangePosition(new_id(), thief.patient.collector)
        (checked,) = comparing.compare(comparing.range(position, lo, hi))
        assert isinstance(checked, Checked)
        assert checked.digest is not None
        asked = world.ask_range(thief.doctor, position)
        digest = asked.value(asked.send())
        assert digest != checked.digest
        assert commit_digest(digest) != commit_digest(checked.digest)
        assert digest not in (bytes(32), commit_digest(checked.digest))


def test_a_digest_of_somebody_elses_range(world: World, thief: Thief, victim: Party) -> None:
    """Nothing: a range's check opens to who is granted its patient, under its own name only."""
    comparing = Comparing(world)
    position = RangePosition(new_id(), victim.collector)
    comparing.compare(comparing.range(position, 600, 1000))
    for account in thief.accounts:
        assert slug(world.ask_range(account, position).send()) == "not-granted"
    own = RangePosition(position.range, thief.patient.collector)
    assert slug(world.ask_range(thief.doctor, own).send()) == "not-served"
    request = comparing.request(comparing.range(own, 600, 1000))
    assert slug(comparing.send(request)) == "position-already-served"


def test_a_tally_checked_as_if_it_were_a_range(world: World, thief: Thief) -> None:
    """Nothing: a tally is larger than any masked range, whatever its counts, so no digest fits."""
    comparing = Comparing(world)
    for counts in (Counts(0, 0), Counts(3, 3)):
        tally = world.tally_of(Party(CollectorKind.PATIENT), 3, counts)
        position = RangePosition(new_id(), thief.patient.collector)
        (checked,) = comparing.compare(Item(position, tally.ciphertext))
        assert isinstance(checked, Checked)
        asked = world.ask_range(thief.doctor, position)
        assert asked.value(asked.send()) != checked.digest
