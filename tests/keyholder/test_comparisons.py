"""Both rounds against A's real side of the protocol; order, resends, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.keyholder.served import RANGE_ANSWER_SECONDS
from app.keyholder.tables import ComparisonAnswer, ServedTally, db
from crypto.comparison import messages
from crypto.comparison.messages import FirstItem, RangePosition, RecordingPosition, SecondItem
from crypto.encoding import new_id
from crypto.jws import SigningKey
from crypto.slots import Counts
from tests.keyholder.world import DAY, Party, World, slug

FIRST = "/v1/comparisons/first"
SECOND = "/v1/comparisons/second"


@pytest.fixture
def patient() -> str:
    return new_id()


def at(patient: str, number: int = 1, day: str = DAY) -> RecordingPosition:
    return RecordingPosition(patient, day, number)


@pytest.mark.parametrize(
    ("score", "rate", "bits"),
    [
        (0, 720, [0, 1, 0]),
        (32_767, 600, [0, 1, 0]),
        (32_768, 1000, [1, 1, 0]),
        (65_535, 599, [1, 0, 0]),
        (40_000, 1001, [1, 1, 1]),
        (0, 65_535, [0, 1, 1]),
    ],
)
def test_the_bits_and_the_mask_are_right(
    world: World, patient: str, score: int, rate: int, bits: list[int]
) -> None:
    found, mask = world.compared(at(patient), world.recording(score, rate))

    private, public = world.keys.paillier, world.keys.paillier.public
    assert [private.decrypt(bit) for bit in found] == bits
    assert private.decrypt(public.parse(mask)) == world.keys.masks.step(public, at(patient))


@pytest.mark.parametrize(("lo", "hi", "bit"), [(600, 1000, 1), (700, 700, 1), (701, 700, 0)])
def test_a_range_is_checked(world: World, patient: str, lo: int, hi: int, bit: int) -> None:
    position = RangePosition(new_id(), patient)
    found, mask = world.compared(position, world.range(lo, hi))
    assert [world.keys.paillier.decrypt(b) for b in found] == [bit]
    public = world.keys.paillier.public
    masks = world.keys.masks
    assert world.keys.paillier.decrypt(public.parse(mask)) == masks.step(public, position)


def test_a_batch_is_answered_in_its_order(world: World) -> None:
    positions = [at(new_id()) for _ in range(3)]
    sides = [world.recording(score, 720) for score in (0, 40_000, 0)]
    first = world.first(*(FirstItem(p, *s.first()) for p, s in zip(positions, sides, strict=True)))
    tests = [
        side.second(answer)
        for side, answer in zip(sides, messages.decode_first_answer(first.data), strict=True)
    ]
    second = world.second(
        *(SecondItem(p, *s.first(), t) for p, s, t in zip(positions, sides, tests, strict=True))
    )
    answers = messages.decode_second_answer(second.data)
    sound = [s.bits(answer)[0] for s, answer in zip(sides, answers, strict=True)]
    assert [world.keys.paillier.decrypt(bit) for bit in sound] == [0, 1, 0]


def test_an_identical_resend_gets_the_identical_answer(world: World, patient: str) -> None:
    side = world.recording(40_000, 720)
    item = FirstItem(at(patient), *side.first())
    first = world.first(item)
    assert world.first(item).data == first.data

    tests = side.second(messages.decode_first_answer(first.data)[0])
    second_item = SecondItem(at(patient), *side.first(), tests)
    second = world.second(second_item)
    assert world.second(second_item).data == second.data
    # A lost everything but its seed: it begins again and must arrive at the same.
    assert world.first(item).data == first.data
    assert world.second(second_item).data == second.data
    with world.app.app_context():
        assert db.session.execute(db.select(ServedTally.served)).scalar_one() == 1


def test_a_resend_within_another_batch_gets_the_identical_answer(
    world: World, patient: str
) -> None:
    side = world.recording(0, 720)
    item = FirstItem(at(patient), *side.first())
    alone = messages.decode_first_answer(world.first(item).data)
    other = FirstItem(at(new_id()), *world.recording(0, 720).first())
    together = messages.decode_first_answer(world.first(other, item).data)
    assert together[1] == alone[0]


def test_other_content_for_a_position_is_refused(world: World, patient: str) -> None:
    side = world.recording(0, 720)
    item = world.second_item(at(patient), side)
    other = FirstItem(at(patient), *world.recording(65_535, 720).first())
    assert slug(world.first(other)) == "position-already-served"
    # The second round must be about the numbers of the first.
    swapped = replace(item, masked=other.masked)
    assert slug(world.second(swapped)) == "position-already-served"
    assert world.second(item).status_code == 200
    permuted = replace(item, tests=tuple(reversed(item.tests)))
    assert slug(world.second(permuted)) == "position-already-served"
    assert slug(world.second(replace(item, tests=()))) == "position-already-served"
    assert slug(world.first(other)) == "position-already-served"


def test_numbers_come_in_order_without_gaps(world: World, patient: str) -> None:
    side = world.recording(0, 720)
    for number in (2, 3, 1000):
        item = FirstItem(at(patient, number), *side.first())
        assert slug(world.first(item)) == "position-out-of-order"
    item = world.second_item(at(patient), side)
    # The second number waits for both rounds of the first.
    second = FirstItem(at(patient, 2), *side.first())
    assert slug(world.first(second)) == "position-out-of-order"
    assert world.second(item).status_code == 200
    assert world.first(second).status_code == 200
    # Another day and another patient count on their own.
    assert world.first(FirstItem(at(patient, 1, "2026-03-02"), *side.first())).status_code == 200
    assert world.first(FirstItem(at(new_id()), *side.first())).status_code == 200


def test_a_number_that_counts_is_never_served_again(world: World, owner: Party) -> None:
    world.tally_of(owner, 3, Counts(0, 0))  # without stored answers
    side = world.recording(0, 720)
    for number in (1, 2, 3):
        item = FirstItem(at(owner.collector, number), *side.first())
        assert slug(world.first(item)) == "position-already-served"
        given_up = SecondItem(at(owner.collector, number), *side.first(), ())
        assert slug(world.second(given_up)) == "position-already-served"
    assert world.first(FirstItem(at(owner.collector, 4), *side.first())).status_code == 200


def test_the_second_round_needs_the_first(world: World, patient: str) -> None:
    side = world.recording(0, 720)
    item = world.second_item(at(patient), side)
    elsewhere = replace(item, position=at(new_id()))
    assert slug(world.second(elsewhere)) == "position-out-of-order"
    assert slug(world.second(replace(item, position=at(patient, 2)))) == "position-out-of-order"
    check = world.second_item(RangePosition(new_id(), patient), world.range(1, 2))
    elsewhere = replace(check, position=RangePosition(new_id(), patient))
    assert slug(world.second(elsewhere)) == "position-out-of-order"


def test_answers_go_when_the_next_number_is_asked_for(world: World, patient: str) -> None:
    side = world.recording(0, 720)
    first = FirstItem(at(patient), *side.first())
    second = world.second_item(at(patient), side)
    assert world.second(second).status_code == 200
    assert world.first(FirstItem(at(patient, 2), *side.first())).status_code == 200

    assert slug(world.first(first)) == "position-already-served"
    assert slug(world.second(second)) == "position-already-served"
    with world.app.app_context():
        rows = db.session.execute(db.select(ComparisonAnswer)).scalars().all()
        kept = {(row.position.rsplit("|")[-1], row.round): row.answer is not None for row in rows}
    assert kept == {("1", 1): False, ("1", 2): False, ("2", 1): True}


def test_answers_of_range_checks_go_when_they_are_old(world: World, patient: str) -> None:
    side = world.range(600, 1000)
    item = world.second_item(RangePosition(new_id(), patient), side)
    answer = world.second(item)
    world.compared(RangePosition(new_id(), patient), side)
    assert world.second(item).data == answer.data  # another range takes nothing away

    with world.app.app_context():  # a month later
        aged = ComparisonAnswer.kept_until - RANGE_ANSWER_SECONDS - 1
        db.session.execute(db.update(ComparisonAnswer).values(kept_until=aged))
        db.session.commit()
    world.compared(RangePosition(new_id(), patient), side)
    assert slug(world.second(item)) == "position-already-served"


def test_a_position_that_a_gives_up_is_served_void(world: World, patient: str) -> None:
    side = world.recording(0, 720)
    public, private = world.keys.paillier.public, world.keys.paillier
    # Before any comparing, after a first round, and after one that A cannot reproduce any more.
    for number in (1, 2, 3):
        position = at(patient, number)
        if number > 1:
            asked = side if number == 2 else world.recording(1, 720)
            assert world.first(FirstItem(position, *asked.first())).status_code == 200
        item = SecondItem(position, *side.first(), ())
        answer = world.second(item)
        assert world.second(item).data == answer.data
        (void,) = messages.decode_second_answer(answer.data)
        assert void.void
        assert private.decrypt(public.parse(void.mask)) == world.keys.masks.step(public, position)
        other = FirstItem(position, *world.recording(0, 720).first())
        assert slug(world.first(other)) == "position-already-served"
    assert world.first(FirstItem(at(patient, 4), *side.first())).status_code == 200


def test_a_range_that_was_given_up_is_not_begun_again(world: World, patient: str) -> None:
    position, side = RangePosition(new_id(), patient), world.range(1, 2)
    assert world.second(SecondItem(position, *side.first(), ())).status_code == 200
    assert slug(world.first(FirstItem(position, *side.first()))) == "position-already-served"


def test_tests_that_b_cannot_use_are_served_void(world: World, patient: str) -> None:
    public = world.keys.paillier.public
    zero = bytes(public.ciphertext_bytes)
    for number, spoil in enumerate((zero, b"\xff" * len(zero), b"\x01"), 1):
        item = world.second_item(at(patient, number), world.recording(0, 720))
        rows = [list(row) for row in item.tests]
        rows[1][3] = spoil
        answer = world.second(replace(item, tests=tuple(map(tuple, rows))))
        assert messages.decode_second_answer(answer.data)[0].void
    item = world.second_item(at(patient, 4), world.recording(0, 720))
    answer = world.second(replace(item, tests=item.tests[:2]))
    assert messages.decode_second_answer(answer.data)[0].void


def test_a_number_that_is_no_ciphertext_is_refused_in_the_first_round(
    world: World, patient: str
) -> None:
    public = world.keys.paillier.public
    good = FirstItem(at(new_id()), *world.recording(0, 720).first())
    width = public.ciphertext_bytes
    for masked, expected in (
        (bytes(width), "ciphertext-out-of-range"),
        (b"\xff" * width, "ciphertext-out-of-range"),
        ((public.n * 5).to_bytes(width, "big"), "ciphertext-out-of-range"),
        (b"\x01" * (width - 1), "invalid-encoding"),
        (b"\x01" * (width + 1), "invalid-encoding"),
    ):
        answer = world.first(good, FirstItem(at(patient), 3, masked))
        assert slug(answer) == expected
        assert answer.json is not None
        assert answer.json["item"] == 1
    # Nothing of it counts: the position is still to be had.
    assert world.first(FirstItem(at(patient), *world.recording(0, 720).first())).status_code == 200


def test_a_recording_takes_three_comparisons_and_a_range_one(world: World, patient: str) -> None:
    recording, range_ = world.recording(0, 720).first()[1], world.range(1, 2).first()[1]
    for item in (
        FirstItem(at(patient), 1, range_),
        FirstItem(at(patient), 4, recording),
        FirstItem(RangePosition(new_id(), patient), 3, recording),
    ):
        assert slug(world.first(item)) == "protocol-violation"


def test_a_message_under_another_key_is_refused(world: World, patient: str) -> None:
    item = FirstItem(at(patient), *world.recording(0, 720).first())
    assert slug(world.first(item, key_id="0" * 64)) == "foreign-key"


def test_only_the_aggregator_may_compare(world: World, patient: str) -> None:
    body = messages.encode_first_request(
        world.key_id, [FirstItem(at(patient), *world.recording(0, 720).first())]
    )
    for path in (FIRST, SECOND):
        assert slug(world.client.post(path, data=body)) == "not-authenticated"
        assert slug(world.post(path, body, SigningKey.generate())) == "not-authenticated"
    assert slug(world.post(SECOND, body)) == "invalid-encoding"  # a first request


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\xc1", b"{}", b"\x80", b"\x91" * 3000, b"\xdf\xff\xff\xff\xff"]
)
def test_garbage_is_refused(world: World, body: bytes) -> None:
    for path in (FIRST, SECOND):
        assert slug(world.post(path, body)) == "invalid-encoding"


def test_a_batch_has_a_limit_in_items_and_bytes(world: World) -> None:
    side = world.recording(0, 720).first()
    items = [FirstItem(at(new_id()), *side) for _ in range(33)]
    assert slug(world.first(*items)) == "invalid-request"
    assert slug(world.post(FIRST, bytes(1 << 20))) == "request-entity-too-large"


def test_the_largest_batch_is_taken(world: World) -> None:
    side = world.recording(0, 720)
    positions = [at(new_id()) for _ in range(32)]
    first = world.first(*(FirstItem(position, *side.first()) for position in positions))
    answers = messages.decode_first_answer(first.data)
    tests = side.second(answers[0])
    second = world.second(*(SecondItem(p, *side.first(), tests) for p in positions))
    assert len(messages.decode_second_answer(second.data)) == 32


def test_a_batch_with_one_item_out_of_turn_changes_nothing(world: World, patient: str) -> None:
    side = world.recording(0, 720)
    good = FirstItem(at(patient), *side.first())
    answer = world.first(good, FirstItem(at(new_id(), 2), *side.first()))
    assert slug(answer) == "position-out-of-order"
    assert answer.json is not None
    assert answer.json["item"] == 1
    with world.app.app_context():
        assert db.session.execute(db.select(ComparisonAnswer)).first() is None
