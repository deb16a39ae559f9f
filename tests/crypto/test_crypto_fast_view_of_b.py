"""What B sees of the fast comparison is independent of the values: counted, or simulated."""

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest

from crypto.comparison import ot_extension
from crypto.comparison import parameters as parameters_module
from crypto.comparison.batches import BatchRequest, decode_request
from crypto.comparison.fast import Item
from crypto.comparison.ot_extension import ExtensionReceiver, ExtensionSender
from crypto.comparison.parameters import Parameters
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from tests.crypto.fast_pair import (
    FastPair,
    ScriptedMasks,
    Triple,
    proposed,
    recording,
    session_pair,
)
from tests.crypto.make_fast_vectors import ScriptedMaskOfCheck
from tests.crypto.simulators import simulate_b_view
from tests.crypto.views import (
    EQUAL,
    FALSE,
    TRUE,
    assert_unbiased,
    assert_uniform_bytes,
    shape,
    source,
)


@pytest.fixture(scope="module")
def game(private_key: PrivateKey, mask_key: MaskKey) -> FastPair:
    return FastPair(private_key, mask_key)


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_what_b_decrypts_counted(
    private_key: PrivateKey, mask_key: MaskKey, monkeypatch: pytest.MonkeyPatch, sigma: int
) -> None:
    """l = 2: for every z the exact distribution of d over all r, at most 2^-sigma from uniform."""
    monkeypatch.setattr(parameters_module, "MIN_SIGMA", 1)
    parameters = Parameters(2, sigma)
    game = FastPair(private_key, mask_key, parameters)
    masks = range(1 << parameters.mask_bits)
    distributions = {}
    for z in range(1, 8):
        script = ScriptedMasks(
            parameters.mask_bits, (r for r in masks for _ in range(3)), parameters.mask_bits
        )
        seen: list[int] = []
        for at in range(0, len(masks), 64):
            triples: list[Triple] = [((z - 4, 0), (0, 3), (3, 0))] * len(masks[at : at + 64])
            asked = decode_request(game.initiator.request(1, game.items(triples), random=script))
            seen += slots(game, asked)[::3]
        distributions[z] = distribution(seen)
    uniform = distribution(masks)
    for z, of_z in distributions.items():
        assert sum(of_z.values()) == 1
        assert distance(of_z, uniform) == Fraction(z, len(masks)) <= Fraction(1, 1 << sigma)
        assert all(
            distance(of_z, other) <= Fraction(1, 1 << sigma) for other in distributions.values()
        )


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_what_b_decrypts_of_a_range_counted(
    private_key: PrivateKey, mask_key: MaskKey, monkeypatch: pytest.MonkeyPatch, sigma: int
) -> None:
    """The same of the bounds of a proposed range, which are masked as they are."""
    monkeypatch.setattr(parameters_module, "MIN_SIGMA", 1)
    parameters = Parameters(2, sigma)
    game = FastPair(private_key, mask_key, parameters)
    masks = range(1 << parameters.mask_bits)
    uniform = distribution(masks)
    for bound in range(4):
        script = ScriptedMasks(
            parameters.mask_bits, (r for r in masks for _ in range(3)), parameters.mask_bits
        )
        seen: list[int] = []
        for at in range(0, len(masks), 64):
            items = [
                Item(proposed(i), game.bounds(bound, 3 - bound, bound))
                for i in range(len(masks[at : at + 64]))
            ]
            asked = decode_request(game.initiator.request(1, items, random=script))
            for cell in game.key.parse_all(asked.masked):
                seen.append(game.private.decrypt(cell) & (1 << game.zone) - 1)
        gap = distance(distribution(seen), uniform)
        assert gap == Fraction(bound, len(masks)) <= Fraction(1, 1 << sigma)


