"""The reference engine is held to plain integers, to its own resends, and to hostile peers."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.comparison.positions import Position, RangePosition, RecordingPosition
from crypto.comparison.reference import (
    CiphertextRows,
    FirstAnswerItem,
    FirstItem,
    ReferenceInitiator,
    SecondAnswerItem,
    SecondItem,
    range_order,
)
from crypto.encoding import unb64u
from crypto.errors import (
    CiphertextOutOfRange,
    ForeignKey,
    InvalidEncoding,
    PlaintextOutOfRange,
    ProtocolViolation,
)
from crypto.findings import FindingInputs, contribution
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.keyholder.reference import ReferenceResponder
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import SeededRandom, new_seed
from crypto.slots import SIGMA, join, pack_range, pack_report, rate_count_offset, zone_bits

ID = "0123456789abcdef" * 2
POSITION = RecordingPosition(ID, "2026-01-01", 1)
RANGE = RangePosition(ID, ID)
TOP = (1 << 16) - 1


class Game:
    """Both sides in one process, at any score length."""

    def __init__(self, private_key: PrivateKey, mask_key: MaskKey, score_bits: int = 16) -> None:
        self.private, self.key, self.score_bits = private_key, private_key.public, score_bits
        self.responder = ReferenceResponder(private_key, mask_key, score_bits=score_bits)

    def initiator(
        self, pairs: Sequence[tuple[int, int]], seed: bytes | None = None
    ) -> ReferenceInitiator:
        """[a >= b] of three pairs as of a recording, or of one as of a range: a is hi, b is lo."""
        top = 1 << self.score_bits
        zones = [top + a - b for a, b in pairs]
        if len(pairs) == 1:
            ((a, b),) = pairs
            zones = [top // 2, b, top + a]
        packed = self.key.encrypt(
            join(zones, zone_bits(self.key.bits, self.score_bits + SIGMA + 2))
        )
        return ReferenceInitiator(
            self.key,
            POSITION if len(pairs) == 3 else RANGE,
            packed,
            seed or new_seed(),
            score_bits=self.score_bits,
        )

    def play(self, initiator: ReferenceInitiator, position: Position) -> list[int]:
        count, masked = initiator.first()
        tests = initiator.second(self.responder.first(FirstItem(position, count, masked)))
        answer = self.responder.second(SecondItem(position, count, masked, tests))
        return [self.private.decrypt(bit) for bit in initiator.bits(answer)]

    def compare(self, pairs: Sequence[tuple[int, int]], seed: bytes | None = None) -> list[int]:
        position = POSITION if len(pairs) == 3 else RANGE
        return self.play(self.initiator(pairs, seed), position)


@pytest.fixture(scope="module")
def tiny_key(_small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey.generate(256)


@pytest.fixture(scope="module")
def game(private_key: PrivateKey, mask_key: MaskKey) -> Game:
    return Game(private_key, mask_key)


def truth(pairs: Sequence[tuple[int, int]]) -> list[int]:
    return [int(a >= b) for a, b in pairs]


@pytest.mark.parametrize(("score_bits", "rounds"), [(1, 24), (2, 8), (3, 3)])
def test_all_short_numbers(
    tiny_key: PrivateKey, mask_key: MaskKey, score_bits: int, rounds: int
) -> None:
    """Every pair, three to a plaintext and alone, under many masks and coins."""
    game = Game(tiny_key, mask_key, score_bits)
    numbers = range(1 << score_bits)
    pairs = list(product(numbers, numbers)) * rounds
    pairs += pairs[: -len(pairs) % 3]
    for number in range(0, len(pairs), 3):
        three = pairs[number : number + 3]
        assert game.compare(three, number.to_bytes(32, "big")) == truth(three)
        assert game.compare(three[:1]) == truth(three[:1])


def test_many_random_numbers(tiny_key: PrivateKey, mask_key: MaskKey) -> None:
    game, random = Game(tiny_key, mask_key), SeededRandom(bytes(32), b"numbers")
    for _ in range(700):
        three = [(random.bits(16), random.bits(16)) for _ in range(3)]
        assert game.compare(three) == truth(three)


EDGES = [0, 1, 2, (1 << 15) - 1, 1 << 15, (1 << 15) + 1, TOP - 1, TOP]


def test_edges(tiny_key: PrivateKey, mask_key: MaskKey) -> None:
    """Equal numbers are where the low bits of d and r are equal."""
    game = Game(tiny_key, mask_key)
    pairs = list(product(EDGES, EDGES))
    pairs += pairs[: -len(pairs) % 3]
    for number in range(0, len(pairs), 3):
        assert game.compare(pairs[number : number + 3]) == truth(pairs[number : number + 3])


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.integers(0, TOP)] * 3), st.integers(0, TOP - 1), st.integers(0, TOP - 1))
def test_findings_of_a_recording(game: Game, values: tuple[int, int, int], a: int, b: int) -> None:
    (score, rate, threshold), lo, hi, key = values, min(a, b), max(a, b), game.key
    inputs = FindingInputs(
        key.encrypt(pack_report(key.bits, score, rate)),
        key.encrypt(pack_range(key.bits, threshold, lo, hi)),
    )
    expected = (score >= threshold), (rate < lo) + (rate > hi)
    assert added(game, inputs) == expected


def added(game: Game, inputs: FindingInputs) -> tuple[int, int]:
    """What a recording adds to the sound and to the rate count."""
    key = game.key
    initiator = ReferenceInitiator(key, POSITION, inputs.differences(key), new_seed())
    count, masked = initiator.first()
    tests = initiator.second(game.responder.first(FirstItem(POSITION, count, masked)))
    answer = game.responder.second(SecondItem(POSITION, count, masked, tests))
    total = contribution(initiator.bits(answer), key.parse(answer.mask))
    plain = game.private.decrypt(total) - game.private.decrypt(key.parse(answer.mask))
    rate, sound = divmod(plain % key.n, 1 << rate_count_offset(key.bits))
    return sound, rate


@pytest.mark.parametrize(("rate", "counted"), [(599, 1), (600, 0), (1000, 0), (1001, 1), (TOP, 1)])
def test_the_limits_of_a_range_are_healthy(game: Game, rate: int, counted: int) -> None:
    key = game.key
    report = key.encrypt(pack_report(key.bits, 32_767, rate))
    bounds = key.constant(pack_range(key.bits, 32_768, 600, 1000))
    assert added(game, FindingInputs(report, bounds)) == (0, counted)


@pytest.mark.parametrize(
    ("lo", "above", "bit"),
    [(600, 1001, 1), (700, 701, 1), (700, 700, 0), (1000, 601, 0), (0, TOP, 1), (TOP, 0, 0)],
)
def test_range_check(game: Game, lo: int, above: int, bit: int) -> None:
    key = game.key
    for threshold in (0, TOP):
        bounds = key.encrypt(join([threshold, lo, above], zone_bits(key.bits)))
        initiator = ReferenceInitiator(key, RANGE, range_order(key, bounds), new_seed())
        assert game.play(initiator, RANGE) == [bit]


def test_public_numbers_can_be_compared(game: Game) -> None:
    """The defaults are ciphertexts without noise; what is sent is fresh all the same."""
    key = game.key
    bounds = key.constant(pack_range(key.bits, 1, 5, 6))
    initiator = ReferenceInitiator(key, RANGE, range_order(key, bounds), new_seed())
    assert game.play(initiator, RANGE) == [1]


def test_a_resend_is_identical(game: Game) -> None:
    packed = game.key.encrypt(join([1, 2, 3], zone_bits(game.key.bits)))
    seed = new_seed()
    one, two = (ReferenceInitiator(game.key, POSITION, packed, seed) for _ in range(2))
    assert one.first() == two.first()
    answer = game.responder.first(FirstItem(POSITION, *one.first()))
    assert one.second(answer) == two.second(answer)
    served = game.responder.second(SecondItem(POSITION, *one.first(), one.second(answer)))
    assert list(map(int, one.bits(served))) == list(map(int, two.bits(served)))


def test_one_seed_never_serves_two_messages(game: Game) -> None:
    """Other inputs or another answer of B's change all that is drawn: mask, coin and noise."""
    seed = new_seed()
    one, other = (ReferenceInitiator(game.key, RANGE, game.key.encrypt(1), seed) for _ in range(2))
    assert one._masks != other._masks
    first = [game.responder.first(FirstItem(RANGE, *one.first())) for _ in range(2)]
    tests = [set(one.second(answer)[0]) for answer in first]
    assert not tests[0] & tests[1]


