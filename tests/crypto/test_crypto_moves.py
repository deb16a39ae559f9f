"""Moving ciphertexts to another key: what A sends, what B sees, what A keeps."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.encoding import sha256_hex, unb64u
from crypto.errors import CiphertextOutOfRange, CryptoError, InvalidEncoding
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.moves import answer_move
from crypto.keyholder.private_key import PrivateKey
from crypto.moves import (
    MAX_MOVED,
    TALLY,
    ZONED,
    Form,
    MovedTally,
    MoveRequest,
    decode_move,
    decode_moved,
    encode_move,
    masked,
    unmasked,
)
from crypto.paillier import Ciphertext
from crypto.random import KERNEL, SeededRandom
from crypto.slots import SIGMA, pack_range, pack_report, rate_count_offset
from tests.crypto.views import assert_unbiased, shape

PATIENT, DAY = "0" * 32, "2026-03-01"
MASKS = MaskKey(bytes(range(32)))
MOST = (1 << 24) - 1


@pytest.fixture(scope="module")
def keys() -> list[PrivateKey]:
    return [PrivateKey.generate(bits) for bits in (512, 512, 384, 768)]


def tally(source: PrivateKey, sound: int, rate: int, number: int = 3) -> Ciphertext:
    public = source.public
    mask = MASKS.total(public, PATIENT, DAY, number)
    packed = sound + (rate << rate_count_offset(public.bits)) + mask
    return public.encrypt(packed % public.n)


def request_of(source: PrivateKey, target: PrivateKey, sent: Ciphertext, number: int = 3) -> bytes:
    moved = MovedTally(PATIENT, DAY, number, sent.to_wire())
    return encode_move(MoveRequest(source.public.key_id, target.public.key_id, (moved,)))


def answered(source: PrivateKey, target: PrivateKey, body: bytes) -> bytes:
    return answer_move(source, target, MASKS, decode_move(body), sha256_hex(body))


def move_tally(
    source: PrivateKey, target: PrivateKey, held: Ciphertext, masks: list[int], number: int = 3
) -> Ciphertext:
    body = request_of(source, target, masked(TALLY, held, masks, KERNEL), number)
    answer = decode_moved(answered(source, target, body), decode_move(body), target.public)
    return unmasked(TALLY, answer[0], masks)


def counts(target: PrivateKey, held: Ciphertext, number: int = 3) -> int:
    mask = MASKS.total(target.public, PATIENT, DAY, number)
    return (target.decrypt(held) - mask) % target.public.n


@settings(max_examples=60, deadline=None)
@given(
    sound=st.integers(0, MOST),
    rate=st.integers(0, MOST),
    pair=st.permutations(range(4)),
    seed=st.binary(min_size=32, max_size=32),
)
def test_counts_survive_a_move_between_keys_of_any_sizes(
    keys: list[PrivateKey], sound: int, rate: int, pair: list[int], seed: bytes
) -> None:
    source, target = keys[pair[0]], keys[pair[1]]
    masks = TALLY.draw(SeededRandom(seed, b"masks"))
    moved = move_tally(source, target, tally(source, sound, rate), masks)
    assert counts(target, moved) == sound + (rate << rate_count_offset(target.public.bits))


@pytest.mark.parametrize("value", [0, MOST])
@pytest.mark.parametrize("mask", [0, (1 << 89) - 1])
@pytest.mark.parametrize("pair", [(0, 2), (2, 0), (2, 3)])
def test_nothing_wraps_at_the_edges(
    keys: list[PrivateKey], value: int, mask: int, pair: tuple[int, int]
) -> None:
    source, target = keys[pair[0]], keys[pair[1]]
    moved = move_tally(source, target, tally(source, value, value), [mask, mask])
    assert counts(target, moved) == value + (value << rate_count_offset(target.public.bits))


def test_a_moved_tally_goes_on_under_the_other_key(keys: list[PrivateKey]) -> None:
    source, target = keys[:2]
    moved = move_tally(source, target, tally(source, 2, 1), TALLY.draw(KERNEL))
    public = target.public
    step = (MASKS.total(public, PATIENT, DAY, 4) - MASKS.total(public, PATIENT, DAY, 3)) % public.n
    following = moved.add(public.encrypt((step + 1) % public.n))
    assert counts(target, following, 4) == 3 + (1 << rate_count_offset(public.bits))


@pytest.mark.parametrize("pair", [(0, 1), (0, 3), (3, 2)])
def test_reports_and_ranges_survive(keys: list[PrivateKey], pair: tuple[int, int]) -> None:
    source, target = keys[pair[0]], keys[pair[1]]
    kinds = [
        (pack_report, (65_535, 65_535)),
        (pack_report, (0, 700)),
        (pack_range, (32_768, 0, 65_534)),
    ]
    masks = [ZONED.draw(KERNEL) for _ in kinds]
    parts = [
        masked(ZONED, source.public.encrypt(kind(source.public.bits, *numbers)), mask, KERNEL)
        for (kind, numbers), mask in zip(kinds, masks, strict=True)
    ]
    request = MoveRequest(
        source.public.key_id, target.public.key_id, zoned=tuple(one.to_wire() for one in parts)
    )
    answer = decode_moved(answered(source, target, encode_move(request)), request, target.public)
    for (kind, numbers), moved, mask in zip(kinds, answer, masks, strict=True):
        held = unmasked(ZONED, moved, mask)
        assert target.decrypt(held) == kind(target.public.bits, *numbers)


def test_the_same_request_gets_the_same_bytes_and_another_one_other_noise(
    keys: list[PrivateKey],
) -> None:
    source, target = keys[:2]
    sent = masked(TALLY, tally(source, 1, 1), [5, 5], KERNEL)
    body = request_of(source, target, sent)
    assert answered(source, target, body) == answered(source, target, body)
    other = request_of(source, target, sent.rerandomised())
    assert answered(source, target, body) != answered(source, target, other)


# What B sees


@pytest.mark.parametrize("form", [TALLY, ZONED])
def test_masks_have_the_headroom_that_hides(form: Form) -> None:
    """The distance of a + r from b + r is |a - b| / 2^k: below 2^-(sigma + 1)."""
    most = (1 << form.value_bits) - 1
    assert Fraction(most, 1 << form.mask_bits) < Fraction(1, 1 << (SIGMA + 1))


def test_the_distance_is_as_claimed_by_enumeration() -> None:
    """At a width that can be counted: 2 bits under 6, each pair of values."""
    width = 1 << 6
    for a in range(4):
        for b in range(4):
            sees_a = [sum(a + r == d for r in range(width)) for d in range(width + 4)]
            sees_b = [sum(b + r == d for r in range(width)) for d in range(width + 4)]
            distance = Fraction(
                sum(abs(x - y) for x, y in zip(sees_a, sees_b, strict=True)), 2 * width
            )
            assert distance == Fraction(abs(a - b), width)


def test_what_b_decrypts_is_unbiased(keys: list[PrivateKey]) -> None:
    """A tally whose counts are all ones: every bit of what B is left with is a coin."""
    source = keys[0]
    held = tally(source, MOST, MOST)
    mask = MASKS.total(source.public, PATIENT, DAY, 3)
    random = SeededRandom(bytes(32), b"what B decrypts")
    seen = []
    for _ in range(60):
        sent = masked(TALLY, held, TALLY.draw(random), KERNEL)
        numbers = TALLY.split((source.decrypt(sent) - mask) % source.public.n, source.public.bits)
        seen += [number >> bit & 1 for number in numbers for bit in range(TALLY.mask_bits - 3)]
    assert_unbiased(seen)


def test_what_travels_is_fresh_and_as_long_whatever_it_holds(keys: list[PrivateKey]) -> None:
    source, target = keys[:2]
    bodies = [
        request_of(source, target, masked(TALLY, tally(source, *of), [0, 0], KERNEL))
        for of in ((0, 0), (MOST, MOST))
    ]
    assert shape(bodies[0]) == shape(bodies[1])
    answers = [answered(source, target, body) for body in bodies]
    assert shape(answers[0]) == shape(answers[1])


# Hostile ones


@pytest.mark.parametrize("sound", [-1, 1 << 90, 1 << 300])
def test_b_answers_alike_whatever_it_decrypts(keys: list[PrivateKey], sound: int) -> None:
    """Were it refused, the refusal would say something about the counts beneath."""
    source, target = keys[:2]
    crafted = tally(source, 2, 1).add_constant(sound).rerandomised()
    honest = masked(TALLY, tally(source, 2, 1), TALLY.draw(KERNEL), KERNEL)
    answers = [
        answered(source, target, request_of(source, target, sent)) for sent in (crafted, honest)
    ]
    assert shape(answers[0]) == shape(answers[1])


def test_another_number_than_the_tally_holds_leaves_noise(keys: list[PrivateKey]) -> None:
    source, target = keys[:2]
    moved = move_tally(source, target, tally(source, 2, 1, number=3), [0, 0], number=2)
    assert counts(target, moved, 2) > 1 << 60


def test_a_ciphertext_that_is_none_is_refused(keys: list[PrivateKey]) -> None:
    source, target = keys[:2]
    key_ids = source.public.key_id, target.public.key_id
    zero = bytes(source.public.ciphertext_bytes)
    with pytest.raises(CiphertextOutOfRange):
        answered(source, target, encode_move(MoveRequest(*key_ids, zoned=(zero,))))
    with pytest.raises(InvalidEncoding):
        answered(source, target, encode_move(MoveRequest(*key_ids, zoned=(zero + b"x",))))


KEYS = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    "request_",
    [
        MoveRequest(*KEYS),
        MoveRequest(*KEYS, zoned=(b"c",) * (MAX_MOVED + 1)),
        MoveRequest(*KEYS, (MovedTally(PATIENT, DAY, 1, b"c"),) * 2),
        MoveRequest("a" * 64, "a" * 64, zoned=(b"c",)),
        MoveRequest(*KEYS, (MovedTally(PATIENT, DAY, 0, b"c"),)),
        MoveRequest(*KEYS, (MovedTally(PATIENT, DAY, 1 << 24, b"c"),)),
        MoveRequest(*KEYS, (MovedTally(PATIENT, "2026-02-30", 1, b"c"),)),
        MoveRequest(*KEYS, (MovedTally("x", DAY, 1, b"c"),)),
        MoveRequest(*KEYS, zoned=(b"",)),
    ],
    ids=["none", "many", "twice", "keys", "zero", "number", "day", "pseudonym", "empty"],
)
def test_requests_that_are_none(request_: MoveRequest) -> None:
    with pytest.raises(InvalidEncoding):
        decode_move(encode_move(request_))


def test_an_answer_to_another_request_is_refused(keys: list[PrivateKey]) -> None:
    source, target = keys[:2]
    body = request_of(source, target, tally(source, 0, 0))
    answer = answered(source, target, body)
    two = MoveRequest(*KEYS, zoned=(b"c",))
    with pytest.raises(InvalidEncoding):
        decode_moved(answer, two, target.public)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(CryptoError):
        decode_move(data)


def test_known_answers(vectors: Callable[[str], Any]) -> None:
    """A request, its masks and its answer between two fixed keys."""
    known = vectors("moves")
    source, target = (PrivateKey(int(p, 16), int(q, 16)) for p, q in known["primes"])
    body, answer = unb64u(known["request"]), unb64u(known["answer"])
    request = decode_move(body)
    assert encode_move(request) == body
    assert answer_move(source, target, MASKS, request, sha256_hex(body)) == answer
    moved, report = decode_moved(answer, request, target.public)
    moved = unmasked(TALLY, moved, [int(mask, 16) for mask in known["tally_masks"]])
    report = unmasked(ZONED, report, [int(mask, 16) for mask in known["zone_masks"]])
    number = request.tallies[0].number
    offset = rate_count_offset(target.public.bits)
    assert counts(target, moved, number) == known["sound"] + (known["rate"] << offset)
    packed = pack_report(target.public.bits, known["score"], known["heart_rate"])
    assert target.decrypt(report) == packed
