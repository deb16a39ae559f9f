"""What A sees of the fast comparison is independent of the values: counted, or simulated."""

from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest

from crypto.comparison import base_transfer
from crypto.comparison.base_transfer import TransferSender, choose
from crypto.comparison.batches import BatchAnswer, decode_answer, decode_request
from crypto.comparison.blocks import BlockHash, Blocks, colours
from crypto.comparison.fast import Item, split_tables
from crypto.comparison.half_gates import evaluate, shares_with_bits
from crypto.comparison.parameters import Layout
from crypto.keyholder.garbler import additive_shares
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from tests.crypto.fast_pair import (
    FastPair,
    Triple,
    proposed,
    recording,
)
from tests.crypto.make_fast_vectors import ScriptedDraws
from tests.crypto.simulators import simulate_a_view
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


def test_a_finishes_a_simulated_answer(game: FastPair) -> None:
    """A's view without anything of B's: A takes it for an answer, of the sizes of a real one."""
    items = [*game.items([TRUE, FALSE, EQUAL] * 6), Item(recording(99), None)]
    items += [Item(proposed(i), game.bounds(1, 2, 3)) for i in range(2)]
    request = game.initiator.request(1, items, random=source(b"real"))
    asked = decode_request(request)
    simulated = simulate_a_view(game.key, game.parameters, asked, source(b"A"))
    real = game.responder.answer(game.garbler, asked).answer
    assert shape(simulated) == shape(real)
    assert len(game.initiator.finish(request, simulated)) == len(items)
    for answer in (simulated, real):
        assert_uniform_bytes(decode_answer(answer).tables)


@pytest.mark.parametrize("triple", [TRUE, FALSE, EQUAL])
def test_what_a_gets_looks_random(game: FastPair, triple: Triple) -> None:
    """Tables, corrections, labels and shares, for findings that are all the same."""
    random = source(b"view of A")
    tables = corrections = shares = b""
    colours: list[int] = []
    bits = {int(x >= bound) for x, bound in triple}
    for batch in range(1, 9):
        items = game.items([triple] * 256)
        request = game.initiator.request(batch, items, random=random)
        answer = game.responder.answer(game.garbler, decode_request(request)).answer
        got = decode_answer(answer)
        tables += got.tables
        corrections += got.corrections
        labels, a_shares = results_of(game, request, got)
        colours += [int(label) & 1 for label in labels[:, 0]]
        shares += b"".join(share.to_bytes(8, "little") for share in a_shares)
    assert len(bits) == 1
    for data in (tables, corrections, shares):
        assert_uniform_bytes(data)
    assert_unbiased(colours)
    assert_unbiased(byte & 1 for byte in shares[::8])


def results_of(game: FastPair, request: bytes, answer: BatchAnswer) -> tuple[Blocks, list[int]]:
    """A's labels of the results, and its shares."""
    asked = decode_request(request)
    layout = Layout(game.parameters, game.key.bits, len(asked.compared), 0)
    inputs = game.initiator._extension(asked.name, layout).labels().reshape(-1, 17, 2)
    hashing = BlockHash(asked.name.session_bytes, asked.name.number)
    less = evaluate(hashing, 0, inputs[:, :16], split_tables(layout, answer.tables)[0])
    labels = less ^ inputs[:, 16]
    return labels, shares_with_bits(hashing, 0, labels, answer.corrections)


@pytest.mark.parametrize("value_at_zero", [0, 1])
@pytest.mark.parametrize("bit", [0, 1])
def test_a_share_is_uniform_exactly(value_at_zero: int, bit: int) -> None:
    """Whatever the bit, A's share runs through all values as the hash of B's label does.

    Counted on the highest and on the lowest byte of the hash that fixes B's share.
    """
    offset = np.array([1 | 1 << 40, 5], np.uint64)
    zero = np.array([[2 + value_at_zero, 9]], np.uint64)
    for shift in (0, 56):
        seen = Counter()
        for value in range(256):
            hashing = GivenHash({0: value << shift, 1: 0x0123456789ABCDEF})
            shares, corrections = additive_shares(hashing, offset, 0, zero)  # type: ignore[arg-type]
            label = zero ^ offset if bit else zero
            (share,) = shares_with_bits(hashing, 0, label, corrections)  # type: ignore[arg-type]
            assert (share - shares[0]) % (1 << 64) == bit
            seen[(share - bit * (shift == 56)) >> shift & 255] += 1
        assert set(seen.values()) == {1}


class GivenHash:
    """A hash with a given value for each colour."""

    def __init__(self, values: dict[int, int]) -> None:
        self._values = values

    def __call__(self, x: Blocks, _: Blocks) -> Blocks:
        out = np.zeros_like(x)
        for colour, value in self._values.items():
            out[colours(x) == colour, 0] = value
        return out


def test_what_a_ends_with_is_masked(game: FastPair) -> None:
    """Contributions decrypt to numbers with t in them, uniform in Z_n: no count shows."""
    results, _ = game.play(game.items([TRUE] * 256))
    numbers = [game.private.decrypt(result.contribution) for result in results]  # type: ignore[union-attr]
    assert len(set(numbers)) == 256
    assert_unbiased(number >> place & 1 for number in numbers for place in range(0, 500, 7))


def test_base_transfers_hide_the_choice() -> None:
    """Of each pair of elements one is drawn and one follows: both places look alike to A."""
    sender = TransferSender(bytes(16))
    choices = [i & 1 for i in range(128)]
    with patch.object(base_transfer, "secrets", ScriptedDraws("x")):
        answer = choose(bytes(16), sender.message(), choices).answer
    elements = [answer[at : at + 384] for at in range(0, len(answer), 384)]
    followed = [elements[2 * i + c] for i, c in enumerate(choices)]
    drawn = [elements[2 * i + 1 - c] for i, c in enumerate(choices)]
    for part in (followed, drawn, elements[::2], elements[1::2]):
        assert_uniform_bytes(b"".join(element[1:] for element in part))