def rows(cells: list[list[str]]) -> CiphertextRows:
    return tuple(tuple(bytes.fromhex(cell) for cell in row) for row in cells)


def test_known_transcript(vectors: Callable[[str], Any]) -> None:
    """A's messages byte for byte: a resend must not change when the program is updated."""
    known = vectors("transcript")
    private = PrivateKey(*(int.from_bytes(unb64u(known[name]), "big") for name in ("p", "q")))
    key = private.public
    assert key.key_id == known["key_id"]
    inputs = FindingInputs(
        **{name: key.parse(bytes.fromhex(text)) for name, text in known["inputs"].items()}
    )
    values = known["plaintexts"]
    assert private.decrypt(inputs.report) == pack_report(key.bits, values["score"], values["rate"])
    assert private.decrypt(inputs.bounds) == pack_range(
        key.bits, values["threshold"], values["lo"], values["hi"]
    )
    position = RecordingPosition(*known["position"][1:])
    seed = bytes.fromhex(known["initiator_seed"])
    initiator = ReferenceInitiator(key, position, inputs.differences(key), seed)
    assert initiator.first() == (3, bytes.fromhex(known["masked"]))
    assert initiator._masks == known["masks"]
    tests = initiator.second(FirstAnswerItem(rows(known["first_answer"])))
    assert [[cell.hex() for cell in row] for row in tests] == known["tests"]
    second = known["second_answer"]
    answer = SecondAnswerItem(rows([second["bits"]])[0], bytes.fromhex(second["mask"]))
    assert [private.decrypt(bit) for bit in initiator.bits(answer)] == known["bits"] == [1, 0, 0]
    mask_key = MaskKey(bytes.fromhex(known["mask_key"]))
    assert private.decrypt(key.parse(answer.mask)) == mask_key.step(key, position)


