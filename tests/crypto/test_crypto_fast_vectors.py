"""Known answers of the fast comparison, which another implementation can be held to.

The engine makes them again, and so does `by_hand`, which shares no code with it.
"""

import hashlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from crypto.comparison import base_transfer, ot_extension
from crypto.comparison.base_transfer import TransferSender, choose
from crypto.comparison.batches import decode_answer, decode_request, encode_answer, encode_request
from crypto.comparison.blocks import blocks_from_bytes
from crypto.comparison.fast import Checked, Counted, FastInitiator, Item
from crypto.comparison.ot_extension import ExtensionReceiver, ExtensionSender
from crypto.comparison.positions import read_position
from crypto.comparison.session import (
    EvaluatorSession,
    GarblerSession,
    SessionOpener,
    accept_session,
)
from crypto.encoding import unb64u
from crypto.keyholder.fast import FastResponder
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.slots import pack_range, pack_report, rate_count_offset
from tests.crypto import by_hand
from tests.crypto.by_hand_batch import Session, range_digest, replay_ranges, replay_recordings
from tests.crypto.fast_pair import ScriptedMasks
from tests.crypto.make_fast_vectors import (
    ScriptedDraws,
    ScriptedMaskOfCheck,
    exponent,
    mask_of,
    packed_bounds,
    secret,
)
from tests.crypto.views import number

KINDS = ["recordings", "ranges"]


@pytest.fixture(scope="module")
def known(vectors: Callable[[str], Any]) -> Any:
    return vectors("fast_comparison")


@pytest.fixture(scope="module")
def session(known: Any) -> Session:
    return Session.of(known["session"])