def slots(game: FastPair, request: BatchRequest) -> list[int]:
    """What B decrypts, slot by slot, in the order of the comparisons."""
    plaintexts = [game.private.decrypt(cell) for cell in game.key.parse_all(request.masked)]
    width = game.parameters.slot_bits
    per_plaintext = game.zone // width
    return [
        plaintexts[k // per_plaintext] >> game.zone * z + k % per_plaintext * width
        & (1 << width) - 1
        for k in range(len(request.compared))
        for z in range(3)
    ]


def distribution(seen: Iterable[int]) -> dict[int, Fraction]:
    counts = Counter(seen)
    return {value: Fraction(count, counts.total()) for value, count in counts.items()}


def distance(a: dict[int, Fraction], b: dict[int, Fraction]) -> Fraction:
    """Statistical distance, half the sum of the differences."""
    return sum((abs(a.get(v, Fraction()) - b.get(v, Fraction())) for v in a | b), Fraction()) / 2


def test_every_slot_has_a_mask_of_its_own(game: FastPair) -> None:
    """d - z is the r that was drawn for this slot, of 81 bits; no slot reaches into the next."""
    drawn: list[int] = []

    class Recorded(ScriptedMasks):
        def bits(self, k: int) -> int:
            value = source(b"%d" % len(drawn)).bits(k)
            if k == 81:
                drawn.append(value)
            return value

    triples = [TRUE, FALSE, EQUAL, ((1, 2), (3, 4), (5, 6)), TRUE]
    asked = decode_request(
        game.initiator.request(1, game.items(triples), random=Recorded(81, [], 0))
    )
    z = [(1 << 16) + x - bound for triple in triples for x, bound in triple]
    assert [d - r for d, r in zip(slots(game, asked), drawn, strict=True)] == z
    assert len(set(drawn)) == 15
    assert 1 << game.parameters.slot_bits > (2 << 16) + (1 << 81)
    assert game.parameters.mask_bits == 16 + 64 + 1


@pytest.mark.parametrize("bit", [0, 1])
def test_columns_are_a_one_time_pad(bit: int) -> None:
    """Of what A sends, B can take off one of each pair's streams; what stays looks random."""
    evaluator, garbler = session_pair()
    name = bytes.fromhex(evaluator.session)
    count = 4_000
    receiver = ExtensionReceiver(name, 1, count, evaluator.pairs)
    with patch.object(ot_extension, "secrets", ScriptedMaskOfCheck(bytes(range(16)))):
        sent, _ = receiver.send(np.full(count, bit, np.uint8))
    known = ExtensionSender(name, 1, count, garbler.seeds, garbler.offset)._stretched(garbler.seeds)
    rest = np.frombuffer(sent, np.uint8).reshape(known.shape) ^ known
    assert_uniform_bytes(rest.tobytes())
    bits = np.unpackbits(rest, axis=1)
    assert_unbiased(bits.ravel())
    for column in bits:
        assert_unbiased(column)
    for row in bits.T[:: bits.shape[1] // 100]:
        assert_unbiased(row)


def test_the_hash_of_the_bits_is_masked_exactly() -> None:
    """The map from the 128 random bits to what they add to the hash is one to one."""
    evaluator, _ = session_pair()
    receiver = ExtensionReceiver(bytes.fromhex(evaluator.session), 1, 300, evaluator.pairs)
    linear = receiver._linear_hash(b"columns")
    size = receiver._column_bytes
    images = [
        int.from_bytes(linear((1 << place).to_bytes(16, "little").rjust(size, b"\0")), "big")
        for place in range(128)
    ]
    assert rank(images) == 128
    for place in (0, 7, 299):  # and it depends on the bits themselves
        assert linear((1 << place).to_bytes(size, "little")) != bytes(16)


def rank(rows: Sequence[int]) -> int:
    """Over GF(2)."""
    basis: list[int] = []
    for row in rows:
        for other in basis:
            row = min(row, row ^ other)
        if row:
            basis.append(row)
    return len(basis)


def test_a_new_batch_has_new_random_bits() -> None:
    """The same bits sent twice in two batches: nothing of the messages is alike."""
    evaluator, _ = session_pair()
    name, bits = bytes.fromhex(evaluator.session), np.zeros(300, np.uint8)
    first, second = (
        ExtensionReceiver(name, batch, 300, evaluator.pairs).send(bits) for batch in (1, 2)
    )
    pieces = [
        {message[at : at + 16] for message in sent for at in range(0, len(message), 16)}
        for sent in (first, second)
    ]
    assert not pieces[0] & pieces[1]


def test_b_answers_a_simulated_request(game: FastPair) -> None:
    """B's view without A's input: B takes it for a request, and it has the sizes of a real one."""
    positions = [*map(recording, range(20)), *map(proposed, range(3)), recording(99)]
    void = frozenset({2, 21})
    simulated = simulate_b_view(
        game.key, game.parameters, game.garbler, 1, positions, void, source(b"B")
    )
    items = [
        Item(at, None if i in void else game.bounds(5, 6, 7)) for i, at in enumerate(positions)
    ]
    real = game.initiator.request(1, items, random=source(b"real"))
    assert shape(simulated) == shape(real)
    asked = decode_request(simulated)
    answer = game.responder.answer(game.garbler, asked).answer
    assert shape(answer) == shape(game.responder.answer(game.garbler, decode_request(real)).answer)
    assert_uniform_bytes(asked.columns)
    assert_uniform_bytes(decode_request(real).columns)
    game.initiator.finish(simulated, answer)


def test_real_and_simulated_slots_look_alike(game: FastPair) -> None:
    """Their lowest 80 bits, for the greatest and the smallest z."""
    positions = list(map(recording, range(256)))
    simulated = simulate_b_view(
        game.key, game.parameters, game.garbler, 1, positions, frozenset(), source(b"B")
    )
    views = [decode_request(simulated)]
    for triple in (TRUE, FALSE, EQUAL):
        items = game.items([triple] * 256)
        views.append(decode_request(game.initiator.request(1, items, random=source(b"slots"))))
    for view in views[1:]:
        seen = slots(game, view)
        assert max(seen) < 1 << 82
        assert_uniform_bytes(b"".join((d % (1 << 80)).to_bytes(10, "little") for d in seen))
        assert_unbiased(d >> 80 & 1 for d in seen)
    assert max(slots(game, views[0])) < 1 << 81
