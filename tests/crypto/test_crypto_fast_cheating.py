"""An A that deviates in the transfer is caught, but for the bits of the offset that it guesses."""

from typing import Any

import numpy as np
import pytest

from crypto.comparison import ot_extension
from crypto.comparison.base_transfer import TRANSFERS
from crypto.comparison.blocks import rows_of_columns
from crypto.comparison.ot_extension import ExtensionReceiver, ExtensionSender
from crypto.random import SeededRandom
from tests.crypto.fast_pair import session_pair


class Columns:
    """A's bits sent by an A that changes its columns and makes the check fit as well as it can."""

    def __init__(self, seed: int, count: int = 300) -> None:
        self.evaluator, self.garbler = session_pair(seed.to_bytes(32, "big"))
        self.name = bytes.fromhex(self.evaluator.session)
        self.count = count
        self.receiver = ExtensionReceiver(self.name, 1, count, self.evaluator.pairs)
        self.bits = np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)
        self.offset = int.from_bytes(self.garbler.offset, "little")

    def cheat(self, columns: list[int], guess: int) -> tuple[bytes, bytes]:
        """Turns the first bit of some columns; the digest is right if `guess` agrees with D there.

        Where D_i is guessed 0, B's column does not change. Where it is guessed 1, B's column is
        the one of another choice vector, whose hash A adds to its own column's.
        """
        sent, _ = self.receiver.send(self.bits)
        size = len(sent) // TRANSFERS
        error = b"\x01" + bytes(size - 1)
        altered = bytearray(sent)
        for i in columns:
            altered[i * size] ^= 1
        linear = self.receiver._linear_hash(bytes(altered))
        own = self.receiver._stretched([pair[0] for pair in self.evaluator.pairs])
        hashes = [linear(column.tobytes()) for column in own]
        for i in columns:
            if guess >> i & 1:
                hashes[i] = bytes(a ^ b for a, b in zip(hashes[i], linear(error), strict=True))
        other = self.receiver._stretched([pair[1] for pair in self.evaluator.pairs])
        choices = bytes(a ^ b ^ c for a, b, c in zip(sent, own[0], other[0], strict=False))[:size]
        digest = ot_extension.hashlib.sha256(b"".join(hashes)).digest()
        return bytes(altered), linear(choices) + digest

    def received(self, sent: bytes, check: bytes) -> Any:
        sender = ExtensionSender(self.name, 1, self.count, self.garbler.seeds, self.garbler.offset)
        return sender.receive(sent, check)


def test_an_honest_transfer_passes_however_the_check_is_made() -> None:
    """The cheat that alters nothing: the test below fails for the alteration, not for the rest."""
    columns = Columns(0)
    zeros = columns.received(*columns.cheat([], 0))
    assert zeros is not None
    labels = columns.receiver.labels()
    offset = np.frombuffer(columns.garbler.offset, dtype="<u8")
    assert ((labels ^ zeros) == np.where(columns.bits[:, None] == 1, offset, 0)).all()


def test_an_altered_column_passes_exactly_if_its_bit_of_the_offset_is_guessed() -> None:
    columns = Columns(1)
    for i in range(TRANSFERS):
        bit = columns.offset >> i & 1
        assert columns.received(*columns.cheat([i], bit << i)) is not None
        assert columns.received(*columns.cheat([i], (1 - bit) << i)) is None


@pytest.mark.parametrize(("altered", "low", "high"), [(1, 0.42, 0.58), (3, 0.07, 0.19)])
def test_the_rate_at_which_cheating_passes(altered: int, low: float, high: float) -> None:
    """2^-k for k altered columns, over offsets that A does not know (fixed seeds)."""
    random = np.random.default_rng(altered)
    tries = 240
    passed = 0
    for seed in range(tries):
        columns = Columns(1_000 + seed, 10)
        where = [int(i) for i in random.choice(np.arange(1, TRANSFERS), altered, replace=False)]
        guess = sum(int(random.integers(2)) << i for i in where)
        passed += columns.received(*columns.cheat(where, guess)) is not None
    assert low < passed / tries < high


def test_many_altered_columns_never_pass() -> None:
    """64 columns altered, guessed at random: 2^-64 for each try."""
    random = SeededRandom(bytes(32), b"guesses")
    for seed in range(20):
        columns = Columns(seed)
        assert columns.received(*columns.cheat(list(range(1, 65)), random.bits(128))) is None


def test_a_column_of_other_bits_altogether_is_caught() -> None:
    """Column i made with the complement of the bits, the check made honestly of the others."""
    columns = Columns(2)
    sent, check = columns.receiver.send(columns.bits)
    size = len(sent) // TRANSFERS
    for i in range(TRANSFERS):
        part = bytes(byte ^ 255 for byte in sent[i * size : (i + 1) * size])
        assert columns.received(sent[: i * size] + part + sent[(i + 1) * size :], check) is None


def test_the_check_belongs_to_one_batch_and_session() -> None:
    columns = Columns(3)
    sent, check = columns.receiver.send(columns.bits)
    assert columns.received(sent, check) is not None
    for name, batch in ((columns.name, 2), (bytes(16), 1)):
        sender = ExtensionSender(
            name, batch, columns.count, columns.garbler.seeds, columns.garbler.offset
        )
        assert sender.receive(sent, check) is None


def test_labels_follow_from_the_seeds() -> None:
    """B's rows are A's rows but for D where A's bit is 1, for numbers of bits around a block."""
    for count in (1, 127, 128, 129, 1_000):
        columns = Columns(4, count)
        zeros = columns.received(*columns.receiver.send(columns.bits))
        labels = columns.receiver.labels()
        offset = np.frombuffer(columns.garbler.offset, dtype="<u8")
        assert zeros.shape == labels.shape == (count, 2)
        assert ((labels ^ zeros)[columns.bits == 1] == offset).all()
        assert (labels == zeros)[columns.bits == 0].all()
        own = columns.receiver._stretched([pair[0] for pair in columns.evaluator.pairs])
        assert (rows_of_columns(own)[:count] == labels).all()
