"""Each message of the fast comparison with one thing wrong: refused, with the error that says so.

The cases stand in vectors/fast_refusals.json, so that another implementation can be held to them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from crypto import errors
from crypto.comparison.base_transfer import ELEMENT_BYTES
from crypto.comparison.batches import BatchName, decode_request, encode_request
from crypto.comparison.fast import FastInitiator, Item, range_digest
from crypto.comparison.parameters import MAX_ITEMS, Layout, Parameters
from crypto.comparison.session import (
    EvaluatorSession,
    GarblerSession,
    SessionOpener,
    accept_session,
)
from crypto.encoding import unb64u
from crypto.errors import (
    ForeignKey,
    InvalidEncoding,
    MaskForgotten,
    PlaintextOutOfRange,
    ProtocolViolation,
    StaleCiphertext,
    TransferCheckFailed,
)
from crypto.keyholder.fast import FastResponder
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import Ciphertext
from crypto.random import RandomSource
from tests.crypto.fast_pair import FastPair, proposed, recording, session_pair

CASES = json.loads((Path(__file__).parent / "vectors" / "fast_refusals.json").read_text())


def named(kind: str) -> Any:
    return pytest.mark.parametrize("case", CASES[kind], ids=lambda case: case["name"])


@pytest.fixture(scope="module")
def known(vectors: Callable[[str], Any]) -> Any:
    return vectors("fast_comparison")


@pytest.fixture(scope="module")
def private(known: Any, _small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey(*(int.from_bytes(unb64u(known["batches"][name]), "big") for name in "pq"))


@pytest.fixture(scope="module")
def evaluator(known: Any) -> EvaluatorSession:
    pairs = [(bytes.fromhex(a), bytes.fromhex(b)) for a, b in known["session"]["pairs"]]
    return EvaluatorSession(known["session"]["session"], tuple(pairs))


@pytest.fixture(scope="module")
def garbler(known: Any) -> GarblerSession:
    opened = known["session"]
    seeds = tuple(map(bytes.fromhex, opened["chosen"]))
    return GarblerSession(opened["session"], bytes.fromhex(opened["offset"]), seeds)


@pytest.fixture(scope="module")
def responder(known: Any, private: PrivateKey) -> FastResponder:
    return FastResponder(private, MaskKey(bytes.fromhex(known["batches"]["mask_key"])))


def changed(message: bytes, case: dict[str, Any], known: Any = None) -> bytes:
    """The message with the case's change."""
    if "raw" in case:
        raw = case["raw"]
        return bytes.fromhex(raw if isinstance(raw, str) else answer_of(known, raw["answer_of"]))
    if "keep" in case:
        return message[: case["keep"]]
    if "append" in case:
        return message + bytes.fromhex(case["append"])
    fields = msgpack.unpackb(message)
    if "remove" in case:
        del fields[case["remove"]]
    elif "flip" in case:
        name, bit = case["flip"]
        turned = bytearray(fields[name])
        turned[bit // 8] ^= 1 << bit % 8
        fields[name] = bytes(turned)
    elif "add" in case:
        name, element, times = case["add"]
        fields[name] += [as_value(element, fields)] * times
    else:
        path, value = case["set"]
        target = fields
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = as_value(value, fields)
    packed: bytes = msgpack.packb(fields)
    return packed


def answer_of(known: Any, kind: str) -> str:
    text: str = known["batches"][kind]["answer"]
    return text


def as_value(value: Any, fields: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [as_value(each, fields) for each in value]
    if isinstance(value, dict):
        if "flipped" in value:
            return bytes(byte ^ 255 for byte in fields[value["flipped"]])
        return bytes.fromhex(value["hex"])
    return value


@named("requests")
def test_b_refuses(
    known: Any, garbler: GarblerSession, responder: FastResponder, case: dict[str, Any]
) -> None:
    message = bytes.fromhex(known["batches"][case["of"]]["request"])
    responder.answer(garbler, decode_request(message))
    with pytest.raises(errors.CryptoError) as raised:
        responder.answer(garbler, decode_request(changed(message, case)))
    assert type(raised.value).__name__ == case["error"]


@named("answers")
def test_a_refuses(
    known: Any, private: PrivateKey, evaluator: EvaluatorSession, case: dict[str, Any]
) -> None:
    batch = known["batches"][case["of"]]
    request, answer = (bytes.fromhex(batch[name]) for name in ("request", "answer"))
    initiator = FastInitiator(private.public, evaluator)
    with pytest.raises(errors.CryptoError) as raised:
        initiator.finish(request, changed(answer, case, known))
    assert type(raised.value).__name__ == case["error"]


@named("session_requests")
def test_b_refuses_to_open(known: Any, case: dict[str, Any]) -> None:
    message = bytes.fromhex(known["session"]["request"])
    with pytest.raises(errors.CryptoError) as raised:
        accept_session(changed(message, case))
    assert type(raised.value).__name__ == case["error"]


@pytest.fixture(scope="module")
def opening() -> tuple[SessionOpener, bytes]:
    opener = SessionOpener()
    return opener, accept_session(opener.request())[1]


@named("session_answers")
def test_a_refuses_to_open(opening: tuple[SessionOpener, bytes], case: dict[str, Any]) -> None:
    opener, answer = opening
    at = case["at"] * ELEMENT_BYTES
    wrong = answer[:at] + bytes.fromhex(case["element"]) + answer[at + ELEMENT_BYTES :]
    with pytest.raises(InvalidEncoding):
        opener.session(wrong)


@pytest.mark.parametrize("answer", [b"", bytes(ELEMENT_BYTES), bytes(257 * ELEMENT_BYTES)])
def test_a_refuses_another_number_of_elements(
    opening: tuple[SessionOpener, bytes], answer: bytes
) -> None:
    with pytest.raises(InvalidEncoding, match="two elements a transfer"):
        opening[0].session(answer)


@pytest.mark.parametrize("change", [-1, 1])
def test_stored_sessions_have_one_length(
    evaluator: EvaluatorSession, garbler: GarblerSession, change: int
) -> None:
    for session in (evaluator, garbler):
        data = session.to_bytes()
        wrong = data[:change] if change < 0 else data + bytes(change)
        with pytest.raises(InvalidEncoding):
            type(session).from_bytes(session.session, wrong)
        with pytest.raises(InvalidEncoding):
            type(session).from_bytes("short", data)


@pytest.fixture(scope="module")
def game(private_key: PrivateKey, mask_key: MaskKey) -> FastPair:
    return FastPair(private_key, mask_key)


def test_a_stale_ciphertext_is_not_sent(game: FastPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request's ciphertexts are sums, which only a new blinding factor makes fresh."""

    def unchanged(ciphertext: Ciphertext, random: RandomSource) -> Ciphertext:
        return ciphertext

    monkeypatch.setattr(Ciphertext, "rerandomised", unchanged)
    triple = ((1, 2), (1, 2), (1, 2))
    for item in (
        Item(recording(1), game.difference(triple)),
        Item(proposed(1), game.bounds(1, 2, 3)),
    ):
        with pytest.raises(StaleCiphertext):
            game.initiator.request(1, [item])


def test_b_sends_no_stale_ciphertext(game: FastPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """B's totals are encryptions with noise of their own."""
    request = game.initiator.request(1, game.items([((1, 2), (1, 2), (1, 2))]))
    key = game.private.public

    def without_noise(private: PrivateKey, m: int) -> Ciphertext:
        return key.constant(m)

    monkeypatch.setattr(PrivateKey, "encrypt", without_noise)
    with pytest.raises(StaleCiphertext):
        game.responder.answer(game.garbler, decode_request(request))


def test_a_compares_nothing_under_another_key(
    game: FastPair, other_private_key: PrivateKey
) -> None:
    """Ciphertexts under a foreign key cannot be packed with those under B's."""
    foreign = other_private_key.public.encrypt(1)
    ours = game.difference(((1, 2), (1, 2), (1, 2)))
    for items in (
        [Item(recording(1), foreign)],
        [Item(recording(1), ours), Item(recording(2), foreign)],
        [Item(proposed(1), foreign)],
    ):
        with pytest.raises(ForeignKey):
            game.initiator.request(1, items)


def test_a_finishes_only_what_it_asked(game: FastPair, other_private_key: PrivateKey) -> None:
    """A request under another key or in another session would open to anything at all."""
    request = game.initiator.request(1, game.items([((1, 2), (1, 2), (1, 2))]))
    answer = game.responder.answer(game.garbler, decode_request(request)).answer
    with pytest.raises(ForeignKey):
        FastInitiator(other_private_key.public, game.evaluator).finish(request, answer)
    evaluator, _ = session_pair(session="0" * 32)
    with pytest.raises(ProtocolViolation, match="another session"):
        FastInitiator(game.key, evaluator).finish(request, answer)


@pytest.mark.parametrize("position", [recording, proposed])
def test_more_than_a_batch_has(game: FastPair, position: Callable[[int], Any]) -> None:
    items = [Item(position(i), game.bounds(1, 2, 3)) for i in range(MAX_ITEMS + 1)]
    with pytest.raises(PlaintextOutOfRange, match="at most 256"):
        game.initiator.request(1, items)
    void = [Item(position(i), None) for i in range(MAX_ITEMS + 1)]
    with pytest.raises(errors.CryptoError):
        game.responder.answer(game.garbler, decode_request(game.initiator.request(1, void)))


def test_an_empty_batch_is_no_batch(game: FastPair) -> None:
    with pytest.raises(InvalidEncoding, match="at least one"):
        game.responder.answer(game.garbler, decode_request(game.initiator.request(1, [])))


def test_a_batch_of_void_ones_adds_its_masks(game: FastPair) -> None:
    items = [Item(recording(1), None), Item(proposed(1), None), Item(recording(2), None)]
    results, served = game.play(items)
    assert [game.opened(results[i]) for i in (0, 2)] == [(0, 0), (0, 0)]
    assert served.digests == {}


def test_a_batch_number_has_32_bits(game: FastPair) -> None:
    for number in (-1, 1 << 32):
        with pytest.raises(InvalidEncoding):
            game.initiator.request(number, [Item(recording(1), None)])
        with pytest.raises(InvalidEncoding):
            BatchName("0" * 32, number)


def test_masks_need_enough_bits() -> None:
    with pytest.raises(ProtocolViolation, match="at least 40"):
        Parameters(sigma=39)
    with pytest.raises(ProtocolViolation, match="at most 256 bits"):
        Parameters(sigma=237)
    assert Parameters(sigma=236).range_width == 256
    with pytest.raises(PlaintextOutOfRange):
        _ = Layout(Parameters(24), 256, 1, 0).per_plaintext


@pytest.mark.parametrize("number", [0, 1, (1 << 49) - 1])
def test_a_mask_forgotten(game: FastPair, number: int) -> None:
    """All slots of a number that A sends are as small as an unmasked one: B says so."""
    triple = ((1, 2), (1, 2), (1, 2))
    slots = sum(number << (game.zone * z) for z in range(3))
    for item in (
        Item(recording(1), game.difference(triple)),
        Item(proposed(1), game.bounds(1, 2, 3)),
    ):
        asked = decode_request(game.initiator.request(1, [item]))
        unmasked = (game.key.encrypt(slots).to_wire(),)
        with pytest.raises(MaskForgotten):
            game.responder.answer(game.garbler, replaced(asked, masked=unmasked))
        one_masked = (game.key.encrypt(slots | 1 << 49).to_wire(),)
        game.responder.answer(game.garbler, replaced(asked, masked=one_masked))


def replaced(request: Any, **fields: Any) -> Any:
    return decode_request(encode_request(type(request)(**(vars(request) | fields))))


def test_a_failed_check_serves_nothing(
    game: FastPair, private_key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decrypted before the columns are known to agree."""
    asked = decode_request(game.initiator.request(1, game.items([((1, 2),) * 3])))
    turned = bytes([asked.columns[0] ^ 1]) + asked.columns[1:]
    monkeypatch.setattr(PrivateKey, "decrypt", None)
    with pytest.raises(TransferCheckFailed):
        game.responder.answer(game.garbler, replaced(asked, columns=turned))


def test_only_ranges_have_digests() -> None:
    with pytest.raises(ProtocolViolation):
        range_digest("0" * 64, recording(1), np.zeros((4, 2), np.uint64))
