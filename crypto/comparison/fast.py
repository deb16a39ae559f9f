"""A's side of the fast comparison: masks, packs, transfers its bits, evaluates what B garbled.

One round trip a batch (docs/protocol.md, section 5). Veugen's reduction (WIFS 2012; corrected in
ePrint 2018/1100) leaves, for d = z + r at B and r at A, one comparison of l-bit numbers:
bit l of z = d_l xor r_l xor [d mod 2^l < r mod 2^l]. B garbles it with d built in; A's labels come
from oblivious transfer. A ends with s + bit, and B's ciphertext carries -s.

What A needs to use an answer follows from the session and the request that it sent, so a batch is
resumed after a crash from the stored request alone.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crypto.comparison.batches import (
    BatchName,
    BatchRequest,
    decode_answer,
    decode_request,
    encode_request,
)
from crypto.comparison.blocks import BLOCK_BYTES, BlockHash, Blocks, bits_of, blocks_from_bytes
from crypto.comparison.half_gates import TABLE_BLOCKS, evaluate, shares_with_bits
from crypto.comparison.ot_extension import ExtensionReceiver
from crypto.comparison.parameters import (
    MEMBERSHIP_COMPARATORS,
    RANGE_COMPARATORS,
    Layout,
    Parameters,
)
from crypto.comparison.positions import Position, RangePosition, RecordingPosition
from crypto.comparison.session import EvaluatorSession
from crypto.errors import ForeignKey, ProtocolViolation
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import KERNEL, RandomSource
from crypto.slots import ZONES, rate_count_offset

CORRECTION_BYTES = 8


@dataclass(frozen=True)
class Item:
    """A position and what is compared for it.

    `ciphertext`: of a recording, the report minus the range, Enc(sum_z 2^(Zz) (x_z - bound_z)); of
    a range check, the proposed range, Enc(sum_z 2^(Zz) bound_z); None if it cannot be compared.
    """

    position: Position
    ciphertext: Ciphertext | None


@dataclass(frozen=True)
class Counted:
    """What a recording adds to its tally: Enc(sound + 2^R rate + t), stale."""

    position: RecordingPosition
    contribution: Ciphertext
    void: bool


@dataclass(frozen=True)
class Checked:
    """What A knows of a range: a digest that is B's digest exactly if the range is valid.

    None if it was not compared.
    """

    position: RangePosition
    digest: bytes | None


class FastInitiator:
    """A's side in one session.

    Args:
        key: B's Paillier key; all ciphertexts are under it (ForeignKey otherwise).
        session: A's secrets of the session.
        parameters: as B's.
    """

    def __init__(
        self,
        key: PublicKey,
        session: EvaluatorSession,
        parameters: Parameters | None = None,
    ) -> None:
        self._key = key
        self._session = session
        self._parameters = parameters or Parameters()

    def request(
        self,
        batch: int,
        items: Sequence[Item],
        settled: Sequence[BatchName] = (),
        random: RandomSource = KERNEL,
    ) -> bytes:
        """The request, to be stored before it is sent; a batch's number is used only once.

        Raises:
            PlaintextOutOfRange: more items than a batch has.
            ForeignKey: a ciphertext under another key.
        """
        for item in items:
            if item.ciphertext is not None and item.ciphertext.key != self._key:
                raise ForeignKey("a comparison under another key than the session's")
        recordings = [item for item in items if isinstance(item.position, RecordingPosition)]
        differences = [item.ciphertext for item in recordings if item.ciphertext is not None]
        ranges = [
            item.ciphertext
            for item in items
            if isinstance(item.position, RangePosition) and item.ciphertext is not None
        ]
        layout = Layout(self._parameters, self._key.bits, len(differences), len(ranges))
        packed, recording_masks = self._packed(layout, differences, random)
        single, range_inputs = self._masked_ranges(layout, ranges, random)
        width = self._parameters.score_bits + 1
        bits = np.concatenate(
            [
                bits_of(recording_masks, width).reshape(-1),
                bits_of(range_inputs, self._parameters.range_width).reshape(-1),
            ]
        )
        name = BatchName(self._session.session, batch)
        columns, check = self._extension(name, layout).send(bits)
        return encode_request(
            BatchRequest(
                name=name,
                key_id=self._key.key_id,
                positions=tuple(item.position for item in items),
                void=frozenset(i for i, item in enumerate(items) if item.ciphertext is None),
                masked=tuple(cell.to_wire() for cell in (*packed, *single)),
                columns=columns,
                check=check,
                settled=tuple(settled),
            )
        )

    def finish(self, request: bytes, answer: bytes) -> list[Counted | Checked]:
        """What came out, in the order of the request's positions.

        Raises:
            ForeignKey, ProtocolViolation: the request was made under another key or in another
                session, or the answer has other sizes than the request asks for.
            InvalidEncoding, CiphertextOutOfRange: see `decode_answer`, `PublicKey.parse_all`.
        """
        asked, got = decode_request(request), decode_answer(answer)
        if asked.key_id != self._key.key_id:
            raise ForeignKey("the answer to a request under another key")
        if asked.name.session != self._session.session:
            raise ProtocolViolation("the answer to a request of another session")
        compared, checked = asked.compared, asked.checked
        layout = Layout(self._parameters, self._key.bits, len(compared), len(checked))
        recording_tables, range_tables = split_tables(layout, got.tables)
        if len(got.corrections) != CORRECTION_BYTES * layout.comparators:
            raise ProtocolViolation("the answer has another number of corrections than comparisons")
        labels = self._extension(asked.name, layout).labels()
        hashing = BlockHash(asked.name.session_bytes, asked.name.number)
        shares = self._shares(layout, hashing, labels, recording_tables, got.corrections)
        digests = self._digests(layout, hashing, labels, range_tables, asked)
        totals = self._totals(asked, got.totals)
        added = dict(zip(compared, shares, strict=True))
        known = dict(zip(checked, digests, strict=True))
        return [
            Counted(position, next(totals).add_constant(added.get(i, 0)), void=i in asked.void)
            if isinstance(position, RecordingPosition)
            else Checked(position, known.get(i))
            for i, position in enumerate(asked.positions)
        ]

    def _packed(
        self, layout: Layout, differences: Sequence[Ciphertext], random: RandomSource
    ) -> tuple[list[Ciphertext], list[int]]:
        """Enc(sum (z + r) 2^slot) for each plaintext, fresh; and every r, by comparator."""
        constants = [0] * layout.packed
        masks = []
        for plaintext, _, first_bit in layout.slots():
            mask = random.bits(self._parameters.mask_bits)
            masks.append(mask)
            constants[plaintext] += ((1 << self._parameters.score_bits) + mask) << first_bit
        packed = []
        for i, constant in enumerate(constants):
            part = differences[i * layout.per_plaintext : (i + 1) * layout.per_plaintext]
            total = part[-1]
            for difference in reversed(part[:-1]):
                total = total.shifted(self._parameters.slot_bits).add(difference)
            packed.append(total.add_constant(constant).rerandomised(random))
        return packed, masks

    def _masked_ranges(
        self, layout: Layout, ranges: Sequence[Ciphertext], random: RandomSource
    ) -> tuple[list[Ciphertext], list[int]]:
        """Enc(sum (bound + r) 2^(Zz)) for each range; and A's input to each comparator."""
        masked, inputs = [], []
        size = 1 << self._parameters.score_bits
        for bounds in ranges:
            masks = [random.bits(self._parameters.mask_bits) for _ in range(ZONES)]
            constant = sum(mask << (zone * layout.zone) for zone, mask in enumerate(masks))
            masked.append(bounds.add_constant(constant).rerandomised(random))
            # d in [r, r + 2^l) exactly if [d < r + 2^l] xor [d < r].
            for mask in masks:
                inputs += [mask + size, mask]
            # lo < above exactly if d_1 - d_2 < r_1 - r_2.
            inputs.append(masks[1] - masks[2] + ordering_offset(self._parameters))
        return masked, inputs

    def _shares(
        self,
        layout: Layout,
        hashing: BlockHash,
        labels: Blocks,
        tables: Blocks,
        corrections: bytes,
    ) -> list[int]:
        """A's part of what each recording adds: sound + 2^R rate, plus B's shares."""
        width = self._parameters.score_bits
        inputs = labels[: layout.recording_bits].reshape(layout.comparators, width + 1, 2)
        less = evaluate(hashing, 0, inputs[:, :width], tables)
        shares = shares_with_bits(hashing, 0, less ^ inputs[:, width], corrections)
        offset = rate_count_offset(self._key.bits)
        return [
            sound + ((1 - not_below + above) << offset)
            for sound, not_below, above in zip(*[iter(shares)] * ZONES, strict=True)
        ]

    def _digests(
        self,
        layout: Layout,
        hashing: BlockHash,
        labels: Blocks,
        tables: Blocks,
        asked: BatchRequest,
    ) -> list[bytes]:
        count = RANGE_COMPARATORS * layout.ranges
        inputs = labels[layout.recording_bits :].reshape(count, self._parameters.range_width, 2)
        less = evaluate(hashing, layout.comparators, inputs, tables)
        valid = validity_labels(less.reshape(layout.ranges, RANGE_COMPARATORS, 2))
        positions = [asked.positions[i] for i in asked.checked]
        return [
            range_digest(self._key.key_id, position, outputs)
            for position, outputs in zip(positions, valid, strict=True)
        ]

    def _totals(self, asked: BatchRequest, totals: Sequence[bytes]) -> Iterator[Ciphertext]:
        recordings = sum(isinstance(at, RecordingPosition) for at in asked.positions)
        if len(totals) != recordings:
            raise ProtocolViolation("the answer has another number of ciphertexts than recordings")
        return iter(self._key.parse_all(totals))

    def _extension(self, name: BatchName, layout: Layout) -> ExtensionReceiver:
        bits = layout.recording_bits + layout.range_bits
        return ExtensionReceiver(name.session_bytes, name.number, bits, self._session.pairs)

    def __repr__(self) -> str:
        return "FastInitiator"


