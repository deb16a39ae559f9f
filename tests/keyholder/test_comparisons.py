"""Batches against A's real side of the protocol; order, resends, sessions, and what is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from app.common.logs import configure_logging
from app.keyholder.sessions import LIFETIME_SECONDS
from app.keyholder.tables import ComparisonBatch, ComparisonSession, RangeCheck, ServedTally, db
from crypto.at_rest import StorageKey
from crypto.comparison.batches import (
    BatchName,
    BatchRequest,
    decode_request,
    encode_request,
)
from crypto.comparison.fast import Checked, Counted, FastInitiator, Item
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.comparison.session import MAX_COMPARISONS, SessionOpener
from crypto.encoding import new_id
from crypto.jws import SigningKey
from crypto.slots import Counts, rate_count_offset
from tests.keyholder.comparing import BATCHES, SESSIONS, Comparing
from tests.keyholder.world import DAY, Party, World, slug


@pytest.fixture
def patient() -> str:
    return new_id()


@pytest.fixture
def comparing(world: World) -> Comparing:
    return Comparing(world)


def at(patient: str, number: int = 1, day: str = DAY) -> RecordingPosition:
    return RecordingPosition(patient, day, number)


def stored(world: World, table: type[Any]) -> list[Any]:
    with world.app.app_context():
        return list(db.session.execute(db.select(table)).scalars())


def served_numbers(world: World) -> dict[tuple[str, str], int]:
    return {(row.pseudonym, row.day): row.served for row in stored(world, ServedTally)}


def changed(body: bytes, **fields: Any) -> bytes:
    return encode_request(replace(decode_request(body), **fields))


def item_of(answer: Any) -> Any:
    return answer.json["item"]


# What comes out


@pytest.mark.parametrize(
    ("score", "rate", "sound", "rates"),
    [
        (0, 720, 0, 0),
        (32_767, 600, 0, 0),
        (32_768, 1000, 1, 0),
        (65_535, 599, 1, 1),
        (40_000, 1001, 1, 1),
        (0, 65_535, 0, 1),
    ],
)
def test_the_counts_and_the_mask_are_right(
    world: World, patient: str, comparing: Comparing, score: int, rate: int, sound: int, rates: int
) -> None:
    (counted,) = comparing.compare(comparing.recording(at(patient), score, rate))
    assert isinstance(counted, Counted)
    private, public = world.keys.paillier, world.keys.paillier.public
    step = world.keys.masks.step(public, at(patient))
    number = (private.decrypt(counted.contribution) - step) % public.n
    assert number == sound + (rates << rate_count_offset(public.bits))


@pytest.mark.parametrize(
    ("lo", "hi", "threshold", "valid"),
    [
        (600, 1000, 32_768, True),
        (700, 700, 0, True),
        (701, 700, 32_768, False),
        (600, 1000, 1 << 16, False),
        (600, 1 << 16, 5, False),
    ],
)
def test_a_range_is_checked_and_both_sides_keep_a_digest(
    world: World,
    patient: str,
    comparing: Comparing,
    lo: int,
    hi: int,
    threshold: int,
    valid: bool,
) -> None:
    position = RangePosition(new_id(), patient)
    (checked,) = comparing.compare(comparing.range(position, lo, hi, threshold))
    assert isinstance(checked, Checked)
    (row,) = stored(world, RangeCheck)
    assert (row.range, row.pseudonym, row.key_id) == (position.range, patient, world.key_id)
    assert (row.digest == checked.digest) is valid


def test_a_session_is_opened_and_serves(world: World, patient: str) -> None:
    opener = SessionOpener()
    body = opener.request()
    answer = world.post(SESSIONS, body)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "application/msgpack"
    session = opener.session(answer.data)
    comparing = Comparing(world)
    initiator = FastInitiator(world.keys.paillier.public, session)
    request = initiator.request(0, [comparing.recording(at(patient), 40_000, 720)])
    (counted,) = initiator.finish(request, world.post(BATCHES, request).data)
    assert isinstance(counted, Counted)
    # The identifier is taken: B does not answer the same base transfers twice.
    assert slug(world.post(SESSIONS, body)) == "session-exists"


def test_a_batch_holds_many_patients_days_and_ranges(world: World, comparing: Comparing) -> None:
    one, other = new_id(), new_id()
    items = [
        comparing.recording(at(one, 1), 40_000),
        comparing.range(RangePosition(new_id(), one), 600, 1000),
        comparing.recording(at(other, 1)),
        comparing.recording(at(one, 2)),
        comparing.recording(at(one, 1, "2026-03-02")),
    ]
    found = comparing.compare(*items)
    assert [one.position for one in found] == [item.position for item in items]
    assert served_numbers(world) == {(one, DAY): 2, (other, DAY): 1, (one, "2026-03-02"): 1}
    (session,) = stored(world, ComparisonSession)
    assert session.comparisons == 4 * 3 + 7


def test_what_a_cannot_compare_is_served_void(
    world: World, patient: str, comparing: Comparing
) -> None:
    check = RangePosition(new_id(), patient)
    void, _counted, checked = comparing.compare(
        Item(at(patient, 1), None), comparing.recording(at(patient, 2), 40_000), Item(check, None)
    )
    assert isinstance(void, Counted)
    assert isinstance(checked, Checked)
    assert void.void
    assert checked.digest is None
    public = world.keys.paillier.public
    mask = world.keys.masks.step(public, at(patient, 1))
    assert world.keys.paillier.decrypt(void.contribution) == mask
    assert served_numbers(world) == {(patient, DAY): 2}
    assert stored(world, RangeCheck)[0].digest is None
    assert stored(world, ComparisonSession)[0].comparisons == 3


# Resends


def test_an_identical_resend_gets_the_identical_answer(
    world: World, patient: str, comparing: Comparing
) -> None:
    request = comparing.request(comparing.recording(at(patient), 40_000, 720))
    first = comparing.send(request)
    assert first.status_code == 200
    assert comparing.send(request).data == first.data
    with world.app.app_context():  # also when the session is over
        db.session.execute(db.update(ComparisonSession).values(ended_at=1))
        db.session.commit()
    assert comparing.send(request).data == first.data
    assert served_numbers(world) == {(patient, DAY): 1}


def test_nothing_is_computed_for_a_resend(
    world: World, patient: str, comparing: Comparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = comparing.request(comparing.recording(at(patient)))
    first = comparing.send(request)
    for name in ("agrees", "answer"):
        monkeypatch.setattr(f"app.keyholder.comparisons.FastResponder.{name}", lambda *_: 1 / 0)
    assert comparing.send(request).data == first.data


def test_other_content_under_a_batchs_name_is_refused(
    world: World, patient: str, comparing: Comparing
) -> None:
    request = comparing.request(comparing.recording(at(patient)), number=5)
    assert comparing.send(request).status_code == 200
    for other in (
        comparing.request(comparing.recording(at(patient)), number=5),
        comparing.request(comparing.recording(at(new_id())), number=5),
    ):
        assert slug(comparing.send(other)) == "batch-already-served"
    assert served_numbers(world) == {(patient, DAY): 1}


def test_settled_answers_are_forgotten(world: World, patient: str, comparing: Comparing) -> None:
    elsewhere = Comparing(world)
    requests = [
        comparing.request(comparing.recording(at(patient, 1))),
        elsewhere.request(elsewhere.recording(at(patient, 2))),
        comparing.request(comparing.recording(at(patient, 3))),
    ]
    for side, request in zip((comparing, elsewhere, comparing), requests, strict=True):
        assert side.send(request).status_code == 200
    settled = [
        BatchName(comparing.session, 0),
        BatchName(elsewhere.session, 0),
        BatchName(comparing.session, 77),  # never served
        BatchName(new_id(), 0),
    ]
    later = comparing.request(comparing.recording(at(patient, 4)), settled=settled)
    answer = comparing.send(later)
    assert answer.status_code == 200
    assert slug(comparing.send(requests[0])) == "batch-already-served"
    assert slug(elsewhere.send(requests[1])) == "batch-already-served"
    assert comparing.send(requests[2]).status_code == 200
    assert comparing.send(later).data == answer.data
    kept = {(row.session, row.number): row.answer for row in stored(world, ComparisonBatch)}
    assert kept[(comparing.session, 0)] is None
    assert kept[(elsewhere.session, 0)] is None
    assert kept[(comparing.session, 1)] is not None


def test_a_refused_batch_settles_nothing(world: World, patient: str, comparing: Comparing) -> None:
    request = comparing.request(comparing.recording(at(patient)))
    comparing.send(request)
    settled = [BatchName(comparing.session, 0)]
    late = comparing.request(comparing.recording(at(patient, 3)), settled=settled)
    assert slug(comparing.send(late)) == "position-out-of-order"
    assert comparing.send(request).status_code == 200


# Order


def test_numbers_come_in_order_without_gaps(
    world: World, patient: str, comparing: Comparing
) -> None:
    for number in (2, 3, 1000):
        answer = comparing.send(comparing.request(comparing.recording(at(patient, number))))
        assert slug(answer) == "position-out-of-order"
        assert item_of(answer) == 0
    swapped = comparing.request(*(comparing.recording(at(patient, n)) for n in (2, 1)))
    assert slug(comparing.send(swapped)) == "position-out-of-order"
    gap = comparing.request(*(comparing.recording(at(patient, n)) for n in (1, 3)))
    assert item_of(comparing.send(gap)) == 1
    assert stored(world, ServedTally) == []
    comparing.compare(*(comparing.recording(at(patient, n)) for n in (1, 2)))
    comparing.compare(comparing.recording(at(patient, 3)))
    # Another day and another patient count on their own.
    comparing.compare(
        comparing.recording(at(patient, 1, "2026-03-02")), comparing.recording(at(new_id()))
    )
    assert served_numbers(world)[(patient, DAY)] == 3


def test_a_position_is_served_once(world: World, owner: Party, comparing: Comparing) -> None:
    world.tally_of(owner, 3, Counts(0, 0))
    fresh = comparing.recording(at(new_id()))
    for number in (1, 2, 3):
        for item in (
            comparing.recording(at(owner.collector, number)),
            Item(at(owner.collector, number), None),
        ):
            answer = comparing.send(comparing.request(fresh, item))
            assert slug(answer) == "position-already-served"
            assert item_of(answer) == 1
    check = RangePosition(new_id(), owner.collector)
    comparing.compare(comparing.range(check, 600, 1000))
    for position in (check, RangePosition(check.range, new_id())):
        answer = comparing.send(comparing.request(comparing.range(position, 600, 1000)))
        assert slug(answer) == "position-already-served"
    # Of the refused batches nothing was served.
    assert served_numbers(world) == {(owner.collector, DAY): 3}
    comparing.compare(fresh, comparing.recording(at(owner.collector, 4)))


def test_a_void_range_is_not_begun_again(world: World, patient: str, comparing: Comparing) -> None:
    position = RangePosition(new_id(), patient)
    comparing.compare(Item(position, None))
    again = comparing.request(comparing.range(position, 600, 1000))
    assert slug(comparing.send(again)) == "position-already-served"


# Sessions


def test_a_batch_of_no_session_is_refused(world: World, patient: str) -> None:
    comparing, unknown = Comparing(world), Comparing(world)
    with world.app.app_context():
        db.session.execute(
            db.delete(ComparisonSession).where(ComparisonSession.session == unknown.session)
        )
        db.session.execute(
            db.update(ComparisonSession)
            .where(ComparisonSession.session == comparing.session)
            .values(ended_at=int(time.time()))
        )
        db.session.commit()
    for side in (comparing, unknown):
        assert slug(side.send(side.request(side.recording(at(patient))))) == "session-ended"
    assert stored(world, ServedTally) == []


def test_a_session_serves_so_many_comparisons(
    world: World, patient: str, comparing: Comparing
) -> None:
    with world.app.app_context():
        db.session.execute(db.update(ComparisonSession).values(comparisons=MAX_COMPARISONS - 3 - 7))
        db.session.commit()
    one, two = (comparing.recording(at(patient, n)) for n in (1, 2))
    check = comparing.range(RangePosition(new_id(), patient), 1, 2)
    assert slug(comparing.send(comparing.request(one, two, check))) == "session-ended"
    comparing.compare(one, check)
    assert slug(comparing.send(comparing.request(two))) == "session-ended"
    comparing.compare(Item(at(patient, 2), None))  # is no comparison


def test_columns_that_do_not_agree_end_the_session(
    world: World, patient: str, comparing: Comparing, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("keyholder")
    good = comparing.request(comparing.recording(at(patient)))
    answer = comparing.send(good)
    body = comparing.request(comparing.recording(at(patient, 2)))
    columns = bytearray(decode_request(body).columns)
    for column in range(0, len(columns), len(columns) // 128):  # of every column one bit
        columns[column] ^= 1
    columns[0] ^= 2
    assert slug(comparing.send(changed(body, columns=bytes(columns)))) == "session-ended"
    assert '"level": "warning"' in capfd.readouterr().err
    assert slug(comparing.send(body)) == "session-ended"
    assert comparing.send(good).data == answer.data
    assert served_numbers(world) == {(patient, DAY): 1}
    # Nobody else's session is meant.
    other = Comparing(world)
    other.compare(other.recording(at(patient, 2)))


def test_a_session_that_cannot_be_unsealed_is_ended(
    world: World, patient: str, comparing: Comparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.app.extensions["hushbeat-keyholder"]
    keys = replace(holder.keys, storage=StorageKey.generate())
    monkeypatch.setattr(holder.running_keys, "current", lambda: keys)
    request = comparing.request(comparing.recording(at(patient)))
    assert slug(comparing.send(request)) == "session-ended"
    assert stored(world, ComparisonSession)[0].ended_at is not None


def test_sessions_are_stored_sealed(world: World, comparing: Comparing) -> None:
    (row,) = stored(world, ComparisonSession)
    for seeds in comparing.evaluator.pairs:
        for seed in seeds:
            assert seed not in row.sealed


def test_what_is_over_is_swept_when_a_session_is_opened(world: World, patient: str) -> None:
    ended, old, waited_for, fresh = (Comparing(world) for _ in range(4))
    for number, side in enumerate((ended, old, waited_for), 1):
        side.compare(side.recording(at(patient, number)))
    settled = [BatchName(side.session, 0) for side in (ended, old)]
    request = fresh.request(fresh.recording(at(patient, 4)), settled=settled)
    assert fresh.send(request).status_code == 200
    past = int(time.time()) - LIFETIME_SECONDS - 1
    with world.app.app_context():
        for side, values in (
            (ended, {"ended_at": past}),
            (old, {"opened_at": past}),
            (waited_for, {"opened_at": past, "ended_at": past}),
        ):
            db.session.execute(
                db.update(ComparisonSession)
                .where(ComparisonSession.session == side.session)
                .values(**values)
            )
        db.session.commit()
    new = Comparing(world)
    left = {row.session for row in stored(world, ComparisonSession)}
    assert left == {waited_for.session, fresh.session, new.session}
    assert {row.session for row in stored(world, ComparisonBatch)} == {
        waited_for.session,
        fresh.session,
    }
    assert served_numbers(world) == {(patient, DAY): 4}


# Refusals


def test_a_number_that_is_no_ciphertext_is_refused_and_serves_nothing(
    world: World, patient: str, comparing: Comparing
) -> None:
    public = world.keys.paillier.public
    width = public.ciphertext_bytes
    body = comparing.request(comparing.recording(at(patient)))
    for masked, expected in (
        (bytes(width), "ciphertext-out-of-range"),
        (b"\xff" * width, "ciphertext-out-of-range"),
        ((public.n * 5).to_bytes(width, "big"), "ciphertext-out-of-range"),
        (b"\x01" * (width - 1), "invalid-encoding"),
        (b"\x01" * (width + 1), "invalid-encoding"),
    ):
        assert slug(comparing.send(changed(body, masked=(masked,)))) == expected
    assert stored(world, ServedTally) == []
    assert stored(world, ComparisonBatch) == []
    assert comparing.send(body).status_code == 200


def test_a_number_that_was_not_masked_is_refused(
    world: World, patient: str, comparing: Comparing
) -> None:
    body = comparing.request(comparing.recording(at(patient)))
    small = world.encrypt(1 << 16).to_wire()
    assert slug(comparing.send(changed(body, masked=(small,)))) == "mask-forgotten"
    assert stored(world, ServedTally) == []


def test_sizes_that_do_not_fit_are_refused(
    world: World, patient: str, comparing: Comparing
) -> None:
    one, two = (comparing.recording(at(patient, n)) for n in (1, 2))
    body = comparing.request(one, two)
    request: BatchRequest = decode_request(body)
    for fields in (
        {"masked": request.masked * 2},
        {"masked": ()},
        {"columns": request.columns[:-16]},
        {"columns": b""},
    ):
        answer = comparing.send(changed(body, **fields))
        assert slug(answer) in ("protocol-violation", "invalid-encoding")
    assert stored(world, ServedTally) == []
    assert comparing.send(body).status_code == 200


def test_a_message_under_another_key_is_refused(
    world: World, patient: str, comparing: Comparing
) -> None:
    body = comparing.request(comparing.recording(at(patient)))
    assert slug(comparing.send(changed(body, key_id="0" * 64))) == "foreign-key"


def test_only_the_aggregator_may_compare(world: World, patient: str, comparing: Comparing) -> None:
    bodies = {
        BATCHES: comparing.request(comparing.recording(at(patient))),
        SESSIONS: SessionOpener().request(),
    }
    for path, body in bodies.items():
        assert slug(world.client.post(path, data=body)) == "not-authenticated"
        assert slug(world.post(path, body, SigningKey.generate())) == "not-authenticated"
    assert slug(world.post(BATCHES, bodies[SESSIONS])) == "invalid-encoding"
    assert slug(world.post(SESSIONS, bodies[BATCHES][:900])) == "invalid-encoding"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xc1",
        b"{}",
        b"\x80",
        b"\x91" * 900,
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\x7f\xff\xff\xff",
        msgpack.packb({"session": bytes(16), "element": bytes(384)}),
        msgpack.packb({"session": bytes(16), "element": b"\xff" * 384}),
        msgpack.packb({"session": bytes(15), "element": bytes(384)}),
        msgpack.packb({"session": 1, "element": None}),
    ],
)
def test_garbage_is_refused(world: World, body: bytes) -> None:
    for path in (BATCHES, SESSIONS):
        answer = world.post(path, body)
        assert slug(answer) in ("invalid-encoding", "protocol-violation")
        assert answer.status_code in (400, 422)


def test_bodies_have_a_limit(world: World) -> None:
    assert slug(world.post(SESSIONS, bytes(1025))) == "request-entity-too-large"
    assert slug(world.post(BATCHES, bytes(4 << 20))) == "request-entity-too-large"


def test_the_largest_batches_are_taken(world: World, comparing: Comparing) -> None:
    settled = [BatchName(new_id(), n) for n in range(256)]
    check, recording = (
        comparing.range(RangePosition(new_id(), new_id()), 600, 1000),
        comparing.recording(at(new_id())),
    )
    ranges = [replace(check, position=RangePosition(new_id(), new_id())) for _ in range(256)]
    recordings = [replace(recording, position=at(new_id())) for _ in range(256)]
    for items in (ranges, recordings):
        request = comparing.request(*items, settled=settled)
        assert len(comparing.finish(request, comparing.send(request))) == 256
    assert len(stored(world, RangeCheck)) == len(stored(world, ServedTally)) == 256
