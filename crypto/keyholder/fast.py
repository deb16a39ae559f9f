"""B's side of the fast comparison: decrypts masked numbers, garbles, answers its shares.

B keeps no state between batches but the session. Serving every position once and every batch for
one request only is the key holder's database's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crypto.comparison.batches import BatchAnswer, BatchRequest, encode_answer
from crypto.comparison.blocks import BlockHash, Blocks, bits_of
from crypto.comparison.fast import ordering_offset, range_digest, validity_labels
from crypto.comparison.ot_extension import ExtensionSender, offset_block
from crypto.comparison.parameters import RANGE_COMPARATORS, Layout, Parameters
from crypto.comparison.positions import Position, RangePosition, RecordingPosition
from crypto.comparison.session import GarblerSession
from crypto.errors import (
    ForeignKey,
    MaskForgotten,
    ProtocolViolation,
    TransferCheckFailed,
)
from crypto.keyholder.garbler import additive_shares, garble
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.slots import ZONES, rate_count_offset, split

_MASK_SHOWS_BITS = 32
"""Masked slots that are all this little above an unmasked one were not masked: 2^-96 by chance."""


@dataclass(frozen=True, repr=False)
class Served:
    """The answer to A, and for each range check the digest that shows its range to be valid."""

    answer: bytes
    digests: dict[RangePosition, bytes]

    def __repr__(self) -> str:
        return "Served"


class FastResponder:
    """Answers batches under one Paillier key.

    Args:
        private_key: B's Paillier key.
        mask_key: where the masks of served positions come from.
        parameters: as A's.
    """

    def __init__(
        self, private_key: PrivateKey, mask_key: MaskKey, parameters: Parameters | None = None
    ) -> None:
        self._private = private_key
        self._masks = mask_key
        self._parameters = parameters or Parameters()

    def agrees(self, session: GarblerSession, request: BatchRequest) -> bool:
        """Whether A's columns agree; if not, the session is to end before anything else is done.

        Raises:
            ForeignKey, ProtocolViolation, InvalidEncoding: as `answer`.
        """
        return self._zero_labels(session, request, self._layout(session, request)) is not None

    def answer(self, session: GarblerSession, request: BatchRequest) -> Served:
        """The answer to a batch, all of its positions served.

        Raises:
            TransferCheckFailed: A's columns do not agree: end the session, serve nothing.
            MaskForgotten: a masked number is as small as an unmasked one.
            ForeignKey: under another key.
            ProtocolViolation, InvalidEncoding, CiphertextOutOfRange: not a batch of this protocol.
        """
        public = self._private.public
        layout = self._layout(session, request)
        labels = self._zero_labels(session, request, layout)
        if labels is None:
            raise TransferCheckFailed("the transferred columns do not agree: open a new session")
        if len(request.masked) != layout.packed + layout.ranges:
            raise ProtocolViolation("a batch has another number of masked ciphertexts")
        plaintexts = [self._private.decrypt(c) for c in public.parse_all(request.masked)]
        differences = self._differences(layout, plaintexts[: layout.packed])
        inputs = self._range_inputs(layout, plaintexts[layout.packed :])

        hashing = BlockHash(request.name.session_bytes, request.name.number)
        offset = offset_block(session.offset)
        tables, shares, corrections = self._garble_recordings(
            layout, hashing, offset, labels[: layout.recording_bits], differences
        )
        range_tables, valid = self._garble_ranges(
            layout, hashing, offset, labels[layout.recording_bits :], inputs
        )
        answer = BatchAnswer(
            totals=self._totals(request, dict(zip(request.compared, shares, strict=True))),
            tables=tables.tobytes() + range_tables.tobytes(),
            corrections=corrections,
        )
        positions = [request.positions[i] for i in request.checked]
        return Served(encode_answer(answer), self._digests(positions, valid))

    def _layout(self, session: GarblerSession, request: BatchRequest) -> Layout:
        public = self._private.public
        if request.key_id != public.key_id:
            raise ForeignKey("not under this key: fetch the manifest")
        if request.name.session != session.session:
            raise ProtocolViolation("a batch of another session")
        compared, checked = len(request.compared), len(request.checked)
        return Layout(self._parameters, public.bits, compared, checked)

    def _zero_labels(
        self, session: GarblerSession, request: BatchRequest, layout: Layout
    ) -> Blocks | None:
        extension = ExtensionSender(
            request.name.session_bytes,
            request.name.number,
            layout.recording_bits + layout.range_bits,
            session.seeds,
            session.offset,
        )
        return extension.receive(request.columns, request.check)

    def _differences(self, layout: Layout, plaintexts: Sequence[int]) -> list[int]:
        """d of each comparator."""
        slot = (1 << self._parameters.slot_bits) - 1
        differences = []
        largest = [0] * len(plaintexts)
        for plaintext, _, first_bit in layout.slots():
            d = plaintexts[plaintext] >> first_bit & slot
            differences.append(d)
            largest[plaintext] = max(largest[plaintext], d)
        self._check_masked(largest)
        return differences

    def _range_inputs(self, layout: Layout, plaintexts: Sequence[int]) -> list[int]:
        """B's input to each comparator of the range checks."""
        inputs = []
        for plaintext in plaintexts:
            zones = split(plaintext, layout.zone, ZONES - 1)
            zones.append(plaintext >> ((ZONES - 1) * layout.zone))
            self._check_masked([max(zones)])
            if max(zones) >> self._parameters.slot_bits:
                # No masked range is that large. All facts are made false: 0 < r + 2^l, 0 < r but
                # for r = 0, and d_1 - d_2 at its greatest.
                inputs += [0] * (RANGE_COMPARATORS - 1)
                inputs.append((1 << self._parameters.range_width) - 1)
                continue
            for zone in zones:
                inputs += [zone, zone]
            inputs.append(zones[1] - zones[2] + ordering_offset(self._parameters))
        return inputs

    def _check_masked(self, largest: Sequence[int]) -> None:
        small = 1 << (self._parameters.score_bits + 1 + _MASK_SHOWS_BITS)
        if any(d < small for d in largest):
            raise MaskForgotten("a masked number is as small as an unmasked one")

    def _garble_recordings(
        self,
        layout: Layout,
        hashing: BlockHash,
        offset: Blocks,
        labels: Blocks,
        differences: list[int],
    ) -> tuple[Blocks, list[int], bytes]:
        """Tables; B's part of what each recording adds, -s_1 + 2^R (s_2 - s_3); corrections."""
        width = self._parameters.score_bits
        zero_labels = labels.reshape(layout.comparators, width + 1, 2)
        d = bits_of(differences, width + 1)
        tables, less = garble(hashing, offset, 0, zero_labels[:, :width], d[:, :width])
        known = np.where(d[:, width, np.newaxis].astype(bool), offset, np.uint64(0))
        bits = less ^ zero_labels[:, width] ^ known
        shares, corrections = additive_shares(hashing, offset, 0, bits)
        rate = rate_count_offset(self._private.public.bits)
        added = [
            ((not_below - above) << rate) - sound
            for sound, not_below, above in zip(*[iter(shares)] * ZONES, strict=True)
        ]
        return tables, added, corrections

    def _garble_ranges(
        self, layout: Layout, hashing: BlockHash, offset: Blocks, labels: Blocks, inputs: list[int]
    ) -> tuple[Blocks, Blocks]:
        """Tables, and the labels with which all four facts of each range are true."""
        width = self._parameters.range_width
        count = RANGE_COMPARATORS * layout.ranges
        tables, less = garble(
            hashing,
            offset,
            layout.comparators,
            labels.reshape(count, width, 2),
            bits_of(inputs, width),
        )
        facts = validity_labels(less.reshape(layout.ranges, RANGE_COMPARATORS, 2))
        return tables, facts ^ offset

    def _totals(self, request: BatchRequest, added: dict[int, int]) -> tuple[bytes, ...]:
        """Enc(t + B's part) for each recording; Enc(t) for a void one."""
        public = self._private.public
        return tuple(
            self._private.encrypt(
                (self._masks.step(public, position) + added.get(i, 0)) % public.n
            ).to_wire()
            for i, position in enumerate(request.positions)
            if isinstance(position, RecordingPosition)
        )

    def _digests(self, positions: Sequence[Position], valid: Blocks) -> dict[RangePosition, bytes]:
        key_id = self._private.public.key_id
        return {
            position: range_digest(key_id, position, labels)
            for position, labels in zip(positions, valid, strict=True)
            if isinstance(position, RangePosition)
        }

    def __repr__(self) -> str:
        return "FastResponder"
