"""Whatever arrives ends in a result or in a typed error, soon and without much memory."""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto.comparison.base_transfer import ELEMENT_BYTES
from crypto.comparison.batches import (
    MAX_MESSAGE_BYTES,
    BatchAnswer,
    BatchRequest,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from crypto.comparison.fast import Item
from crypto.comparison.session import accept_session
from crypto.errors import CryptoError, InvalidEncoding
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from tests.crypto.fast_pair import FastPair, proposed, recording

DECODERS: list[Callable[[bytes], Any]] = [decode_request, decode_answer, accept_session]
FEW = settings(
    max_examples=150, deadline=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=400)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=64)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def game(private_key: PrivateKey, mask_key: MaskKey) -> FastPair:
    return FastPair(private_key, mask_key)


@pytest.fixture(scope="module")
def played(game: FastPair) -> tuple[bytes, bytes]:
    """An honest request and its answer, of two recordings, a void one and a range check."""
    triple = ((5, 6), (7, 8), (9, 9))
    items = [*game.items([triple, triple]), Item(recording(9), None)]
    items.append(Item(proposed(1), game.bounds(1, 2, 3)))
    request = game.initiator.request(1, items)
    return request, game.responder.answer(game.garbler, decode_request(request)).answer


def tried(step: Callable[[], Any]) -> Any:
    """The step's result, or None if it refused; any other exception is a failure."""
    with suppress(CryptoError):
        return step()
    return None


@pytest.mark.parametrize("decode", DECODERS)
@MANY
@given(data=st.binary(max_size=300))
def test_any_bytes(decode: Callable[[bytes], Any], data: bytes) -> None:
    assert tried(lambda: decode(data)) is None


@pytest.mark.parametrize("decode", DECODERS)
@MANY
@given(value=VALUES)
def test_any_msgpack(decode: Callable[[bytes], Any], value: Any) -> None:
    assert tried(lambda: decode(msgpack.packb(value))) is None


@pytest.mark.parametrize("wrong", [None, 7, "text", [b""], {}])
def test_what_is_no_bytes(wrong: Any) -> None:
    for decode in (decode_request, decode_answer):
        with pytest.raises(InvalidEncoding):
            decode(wrong)


NAMES = {
    "request": [
        "v",
        "session",
        "batch",
        "key_id",
        "positions",
        "void",
        "masked",
        "columns",
        "check",
        "settled",
    ],
    "answer": ["v", "totals", "tables", "corrections"],
}


@pytest.mark.parametrize("kind", ["request", "answer"])
@FEW
@given(data=st.data())
def test_any_value_in_any_field(
    game: FastPair, played: tuple[bytes, bytes], kind: str, data: st.DataObject
) -> None:
    """Shaped like the message, so that all checks behind the first ones are reached."""
    fields = msgpack.unpackb(played[kind == "answer"])
    name = data.draw(st.sampled_from(NAMES[kind]))
    value = fields[name]
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        if isinstance(value[place], list) and data.draw(st.booleans()):
            inner = data.draw(st.integers(0, len(value[place]) - 1))
            value[place][inner] = data.draw(SCALARS)
        else:
            value[place] = data.draw(VALUES)
    else:
        fields[name] = data.draw(VALUES)
    play(game, played, kind, msgpack.packb(fields))


@pytest.mark.parametrize("kind", ["request", "answer"])
@FEW
@given(data=st.data())
def test_any_bytes_turned(
    game: FastPair, played: tuple[bytes, bytes], kind: str, data: st.DataObject
) -> None:
    message = bytearray(played[kind == "answer"])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1) | st.integers(0, 300))
        message[min(place, len(message) - 1)] = data.draw(st.integers(0, 255))
    play(game, played, kind, bytes(message))


