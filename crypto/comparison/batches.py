"""The request and the answer of a batch of comparisons (docs/protocol.md, section 5).

msgpack maps with exactly the documented names. The decoders bound every size before they build
anything, and raise InvalidEncoding for all that is not such a message. Ciphertexts are bytes here:
`PublicKey.parse_all` checks them.
"""

from dataclasses import dataclass
from typing import Any

from crypto.comparison.ot_extension import CHECK_BYTES
from crypto.comparison.parameters import MAX_ITEMS
from crypto.comparison.positions import (
    Position,
    RecordingPosition,
    read_position,
    write_position,
)
from crypto.encoding import check_hash, check_id
from crypto.errors import InvalidEncoding
from crypto.packed import expect_bin, expect_list, pack, read_map
from crypto.paillier import MAX_KEY_BITS

VERSION = 2
MAX_BATCHES = 1 << 32
MAX_MESSAGE_BYTES = 16 << 20
"""Above the largest honest message: 256 range checks have tables of 5 MB."""

_SESSION_BYTES = 16
_MAX_CIPHERTEXT_BYTES = MAX_KEY_BITS // 4


@dataclass(frozen=True)
class BatchName:
    """A batch of a session; each is used for one request only."""

    session: str
    number: int

    def __post_init__(self) -> None:
        check_id(self.session)
        if not 0 <= self.number < MAX_BATCHES:
            raise InvalidEncoding("a session has no batch of this number")

    @property
    def session_bytes(self) -> bytes:
        """The session's 16 bytes."""
        return bytes.fromhex(self.session)


@dataclass(frozen=True)
class BatchRequest:
    """A to B.

    Attributes:
        name: session and number of this batch.
        key_id: the Paillier key of all ciphertexts.
        positions: what is to be served, in this order.
        void: indexes of positions that A cannot compare: they are served without a comparison.
        masked: packed recordings first, then one for each range check.
        columns, check: what `ExtensionReceiver.send` gave for A's bits.
        settled: batches whose answers A has put in force, so that B may forget them.
    """

    name: BatchName
    key_id: str
    positions: tuple[Position, ...]
    void: frozenset[int]
    masked: tuple[bytes, ...]
    columns: bytes
    check: bytes
    settled: tuple[BatchName, ...] = ()

    @property
    def compared(self) -> list[int]:
        """Indexes of the recordings that are compared."""
        return self._indexes(recordings=True)

    @property
    def checked(self) -> list[int]:
        """Indexes of the range checks that are not void."""
        return self._indexes(recordings=False)

    def _indexes(self, *, recordings: bool) -> list[int]:
        return [
            i
            for i, position in enumerate(self.positions)
            if i not in self.void and isinstance(position, RecordingPosition) is recordings
        ]


@dataclass(frozen=True)
class BatchAnswer:
    """B to A.

    Attributes:
        totals: one ciphertext for each recording, void ones as well: what it adds to its tally but
            for A's share.
        tables: of the recordings' comparators, then of the range checks'.
        corrections: 8 bytes a comparison of a recording.
    """

    totals: tuple[bytes, ...]
    tables: bytes
    corrections: bytes


def encode_request(request: BatchRequest) -> bytes:
    """The request as msgpack."""
    return pack(
        {
            "v": VERSION,
            "session": request.name.session_bytes,
            "batch": request.name.number,
            "key_id": bytes.fromhex(check_hash(request.key_id)),
            "positions": [write_position(position) for position in request.positions],
            "void": sorted(request.void),
            "masked": list(request.masked),
            "columns": request.columns,
            "check": request.check,
            "settled": [[name.session_bytes, name.number] for name in request.settled],
        }
    )


def decode_request(data: bytes) -> BatchRequest:
    """The request of msgpack, or InvalidEncoding."""
    fields = _fields(
        data,
        "session",
        "batch",
        "key_id",
        "positions",
        "void",
        "masked",
        "columns",
        "check",
        "settled",
    )
    positions = [read_position(value) for value in expect_list(fields["positions"])]
    if not positions:
        raise InvalidEncoding("a batch has at least one position")
    if len(set(positions)) != len(positions):
        raise InvalidEncoding("a position stands twice in this batch")
    void = [_index(value, len(positions)) for value in expect_list(fields["void"])]
    if void != sorted(set(void)):
        raise InvalidEncoding("the void positions are indexes in ascending order")
    return BatchRequest(
        name=_name([fields["session"], fields["batch"]]),
        key_id=expect_bin(fields["key_id"], 32).hex(),
        positions=tuple(positions),
        void=frozenset(void),
        masked=tuple(_ciphertext(value) for value in expect_list(fields["masked"])),
        columns=expect_bin(fields["columns"]),
        check=expect_bin(fields["check"], CHECK_BYTES),
        settled=tuple(_name(value) for value in expect_list(fields["settled"])),
    )


def encode_answer(answer: BatchAnswer) -> bytes:
    """The answer as msgpack."""
    return pack(
        {
            "v": VERSION,
            "totals": list(answer.totals),
            "tables": answer.tables,
            "corrections": answer.corrections,
        }
    )


def decode_answer(data: bytes) -> BatchAnswer:
    """The answer of msgpack, or InvalidEncoding."""
    fields = _fields(data, "totals", "tables", "corrections")
    return BatchAnswer(
        totals=tuple(_ciphertext(value) for value in expect_list(fields["totals"])),
        tables=expect_bin(fields["tables"]),
        corrections=expect_bin(fields["corrections"]),
    )


def _name(value: Any) -> BatchName:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidEncoding("a batch is named by its session and its number")
    session, number = value
    if type(number) is not int:
        raise InvalidEncoding("the number of a batch is an integer")
    return BatchName(expect_bin(session, _SESSION_BYTES).hex(), number)


def _index(value: Any, count: int) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise InvalidEncoding("expected the index of a position")
    return value


def _ciphertext(value: Any) -> bytes:
    data = expect_bin(value)
    if not 0 < len(data) <= _MAX_CIPHERTEXT_BYTES:
        raise InvalidEncoding("expected a ciphertext as bin")
    return data


def _fields(data: bytes, *names: str) -> dict[str, Any]:
    return read_map(data, VERSION, *names, max_bytes=MAX_MESSAGE_BYTES, max_items=MAX_ITEMS)