def split_tables(layout: Layout, tables: bytes) -> tuple[Blocks, Blocks]:
    """Tables of the recordings' comparators and of the range checks', (width, 2, count, 2) each.

    Raises ProtocolViolation: another length.
    """
    shapes = [
        (layout.parameters.score_bits, TABLE_BLOCKS, layout.comparators),
        (layout.parameters.range_width, TABLE_BLOCKS, RANGE_COMPARATORS * layout.ranges),
    ]
    sizes = [width * halves * count for width, halves, count in shapes]
    if len(tables) != BLOCK_BYTES * sum(sizes):
        raise ProtocolViolation("the answer has another number of tables than comparisons")
    blocks = blocks_from_bytes(tables)
    return blocks[: sizes[0]].reshape(*shapes[0], 2), blocks[sizes[0] :].reshape(*shapes[1], 2)


def ordering_offset(parameters: Parameters) -> int:
    """What makes a difference of two d or of two r positive."""
    return 1 << (parameters.slot_bits + 1)


def validity_labels(less: Blocks) -> Blocks:
    """Shape (ranges, 4, 2): of the labels of a range check's comparators, those of its four facts.

    Each bound lies in [0, 2^l), and lo <= hi. Exclusive or is free: labels are added.
    """
    member = less[:, :MEMBERSHIP_COMPARATORS]
    return np.concatenate([member[:, 0::2] ^ member[:, 1::2], less[:, MEMBERSHIP_COMPARATORS:]], 1)


def range_digest(key_id: str, position: Position, labels: Blocks) -> bytes:
    """SHA-256 over a range check's four labels: equal at A and B exactly if all are true."""
    if not isinstance(position, RangePosition):
        raise ProtocolViolation("only a range check has a digest")
    name = "\x00".join(("hushbeat/range-check/v1", key_id, position.range, position.pseudonym, ""))
    return hashlib.sha256(name.encode("ascii") + labels.tobytes()).digest()