def test_everything_sent_is_fresh(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that leaves either side went through `to_wire`, which refuses stale ciphertexts."""
    sent: list[bytes] = []
    to_wire = Ciphertext.to_wire

    def recorded(ciphertext: Ciphertext) -> bytes:
        sent.append(to_wire(ciphertext))
        return sent[-1]

    monkeypatch.setattr(Ciphertext, "to_wire", recorded)
    initiator = game.initiator([(1, 2), (2, 2), (3, 2)])
    count, masked = initiator.first()
    bits = game.responder.first(FirstItem(POSITION, count, masked))
    tests = initiator.second(bits)
    answer = game.responder.second(SecondItem(POSITION, count, masked, tests))
    assert answer.bits is not None
    left = [masked, *sum(bits.bits, ()), *sum(tests, ()), *answer.bits, answer.mask]
    assert sorted(left) == sorted(sent)
    assert len(set(left)) == len(left) == 1 + 51 + 51 + 3 + 1
    again = game.responder.second(SecondItem(POSITION, count, masked, tests))
    assert again.bits is not None
    assert not {*again.bits, again.mask} & {*answer.bits, answer.mask}


def test_what_b_sees_of_the_tests(game: Game) -> None:
    """At most one zero, anywhere, among numbers that are otherwise large and differ.

    Equal numbers differ in the lowest bit of 2d + 1 and 2r alone: without the permutation the zero
    would always stand at the same place, without the coin there always would be one.
    """
    zeros, places = [], set()
    for _ in range(40):
        initiator = game.initiator([(5, 5)])
        first = game.responder.first(FirstItem(RANGE, *initiator.first()))
        plain = [game.private.decrypt(game.key.parse(c)) for c in initiator.second(first)[0]]
        zeros.append(plain.count(0))
        places |= {place for place, number in enumerate(plain) if number == 0}
        others = [number for number in plain if number]
        assert len(set(others)) == len(others)
        assert all(number.bit_length() > game.key.bits - 100 for number in others)
    assert set(zeros) == {0, 1}
    assert len(places) > 1


def test_b_tests_every_ciphertext(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []
    is_zero = PrivateKey.is_zero

    def counted(private: PrivateKey, ciphertext: Ciphertext) -> bool:
        tested.append(ciphertext)
        return is_zero(private, ciphertext)

    monkeypatch.setattr(PrivateKey, "is_zero", counted)
    game.compare([(1, 2), (2, 2), (3, 2)])
    assert len(tested) == 3 * 17


def item(
    game: Game, initiator: ReferenceInitiator, tests: Any, masked: bytes | None = None
) -> SecondItem:
    return SecondItem(RANGE, 1, masked or initiator.first()[1], tests)


def test_b_answers_bits_whatever_a_sends(game: Game) -> None:
    """All zeros, a mask of n - 1, unblinded numbers: the answer is 0 or 1 under encryption."""
    key, initiator = game.key, game.initiator([(1, 2)])
    largest = key.encrypt(key.n - 1).to_wire()
    for numbers in ([0] * 17, [1] * 17, [key.n - 1] * 17, [0, 0, *range(15)]):
        tests = (tuple(key.encrypt(number).to_wire() for number in numbers),)
        for masked in (None, largest):
            answer = game.responder.second(item(game, initiator, tests, masked))
            assert answer.bits is not None
            assert [game.private.decrypt(key.parse(bit)) in (0, 1) for bit in answer.bits] == [True]


def test_what_cannot_be_compared_is_void_and_masked(game: Game, mask_key: MaskKey) -> None:
    key, initiator = game.key, game.initiator([(1, 2)])
    good = tuple(key.encrypt(1).to_wire() for _ in range(17))
    zero, not_coprime = bytes(key.ciphertext_bytes), key.n.to_bytes(key.ciphertext_bytes, "big")
    hopeless = [
        item(game, initiator, ()),
        item(game, initiator, (good[:-1],)),
        item(game, initiator, (good, good)),
        item(game, initiator, ((*good[:-1], b"short"),)),
        item(game, initiator, ((*good[:-1], zero),)),
        item(game, initiator, ((*good[:-1], not_coprime),)),
        item(game, initiator, (good,), b"short"),
        item(game, initiator, (good,), zero),
        SecondItem(RANGE, 3, initiator.first()[1], (good, good, good)),
    ]
    for wrong in hopeless:
        answer = game.responder.second(wrong)
        assert answer.void
        assert game.private.decrypt(key.parse(answer.mask)) == mask_key.step(key, RANGE)
        with pytest.raises(ProtocolViolation):
            initiator.bits(answer)


def test_a_void_recording_adds_its_mask_only(game: Game) -> None:
    mask = game.key.encrypt(7)
    assert game.private.decrypt(contribution(None, mask)) == 7
    with pytest.raises(ProtocolViolation):
        contribution([mask], mask)


def test_b_refuses_a_first_item_that_does_not_fit(game: Game) -> None:
    count, masked = game.initiator([(1, 2)]).first()
    for position, wrong in ((RANGE, 3), (POSITION, 1), (POSITION, 4), (RANGE, 0)):
        with pytest.raises(ProtocolViolation):
            game.responder.first(FirstItem(position, wrong, masked))
    with pytest.raises(InvalidEncoding):
        game.responder.first(FirstItem(RANGE, count, b"x"))
    with pytest.raises(CiphertextOutOfRange):
        game.responder.first(FirstItem(RANGE, count, bytes(len(masked))))


def test_a_refuses_answers_that_do_not_fit(game: Game) -> None:
    initiator = game.initiator([(1, 2)])
    with pytest.raises(ProtocolViolation, match="after the second request"):
        initiator.bits(SecondAnswerItem((b"x",), b"x"))
    (row,) = game.responder.first(FirstItem(RANGE, *initiator.first())).bits
    for rows in ((), (row, row), (row[:-1],), ((*row, row[0]),)):
        with pytest.raises(ProtocolViolation):
            initiator.second(FirstAnswerItem(rows))
    with pytest.raises(CiphertextOutOfRange):
        initiator.second(FirstAnswerItem(((*row[:-1], bytes(len(row[0]))),)))
    tests = initiator.second(FirstAnswerItem((row,)))
    answer = game.responder.second(item(game, initiator, tests))
    assert answer.bits is not None
    with pytest.raises(ProtocolViolation):
        initiator.bits(SecondAnswerItem(answer.bits * 2, answer.mask))
    with pytest.raises(InvalidEncoding):
        initiator.bits(SecondAnswerItem((b"x",), answer.mask))


def test_what_is_compared_is_under_the_key_and_well_masked(
    key: PublicKey, other_private_key: PrivateKey
) -> None:
    with pytest.raises(ForeignKey):
        ReferenceInitiator(key, RANGE, other_private_key.public.encrypt(1), new_seed())
    with pytest.raises(ProtocolViolation, match="at least 40"):
        ReferenceInitiator(key, RANGE, key.encrypt(1), new_seed(), sigma=39)
    with pytest.raises(ValueError, match="32 bytes"):
        ReferenceInitiator(key, RANGE, key.encrypt(1), b"short")
    foreign = FindingInputs(key.encrypt(1), other_private_key.public.encrypt(1))
    with pytest.raises(ForeignKey):
        foreign.differences(key)


def test_a_key_too_short_for_three_comparisons(tiny_key: PrivateKey, mask_key: MaskKey) -> None:
    with pytest.raises(PlaintextOutOfRange, match="266 bits"):
        ReferenceResponder(tiny_key, mask_key, sigma=70)
    with pytest.raises(PlaintextOutOfRange, match="266 bits"):
        ReferenceInitiator(
            tiny_key.public, POSITION, tiny_key.public.encrypt(1), new_seed(), sigma=70
        )