@pytest.fixture(scope="module")
def private(known: Any, _small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey(*(int.from_bytes(unb64u(known["batches"][name]), "big") for name in "pq"))


@pytest.fixture(scope="module")
def evaluator(session: Session) -> EvaluatorSession:
    return EvaluatorSession(session.name.hex(), tuple(session.pairs))


@pytest.fixture(scope="module")
def garbler(session: Session) -> GarblerSession:
    offset = session.offset.to_bytes(16, "little")
    return GarblerSession(session.name.hex(), offset, tuple(session.seeds))


@pytest.fixture(scope="module")
def responder(known: Any, private: PrivateKey) -> FastResponder:
    return FastResponder(private, MaskKey(bytes.fromhex(known["batches"]["mask_key"])))


# The session.


def test_session_transcript(known: Any) -> None:
    """The engine makes the same messages of the same draws."""
    opened = known["session"]
    name, offset = bytes.fromhex(opened["session"]), bytes.fromhex(opened["offset"])
    with (
        patch.object(base_transfer, "secrets", ScriptedDraws("y")),
        patch("crypto.comparison.session.new_id", lambda: opened["session"]),
    ):
        opener = SessionOpener()
    request = opener.request()
    assert request.hex() == opened["request"]
    choices = [offset[i // 8] >> i % 8 & 1 for i in range(128)]
    with patch.object(base_transfer, "secrets", ScriptedDraws("x")):
        chosen = choose(name, request[-384:], choices)
    assert hashlib.sha256(chosen.answer).hexdigest() == opened["answer_sha256"]
    assert chosen.answer[:768].hex() == opened["first_pair_of_elements"]
    assert [seed.hex() for seed in chosen.seeds] == opened["chosen"]
    pairs = opener.session(chosen.answer).pairs
    assert [[first.hex(), second.hex()] for first, second in pairs] == opened["pairs"]


def test_session_by_hand(known: Any, session: Session) -> None:
    """g^y, the two elements and the seeds of the first and the last transfer."""
    opened, p = known["session"], by_hand.ffdhe3072()
    y = exponent("y", 0)
    first = pow(4, y, p)
    assert bytes.fromhex(opened["request"])[-384:] == first.to_bytes(384, "big")
    assert session.offset & 1
    for i, place in ((0, "first_pair_of_elements"), (127, "last_pair_of_elements")):
        sent = bytes.fromhex(opened[place])
        r = [int.from_bytes(sent[:384], "big"), int.from_bytes(sent[384:], "big")]
        c = session.offset >> i & 1
        x = exponent("x", i)
        assert r[1 - c] == (int.from_bytes(secret("root", i, 384), "big") % (p - 2) + 2) ** 2 % p
        assert r[c] * by_hand.hash_to_square(p, session.name, i, r[1 - c]) % p == pow(4, x, p)
        for b in (0, 1):
            shared = pow(r[b] * by_hand.hash_to_square(p, session.name, i, r[1 - b]), y, p)
            assert session.pairs[i][b] == by_hand.transfer_seed(session.name, i, first, shared)
        chosen = by_hand.transfer_seed(session.name, i, first, pow(first, x, p))
        assert session.pairs[i][c] == session.seeds[i] == chosen


def test_seeds_fit_the_offset(session: Session) -> None:
    for i, (pair, seed) in enumerate(zip(session.pairs, session.seeds, strict=True)):
        assert seed == pair[session.offset >> i & 1]
        assert pair[0] != pair[1]
    assert len({seed for pair in session.pairs for seed in pair}) == 256


def test_a_new_session() -> None:
    """With real draws: every transfer gives B the seed that its bit of the offset chose."""
    opener = SessionOpener()
    request = opener.request()
    garbler, answer = accept_session(request)
    evaluator = opener.session(answer)
    assert evaluator.session == garbler.session
    offset = int.from_bytes(garbler.offset, "little")
    for i, (pair, seed) in enumerate(zip(evaluator.pairs, garbler.seeds, strict=True)):
        assert seed == pair[offset >> i & 1] != pair[1 - (offset >> i & 1)]
    assert evaluator == EvaluatorSession.from_bytes(evaluator.session, evaluator.to_bytes())
    assert garbler == GarblerSession.from_bytes(garbler.session, garbler.to_bytes())
    other, again = accept_session(request)
    assert other.offset != garbler.offset
    assert set(other.seeds).isdisjoint(garbler.seeds)
    assert len(again) == len(answer) == 256 * 384


def test_seeds_depend_on_the_session_and_the_transfer() -> None:
    """The same element under another session's name has other seeds."""
    sender = TransferSender(bytes(16))
    answer = choose(bytes(16), sender.message(), [0] * 128).answer
    pairs = sender.seeds(answer)
    sender._session = bytes(15) + b"\x01"
    others = sender.seeds(answer)
    assert not {seed for pair in pairs for seed in pair} & {s for pair in others for s in pair}


# The batches.


@pytest.mark.parametrize("kind", KINDS)
def test_the_masks_follow_the_recipe(known: Any, kind: str) -> None:
    batch = known["batches"][kind]
    assert batch["masks"] == [mask_of(batch["number"], i) for i in range(len(batch["masks"]))]
    assert batch["check_mask"] == secret("check", batch["number"], 16).hex()


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_read_and_written_alike(known: Any, kind: str) -> None:
    batch = known["batches"][kind]
    request, answer = (bytes.fromhex(batch[name]) for name in ("request", "answer"))
    assert encode_request(decode_request(request)) == request
    assert encode_answer(decode_answer(answer)) == answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_makes_the_request(
    known: Any, private: PrivateKey, evaluator: EvaluatorSession, kind: str
) -> None:
    """From the values, the masks and the seeds; the noise of the ciphertexts is free."""
    batch, key = known["batches"][kind], private.public
    items = [
        Item(read_position(position), None if value is None else encrypted(key, value))
        for position, value in zip(
            batch["positions"], batch.get("plaintexts") or batch["bounds"], strict=True
        )
    ]
    source = ScriptedMasks(81, batch["masks"], 81)
    mask = ScriptedMaskOfCheck(bytes.fromhex(batch["check_mask"]))
    with patch.object(ot_extension, "secrets", mask):
        made = FastInitiator(key, evaluator).request(batch["number"], items, random=source)
    got, expected = decode_request(made), decode_request(bytes.fromhex(batch["request"]))
    for name in ("name", "key_id", "positions", "void", "columns", "check", "settled"):
        assert getattr(got, name) == getattr(expected, name)
    for cells in (got.masked, expected.masked):
        numbers = [private.decrypt(cell) for cell in key.parse_all(cells)]
        assert numbers == batch["masked_plaintexts"]


def encrypted(key: Any, value: Any) -> Any:
    if isinstance(value, list):
        return key.encrypt(packed_bounds(key.bits, *value))
    report = key.encrypt(pack_report(key.bits, value["score"], value["rate"]))
    bounds = pack_range(key.bits, value["threshold"], value["lo"], value["hi"])
    return report.add(key.encrypt(bounds).negated())


@pytest.mark.parametrize("kind", KINDS)
def test_b_makes_the_answer(
    known: Any,
    private: PrivateKey,
    garbler: GarblerSession,
    responder: FastResponder,
    kind: str,
) -> None:
    batch, key = known["batches"][kind], private.public
    asked = decode_request(bytes.fromhex(batch["request"]))
    served = responder.answer(garbler, asked)
    got, expected = decode_answer(served.answer), decode_answer(bytes.fromhex(batch["answer"]))
    assert got.tables == expected.tables
    assert got.corrections == expected.corrections
    for totals in (got.totals, expected.totals):
        numbers = [private.decrypt(total) for total in key.parse_all(totals)]
        assert numbers == batch["total_plaintexts"]
    digests = [
        served.digests[p].hex() if p in served.digests else None  # type: ignore[index]
        for p in asked.positions
    ]
    assert digests == batch["digests_of_b"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_finishes(
    known: Any, private: PrivateKey, evaluator: EvaluatorSession, kind: str
) -> None:
    """From the request and the answer alone, as after a crash."""
    batch, key = known["batches"][kind], private.public
    request, answer = (bytes.fromhex(batch[name]) for name in ("request", "answer"))
    results = FastInitiator(key, evaluator).finish(request, answer)
    for i, result in enumerate(results):
        if isinstance(result, Counted):
            assert private.decrypt(result.contribution) == batch["contributions"][i]
        else:
            assert isinstance(result, Checked)
            digest = result.digest and result.digest.hex()
            assert digest == batch["digests_of_a"][i]
            value = batch["bounds"][i]
            assert (digest is None) == (value is None)
            if value is not None:
                assert (digest == batch["digests_of_b"][i]) is (value[1] <= value[2])


def test_recordings_by_hand(known: Any, session: Session, private: PrivateKey) -> None:
    """Columns, check, tables, corrections, shares, and what they add up to."""
    batch, key = known["batches"]["recordings"], private.public
    played = replay_recordings(session, batch, key.bits)
    request = decode_request(bytes.fromhex(batch["request"]))
    answer = decode_answer(bytes.fromhex(batch["answer"]))
    assert played["sent"].columns == request.columns
    assert played["sent"].check == request.check
    assert played["tables"] == answer.tables
    assert played["corrections"] == answer.corrections
    intermediate = batch["intermediate"]
    assert played["intermediate"] == intermediate

    rate = rate_count_offset(key.bits)
    shares = list(zip(intermediate["shares_of_a"], intermediate["shares_of_b"], strict=True))
    bits = iter([(a - b) % (1 << 64) for a, b in shares])
    a_side, b_side = iter(intermediate["shares_of_a"]), iter(intermediate["shares_of_b"])
    for i, value in enumerate(batch["plaintexts"]):
        step, total = batch["steps"][i], batch["total_plaintexts"][i]
        if value is None:
            assert batch["contributions"][i] == total == step
            continue
        sound, not_below, above = next(bits), next(bits), next(bits)
        assert sound == (value["score"] >= value["threshold"])
        assert not_below == (value["rate"] >= value["lo"])
        assert above == (value["rate"] > value["hi"])
        a, b = ([next(side) for _ in range(3)] for side in (a_side, b_side))
        assert total == (step - b[0] + ((b[1] - b[2]) << rate)) % key.n
        added = a[0] + ((1 - a[1] + a[2]) << rate)
        contribution = (total + added) % key.n
        assert contribution == batch["contributions"][i]
        assert contribution == (step + sound + ((1 - not_below + above) << rate)) % key.n


def test_ranges_by_hand(known: Any, session: Session, private: PrivateKey) -> None:
    batch, key = known["batches"]["ranges"], private.public
    played = replay_ranges(session, batch, key.bits)
    request = decode_request(bytes.fromhex(batch["request"]))
    answer = decode_answer(bytes.fromhex(batch["answer"]))
    assert played["sent"].columns == request.columns
    assert played["sent"].check == request.check
    assert played["tables"] == answer.tables
    assert answer.corrections == b""
    intermediate = batch["intermediate"]
    assert played["intermediate"] == intermediate
    at_a, at_b = iter(intermediate["labels_of_a"]), iter(intermediate["labels_of_true"])
    for i, (_, range_id, pseudonym) in enumerate(batch["positions"]):
        if batch["bounds"][i] is None:
            assert batch["digests_of_a"][i] is batch["digests_of_b"][i] is None
            continue
        for side, labels in (("digests_of_a", next(at_a)), ("digests_of_b", next(at_b))):
            assert batch[side][i] == range_digest(key.key_id, range_id, pseudonym, labels)


def test_first_labels(
    known: Any, session: Session, evaluator: EvaluatorSession, garbler: GarblerSession
) -> None:
    """The label of the first bit of the first mask, at both sides of the engine."""
    batch = known["batches"]["recordings"]
    request = decode_request(bytes.fromhex(batch["request"]))
    count = 17 * len(batch["masks"])
    labels = ExtensionReceiver(session.name, batch["number"], count, evaluator.pairs).labels()
    zeros = ExtensionSender(
        session.name, batch["number"], count, garbler.seeds, garbler.offset
    ).receive(request.columns, request.check)
    assert zeros is not None
    first = blocks_from_bytes(bytes.fromhex(batch["intermediate"]["first_label_of_a"]))[0]
    zero = blocks_from_bytes(bytes.fromhex(batch["intermediate"]["first_zero_label_of_b"]))[0]
    assert number(labels[0]) == number(first)
    assert number(zeros[0]) == number(zero)
    assert number(first) ^ number(zero) == (session.offset if batch["masks"][0] & 1 else 0)
