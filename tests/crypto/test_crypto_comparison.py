"""The reference engine is held to plain integers, to its own resends, and to hostile peers."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.comparison.initiator import Comparison, Initiator
from crypto.comparison.messages import (
    FirstAnswerItem,
    FirstItem,
    RangePosition,
    RecordingPosition,
    SecondAnswerItem,
    SecondItem,
    decode_first_answer,
    decode_second_answer,
)
from crypto.encoding import unb64u
from crypto.errors import (
    CiphertextOutOfRange,
    ForeignKey,
    InvalidEncoding,
    PlaintextOutOfRange,
    ProtocolViolation,
)
from crypto.findings import FindingInputs, contribution, range_check
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.keyholder.responder import Responder
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import SeededRandom, new_seed

ID = "0123456789abcdef" * 2
POSITION = RecordingPosition(ID, "2026-01-01", 1)
RANGE = RangePosition(ID, ID)
TOP = (1 << 16) - 1


class Game:
    """Both sides in one process, at any score length."""

    def __init__(self, private_key: PrivateKey, mask_key: MaskKey, score_bits: int = 16) -> None:
        self.private, self.key, self.score_bits = private_key, private_key.public, score_bits
        self.responder = Responder(private_key, mask_key, score_bits=score_bits)

    def initiator(self, pairs: Sequence[tuple[int, int]], seed: bytes | None = None) -> Initiator:
        comparisons = [
            Comparison(self.private.encrypt(a), self.private.encrypt(b)) for a, b in pairs
        ]
        return Initiator(self.key, comparisons, seed or new_seed(), score_bits=self.score_bits)

    def play(self, initiator: Initiator, position: RecordingPosition | RangePosition) -> list[int]:
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
    """Every pair, three to a plaintext, under many masks and coins."""
    game = Game(tiny_key, mask_key, score_bits)
    numbers = range(1 << score_bits)
    pairs = list(product(numbers, numbers)) * rounds
    pairs += pairs[: -len(pairs) % 3]
    for number in range(0, len(pairs), 3):
        three = pairs[number : number + 3]
        assert game.compare(three, number.to_bytes(32, "big")) == truth(three)


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
@given(st.tuples(*[st.integers(0, TOP)] * 5))
def test_findings_of_a_recording(game: Game, values: tuple[int, int, int, int, int]) -> None:
    score, rate, threshold, lo, hi = values
    inputs = FindingInputs(*map(game.key.encrypt, values))
    initiator = Initiator(game.key, inputs.comparisons(), new_seed())
    count, masked = initiator.first()
    tests = initiator.second(game.responder.first(FirstItem(POSITION, count, masked)))
    answer = game.responder.second(SecondItem(POSITION, count, masked, tests))
    added = contribution(initiator.bits(answer), game.key.parse(answer.mask))
    plain = game.private.decrypt(added) - game.private.decrypt(game.key.parse(answer.mask))
    expected = (score >= threshold) + ((rate < lo) + (rate > hi) << 24)
    assert plain % game.key.n == expected


def test_range_check(game: Game) -> None:
    for lo, hi in ((600, 1000), (700, 700), (1000, 600)):
        comparisons = range_check(game.key.encrypt(lo), game.key.encrypt(hi))
        assert game.play(Initiator(game.key, comparisons, new_seed()), RANGE) == [int(lo <= hi)]


def test_public_numbers_can_be_compared(game: Game) -> None:
    """The defaults are ciphertexts without noise; what is sent is fresh all the same."""
    initiator = Initiator(
        game.key, [Comparison(game.key.constant(5), game.key.constant(6))], new_seed()
    )
    assert game.play(initiator, RANGE) == [0]


def test_a_resend_is_identical(game: Game) -> None:
    inputs = [Comparison(game.key.encrypt(a), game.key.encrypt(b)) for a, b in ((1, 2), (2, 1))]
    inputs.append(inputs[0])
    seed = new_seed()
    one, two = (Initiator(game.key, inputs, seed) for _ in range(2))
    assert one.first() == two.first()
    answer = game.responder.first(FirstItem(POSITION, *one.first()))
    assert one.second(answer) == two.second(answer)
    served = game.responder.second(SecondItem(POSITION, *one.first(), one.second(answer)))
    assert list(map(int, one.bits(served))) == list(map(int, two.bits(served)))


def test_one_seed_never_serves_two_messages(game: Game) -> None:
    """Other inputs or another answer of B's change all that is drawn: mask, coin and noise."""
    seed = new_seed()
    inputs = [Comparison(game.key.encrypt(1), game.key.encrypt(2))]
    others = [Comparison(game.key.encrypt(1), inputs[0].right)]
    one, other = Initiator(game.key, inputs, seed), Initiator(game.key, others, seed)
    assert one._masks != other._masks
    first = [game.responder.first(FirstItem(RANGE, *one.first())) for _ in range(2)]
    tests = [set(one.second(answer)[0]) for answer in first]
    assert not tests[0] & tests[1]


def test_known_transcript(vectors: Callable[[str], Any]) -> None:
    """A's messages byte for byte: a resend must not change when the program is updated."""
    known = vectors("transcript")
    private = PrivateKey(*(int.from_bytes(unb64u(known[name]), "big") for name in ("p", "q")))
    key = private.public
    assert key.key_id == known["key_id"]
    inputs = {name: key.parse(bytes.fromhex(text)) for name, text in known["inputs"].items()}
    assert {n: private.decrypt(c) for n, c in inputs.items()} == known["plaintexts"]
    seed = bytes.fromhex(known["initiator_seed"])
    initiator = Initiator(key, FindingInputs(**inputs).comparisons(), seed)
    assert initiator.first() == (3, bytes.fromhex(known["masked"]))
    assert initiator._masks == known["masks"]
    tests = initiator.second(decode_first_answer(bytes.fromhex(known["first_answer"]))[0])
    assert [[cell.hex() for cell in row] for row in tests] == known["tests"]
    (answer,) = decode_second_answer(bytes.fromhex(known["second_answer"]))
    assert [private.decrypt(bit) for bit in initiator.bits(answer)] == known["bits"] == [1, 0, 1]
    mask_key = MaskKey(bytes.fromhex(known["mask_key"]))
    position = RecordingPosition(*known["position"][1:])
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


def item(game: Game, initiator: Initiator, tests: Any, masked: bytes | None = None) -> SecondItem:
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


def test_comparisons_must_fit_and_be_under_one_key(
    game: Game, key: PublicKey, other_private_key: PrivateKey
) -> None:
    one = Comparison(key.encrypt(1), key.encrypt(2))
    for comparisons in ([], [one] * 7):
        with pytest.raises(PlaintextOutOfRange):
            Initiator(key, comparisons, new_seed())
    foreign = Comparison(one.left, other_private_key.public.encrypt(1))
    with pytest.raises(ForeignKey):
        Initiator(key, [foreign], new_seed())
    with pytest.raises(ProtocolViolation, match="at least 40"):
        Initiator(key, [one], new_seed(), sigma=39)
    with pytest.raises(ValueError, match="32 bytes"):
        Initiator(key, [one], b"short")


def test_a_key_too_short_for_three_comparisons(tiny_key: PrivateKey, mask_key: MaskKey) -> None:
    responder = Responder(tiny_key, mask_key, sigma=70)
    masked = tiny_key.encrypt(1).to_wire()
    with pytest.raises(ProtocolViolation, match="fit in one plaintext"):
        responder.first(FirstItem(POSITION, 3, masked))
