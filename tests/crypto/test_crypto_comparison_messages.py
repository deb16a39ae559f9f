"""Comparison messages against vectors/comparison_messages.json, and fuzzed."""

import contextlib
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.comparison import messages
from crypto.comparison.messages import (
    FirstAnswerItem,
    FirstItem,
    RangePosition,
    RecordingPosition,
    SecondAnswerItem,
    SecondItem,
)
from crypto.errors import InvalidEncoding

KNOWN = json.loads((Path(__file__).parent / "vectors" / "comparison_messages.json").read_text())
STEPS = ["first_request", "first_answer", "second_request", "second_answer"]
KEY_ID = "ab" * 32
ID = "0123456789abcdef" * 2


def encode(step: str, decoded: Any) -> bytes:
    arguments = decoded if isinstance(decoded, tuple) else (decoded,)
    data: bytes = getattr(messages, f"encode_{step}")(*arguments)
    return data


def decode(step: str, data: Any) -> Any:
    return getattr(messages, f"decode_{step}")(data)


def with_bytes(value: Any) -> Any:
    """JSON with {"bin": hex} back to what msgpack holds."""
    if isinstance(value, dict):
        if set(value) == {"bin"}:
            return bytes.fromhex(value["bin"])
        return {name: with_bytes(inner) for name, inner in value.items()}
    return [with_bytes(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("vector", KNOWN["valid"], ids=lambda v: v["message"])
def test_known_messages(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert msgpack.unpackb(data) == with_bytes(vector["value"])
    assert encode(vector["message"], decode(vector["message"], data)) == data


@pytest.mark.parametrize(
    "vector", KNOWN["invalid"], ids=lambda v: f"{v['message']}: {v['why']}".replace("_", " ")
)
def test_known_bad_messages(vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidEncoding):
        decode(vector["message"], bytes.fromhex(vector["hex"]))


def test_what_the_known_messages_say() -> None:
    first, second = (bytes.fromhex(KNOWN["valid"][i]["hex"]) for i in (2, 3))
    _, (given_up_not, given_up) = decode("second_request", first)
    assert isinstance(given_up_not.position, RecordingPosition)
    assert isinstance(given_up.position, RangePosition)
    assert given_up.tests == ()
    served, void = decode("second_answer", second)
    assert (served.void, void.void) == (False, True)


IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
DAYS = st.dates().map(str)
CIPHERTEXTS = st.binary(min_size=1, max_size=8)
ROW = st.lists(CIPHERTEXTS, min_size=1, max_size=4).map(tuple)
ROWS = st.lists(ROW, min_size=1, max_size=3).map(tuple)
POSITIONS = st.builds(
    RecordingPosition, IDS, DAYS, st.integers(min_value=1, max_value=(1 << 24) - 1)
) | st.builds(RangePosition, IDS, IDS)
COUNTS = st.integers(min_value=1, max_value=64)
FIRST = st.builds(FirstItem, POSITIONS, COUNTS, CIPHERTEXTS)
SECOND = st.builds(SecondItem, POSITIONS, COUNTS, CIPHERTEXTS, ROWS | st.just(()))
ANSWERS = st.builds(SecondAnswerItem, ROW | st.none(), CIPHERTEXTS)


@given(st.lists(FIRST, min_size=1, max_size=3), st.lists(SECOND, min_size=1, max_size=3))
def test_requests_come_back(first: list[FirstItem], second: list[SecondItem]) -> None:
    for step, items in (("first_request", first), ("second_request", second)):
        assert decode(step, encode(step, (KEY_ID, items))) == (KEY_ID, items)


@given(
    st.lists(st.builds(FirstAnswerItem, ROWS), min_size=1, max_size=3),
    st.lists(ANSWERS, min_size=1, max_size=3),
)
def test_answers_come_back(first: list[FirstAnswerItem], second: list[SecondAnswerItem]) -> None:
    assert decode("first_answer", encode("first_answer", first)) == first
    assert decode("second_answer", encode("second_answer", second)) == second


@given(st.binary(max_size=200))
def test_garbage_never_crashes(data: bytes) -> None:
    for step in STEPS:
        with pytest.raises(InvalidEncoding):
            decode(step, data)


@given(st.sampled_from(KNOWN["valid"]), st.integers(0, 10**6), st.binary(max_size=6))
def test_spliced_messages_never_crash(vector: dict[str, Any], at: int, splice: bytes) -> None:
    data = bytes.fromhex(vector["hex"])
    at %= len(data)
    for altered in (data[:at] + splice + data[at:], data[:at] + splice + data[at + len(splice) :]):
        with contextlib.suppress(InvalidEncoding):
            decode(vector["message"], altered)


PACKABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.binary(max_size=8)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["items", "bits", "mask", "void"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PACKABLE)
def test_any_structure_never_crashes(value: Any) -> None:
    for step in STEPS:
        for message in (value, {"items": value}, {"v": 1, "key_id": bytes(32), "items": [value]}):
            with contextlib.suppress(InvalidEncoding, UnicodeEncodeError):
                decode(step, msgpack.packb(message))


def test_messages_beyond_the_limit_are_refused_unread() -> None:
    with pytest.raises(InvalidEncoding, match="at most"):
        decode("first_request", bytes(messages.MAX_MESSAGE_BYTES + 1))
    with pytest.raises(InvalidEncoding):
        decode("first_request", "text")


def test_a_wrong_key_id_is_not_sent() -> None:
    with pytest.raises(InvalidEncoding):
        encode("first_request", ("ab", [FirstItem(RangePosition(ID, ID), 1, b"x")]))
