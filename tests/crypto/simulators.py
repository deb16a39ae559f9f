"""The simulators of docs/protocol.md, section 5: each party's view, made without the other's input.

That they can be written is the argument; that nobody can tell their messages from real ones is what
the tests look at as far as statistics can.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from crypto.comparison.base_transfer import TRANSFERS
from crypto.comparison.batches import (
    BatchAnswer,
    BatchName,
    BatchRequest,
    encode_answer,
    encode_request,
)
from crypto.comparison.blocks import BLOCK_BYTES
from crypto.comparison.fast import CORRECTION_BYTES
from crypto.comparison.half_gates import TABLE_BLOCKS
from crypto.comparison.ot_extension import ExtensionSender
from crypto.comparison.parameters import RANGE_COMPARATORS, Layout, Parameters
from crypto.comparison.positions import Position, RecordingPosition
from crypto.comparison.session import GarblerSession
from crypto.paillier import PublicKey
from crypto.random import RandomSource
from crypto.slots import ZONES


def simulate_b_view(
    key: PublicKey,
    parameters: Parameters,
    session: GarblerSession,
    batch: int,
    positions: Sequence[Position],
    void: frozenset[int],
    random: RandomSource,
) -> bytes:
    """A request as B gets it, from what B knows itself and which positions are void.

    Every masked slot is uniform in [0, 2^(l+1+sigma)), `columns` are random bytes, the hash of the
    bits is uniform, and the digest is the one that B computes from its own columns.
    """
    kinds = [isinstance(at, RecordingPosition) for i, at in enumerate(positions) if i not in void]
    layout = Layout(parameters, key.bits, sum(kinds), len(kinds) - sum(kinds))
    packed = [0] * layout.packed
    for plaintext, _, first_bit in layout.slots():
        packed[plaintext] += random.bits(parameters.mask_bits) << first_bit
    single = [
        sum(random.bits(parameters.mask_bits) << layout.zone * zone for zone in range(ZONES))
        for _ in range(layout.ranges)
    ]
    extension = ExtensionSender(
        bytes.fromhex(session.session),
        batch,
        layout.recording_bits + layout.range_bits,
        session.seeds,
        session.offset,
    )
    columns = drawn(random, extension.sent_bytes)
    return encode_request(
        BatchRequest(
            name=BatchName(session.session, batch),
            key_id=key.key_id,
            positions=tuple(positions),
            void=void,
            masked=tuple(key.encrypt(number).to_wire() for number in (*packed, *single)),
            columns=columns,
            check=_check_that_fits(extension, session, columns, drawn(random, BLOCK_BYTES)),
        )
    )


def drawn(random: RandomSource, count: int) -> bytes:
    """Uniform bytes."""
    return random.bits(8 * count).to_bytes(count, "big")


def _check_that_fits(
    extension: ExtensionSender, session: GarblerSession, columns: bytes, bits_hash: bytes
) -> bytes:
    received = np.frombuffer(columns, np.uint8).reshape(TRANSFERS, -1)
    offset = np.unpackbits(np.frombuffer(session.offset, np.uint8), bitorder="little")
    own = extension._stretched(session.seeds) ^ received * offset[:, None]
    linear = extension._linear_hash(columns)
    parts = [
        bytes(x ^ y for x, y in zip(linear(column.tobytes()), bits_hash, strict=True))
        if bit
        else linear(column.tobytes())
        for column, bit in zip(own, offset, strict=True)
    ]
    return bits_hash + hashlib.sha256(b"".join(parts)).digest()


def simulate_a_view(
    key: PublicKey, parameters: Parameters, request: BatchRequest, random: RandomSource
) -> bytes:
    """An answer as A gets it, from A's own request: no value, no finding, nothing of B's.

    Random tables give labels that nobody garbled, and with random corrections shares that are
    uniform; a recording's ciphertext holds a uniform number.
    """
    layout = Layout(parameters, key.bits, len(request.compared), len(request.checked))
    blocks = TABLE_BLOCKS * (
        parameters.score_bits * layout.comparators
        + parameters.range_width * RANGE_COMPARATORS * layout.ranges
    )
    recordings = sum(isinstance(at, RecordingPosition) for at in request.positions)
    return encode_answer(
        BatchAnswer(
            totals=tuple(key.encrypt(random.below(key.n)).to_wire() for _ in range(recordings)),
            tables=drawn(random, BLOCK_BYTES * blocks),
            corrections=drawn(random, CORRECTION_BYTES * layout.comparators),
        )
    )
