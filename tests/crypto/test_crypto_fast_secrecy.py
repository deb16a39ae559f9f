"""Sizes, labels, tweaks, freshness and what is printed: nothing repeats and nothing shows."""

from collections import Counter
from itertools import product

import pytest

from crypto.comparison.base_transfer import TransferSender, choose
from crypto.comparison.batches import decode_answer, decode_request
from crypto.comparison.blocks import BlockHash, Blocks
from crypto.comparison.fast import FastInitiator, Item
from crypto.comparison.ot_extension import ExtensionReceiver, ExtensionSender
from crypto.comparison.session import SessionOpener
from crypto.keyholder import garbler as garbler_module
from crypto.keyholder.fast import FastResponder, Served
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import Ciphertext
from tests.crypto.fast_pair import (
    FastPair,
    proposed,
    recording,
    session_pair,
)
from tests.crypto.views import (
    EQUAL,
    FALSE,
    TOP,
    TRUE,
    number,
    shape,
)


@pytest.fixture(scope="module")
def game(private_key: PrivateKey, mask_key: MaskKey) -> FastPair:
    return FastPair(private_key, mask_key)


def test_sizes_do_not_depend_on_values(game: FastPair) -> None:
    edges = [0, 1, TOP // 2, TOP // 2 + 1, TOP - 1, TOP]
    shapes = set()
    for x, bound in product(edges, edges):
        items = game.items([((x, bound), (bound, x), (x, bound))] * 3)
        items += [Item(proposed(1), game.bounds(x, bound, x)), Item(recording(9), None)]
        request = game.initiator.request(1, items)
        served = game.responder.answer(game.garbler, decode_request(request))
        shapes.add(repr((shape(request), shape(served.answer))))
    items[3] = Item(proposed(1), game.key.constant(game.key.n - 1))
    request = game.initiator.request(1, items)
    served = game.responder.answer(game.garbler, decode_request(request))
    shapes.add(repr((shape(request), shape(served.answer))))
    assert len(shapes) == 1


def test_labels_and_tweaks_never_repeat(game: FastPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """All inputs of the hash under one offset, at both sides, over several batches and sessions."""
    calls: list[tuple[str, bytes, Blocks, Blocks]] = []
    side = ["a"]
    hashed = BlockHash.__call__

    def recorded(hashing: BlockHash, x: Blocks, tweak: Blocks) -> Blocks:
        key = hashing._encryptor.update(bytes(16))  # names the permutation
        calls.append((side[0], key, x.reshape(-1, 2), tweak.reshape(-1, 2)))
        return hashed(hashing, x, tweak)

    monkeypatch.setattr(BlockHash, "__call__", recorded)
    games = []
    for seed in range(2):
        evaluator, garbler = session_pair(bytes([seed]) * 32, f"{seed:032x}")
        initiator = FastInitiator(game.key, evaluator)
        games.append(garbler)
        for batch in (0, 1, 2, 1 << 31):
            items = game.items([TRUE, FALSE, EQUAL] * 5)
            items += [Item(proposed(i), game.bounds(i, 5, 6)) for i in range(3)]
            request = initiator.request(batch, items)
            side[0] = "b"
            answer = game.responder.answer(garbler, decode_request(request)).answer
            side[0] = "a"
            initiator.finish(request, answer)

    inputs: dict[str, list[tuple[bytes, int, int]]] = {"a": [], "b": []}
    for who, key, x, tweak in calls:
        inputs[who] += zip([key] * len(x), map(number, x), map(number, tweak), strict=True)
    keys = {key for _, key, _, _ in calls}
    assert len(keys) == 8
    for who in inputs:
        assert len(set(inputs[who])) == len(inputs[who])
    assert set(inputs["a"]) < set(inputs["b"])
    # B hashes two labels under a tweak, which differ by the offset; A has one of them.
    for who, count in (("a", 1), ("b", 2)):
        assert set(Counter((key, tweak) for key, _, tweak in inputs[who]).values()) == {count}
    under: dict[tuple[bytes, int], int] = {}
    for key, x, tweak in inputs["b"]:
        under[key, tweak] = under.get((key, tweak), 0) ^ x
    offsets = {int.from_bytes(garbler.offset, "little") for garbler in games}
    assert set(under.values()) == offsets
    # But for the carry that both know, no label is hashed in two batches or at two gates.
    at_a = Counter((x for _, x, _ in inputs["a"]))
    assert {x for x, count in at_a.items() if count > 1} <= {0}


def test_streams_of_batches_do_not_overlap() -> None:
    """A batch's counter blocks begin at its number times 2^64: 2^64 blocks for each."""
    evaluator, _ = session_pair()
    name = bytes.fromhex(evaluator.session)
    blocks: list[bytes] = []
    for batch in (0, 1, 2, 255, 256, (1 << 32) - 1):
        receiver = ExtensionReceiver(name, batch, 50_000, evaluator.pairs)
        stream = receiver._stretched([pair[0] for pair in evaluator.pairs])[0].tobytes()
        blocks += [stream[at : at + 16] for at in range(0, len(stream), 16)]
    assert len(set(blocks)) == len(blocks)


def test_everything_sent_is_fresh(game: FastPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ciphertexts that leave either side went through `to_wire`, and none leaves twice."""
    sent: list[bytes] = []
    to_wire = Ciphertext.to_wire

    def recorded(ciphertext: Ciphertext) -> bytes:
        sent.append(to_wire(ciphertext))
        return sent[-1]

    monkeypatch.setattr(Ciphertext, "to_wire", recorded)
    items = [*game.items([TRUE] * 5), Item(recording(9), None)]
    items.append(Item(proposed(1), game.bounds(1, 2, 3)))
    left: list[bytes] = []
    for batch in (1, 2):
        request = decode_request(game.initiator.request(batch, items))
        left += request.masked
        left += decode_answer(game.responder.answer(game.garbler, request).answer).totals
    assert left == sent
    assert len(set(left)) == len(left) == 2 * (3 + 1 + 6)


def test_secrets_print_as_their_types_name(private_key: PrivateKey, mask_key: MaskKey) -> None:
    evaluator, garbler = session_pair()
    name = bytes.fromhex(evaluator.session)
    printed = [
        evaluator,
        garbler,
        SessionOpener(),
        TransferSender(bytes(16)),
        choose(bytes(16), TransferSender(bytes(16)).message(), [1]),
        ExtensionReceiver(name, 1, 10, evaluator.pairs),
        ExtensionSender(name, 1, 10, garbler.seeds, garbler.offset),
        FastInitiator(private_key.public, evaluator),
        FastResponder(private_key, mask_key),
        Served(b"", {}),
    ]
    for secret in printed:
        expected = type(secret).__name__
        assert (repr(secret), str(secret), f"{[secret]}") == (expected, expected, f"[{expected}]")


def test_the_garbler_draws_nothing() -> None:
    """Same seeds, same columns, same garbling: after a crash B's stored answer can be trusted."""
    assert not hasattr(garbler_module, "secrets")