@pytest.mark.parametrize("kind", ["request", "answer"])
@FEW
@given(data=st.data())
def test_any_length_of_any_part(
    game: FastPair, played: tuple[bytes, bytes], kind: str, data: st.DataObject
) -> None:
    fields = msgpack.unpackb(played[kind == "answer"])
    name = data.draw(st.sampled_from(NAMES[kind]))
    value = fields[name]
    if isinstance(value, bytes | list):
        fields[name] = (value * 2)[: data.draw(st.integers(0, 2 * len(value)))]
    play(game, played, kind, msgpack.packb(fields))


def play(game: FastPair, played: tuple[bytes, bytes], kind: str, message: bytes) -> None:
    if kind == "request":
        request = tried(lambda: decode_request(message))
        if request is not None:
            assert isinstance(request, BatchRequest)
            assert decode_request(encode_request(request)) == request
            tried(lambda: game.responder.answer(game.garbler, request))
    else:
        answer = tried(lambda: decode_answer(message))
        if answer is not None:
            assert isinstance(answer, BatchAnswer)
            assert decode_answer(encode_answer(answer)) == answer
            tried(lambda: game.initiator.finish(played[0], message))


@FEW
@given(plaintexts=st.lists(st.integers(0, (1 << 511) - 1), min_size=2, max_size=2))
def test_any_plaintext_is_garbled(
    game: FastPair, played: tuple[bytes, bytes], plaintexts: list[int]
) -> None:
    """A may encrypt what it likes: B answers or refuses; no random number is a valid range."""
    request = decode_request(played[0])
    cells = tuple(game.key.encrypt(number % game.key.n).to_wire() for number in plaintexts)
    hostile = BatchRequest(**(vars(request) | {"masked": cells}))
    served = tried(lambda: game.responder.answer(game.garbler, hostile))
    if served is not None:
        results = game.initiator.finish(encode_request(hostile), served.answer)
        assert served.digests[proposed(1)] != getattr(results[-1], "digest")  # noqa: B009


@settings(max_examples=20, deadline=None)
@given(element=st.binary(min_size=ELEMENT_BYTES, max_size=ELEMENT_BYTES))
def test_any_element(element: bytes) -> None:
    """Half of all numbers are squares, for which B opens a session."""
    opened = tried(
        lambda: accept_session(msgpack.packb({"session": bytes(16), "element": element}))
    )
    assert opened is None or len(opened[1]) == 256 * ELEMENT_BYTES


CLAIMS = {
    "2^32 - 1 elements": "dd ffffffff",
    "2^31 - 1 elements": "dd 7fffffff",
    "2^32 - 1 names": "df ffffffff",
    "4 GiB": "c6 ffffffff",
    "16 MiB and a byte": "c6 01000001",
    "4 GiB of text": "db ffffffff",
    "4 GiB of an extension": "c9 ffffffff 01",
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("around", ["", "8aa176", "8aa17602a9706f736974696f6e73", "91" * 30])
def test_claims_allocate_nothing(decode: Callable[[bytes], Any], around: str, claim: str) -> None:
    message = bytes.fromhex(around + claim)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidEncoding):
            decode(message)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("decode", DECODERS)
def test_nesting_ends(decode: Callable[[bytes], Any]) -> None:
    for depth in (100, 2_000, 100_000):
        with pytest.raises(InvalidEncoding):
            decode(b"\x91" * depth + b"\xc0")


def test_messages_beyond_any_honest_one() -> None:
    for decode in (decode_request, decode_answer):
        with pytest.raises(InvalidEncoding, match="at most"):
            decode(bytes(MAX_MESSAGE_BYTES + 1))


def test_the_largest_honest_messages_are_read(game: FastPair) -> None:
    """256 recordings, and 256 range checks, whose tables are the most of all."""
    for position in (recording, proposed):
        items = [Item(position(i), game.bounds(1, 2, 3)) for i in range(256)]
        request = game.initiator.request(1, items)
        answer = game.responder.answer(game.garbler, decode_request(request)).answer
        assert len(game.initiator.finish(request, answer)) == 256
        assert max(len(request), len(answer)) < MAX_MESSAGE_BYTES
