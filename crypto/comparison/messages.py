"""The two requests and two answers of a batch of comparisons (docs/protocol.md, section 5).

msgpack maps with exactly the documented names. The decoders bound every size before they build
anything, and raise InvalidEncoding for all that is not such a message. Ciphertexts are bytes here:
`PublicKey.parse` checks them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgpack

from crypto.encoding import check_day, check_hash, check_id, object_without_repeats
from crypto.errors import InvalidEncoding
from crypto.paillier import MAX_KEY_BITS
from crypto.slots import COUNT_SLOT_BITS

VERSION = 1
MAX_ITEMS = 256
"""Positions in one batch."""

MAX_COMPARISONS = 64
MAX_BITS = 64
MAX_MESSAGE_BYTES = 16 << 20
"""Above the largest honest message: 256 positions of three comparisons are 10 MB at 3072 bits."""

_MAX_CIPHERTEXT_BYTES = MAX_KEY_BITS // 4
_MAX_NUMBER = (1 << COUNT_SLOT_BITS) - 1

T = TypeVar("T")
CiphertextRows = tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True)
class RecordingPosition:
    """The `number`-th recording (from 1) that A counts for a patient and day."""

    pseudonym: str
    day: str
    number: int


@dataclass(frozen=True)
class RangePosition:
    """The check lo <= hi of a proposed range."""

    range: str
    pseudonym: str


Position = RecordingPosition | RangePosition


@dataclass(frozen=True)
class FirstItem:
    """A to B: Enc(sum_j 2^(Z j) (z_j + r_j)), one zone each; and how many comparisons it makes."""

    position: Position
    count: int
    masked: bytes


@dataclass(frozen=True)
class FirstAnswerItem:
    """B to A: for each comparison Enc(bit k of 2 (d mod 2^l) + 1), k = 0..l."""

    bits: CiphertextRows


@dataclass(frozen=True)
class SecondItem:
    """A to B: the first item again with the blinded, permuted c_j of each comparison.

    No tests at all say that A gives the position up; B then serves it void.
    """

    position: Position
    count: int
    masked: bytes
    tests: CiphertextRows


@dataclass(frozen=True)
class SecondAnswerItem:
    """B to A: Enc(zero seen xor d_l) of each comparison, or None if void; and Enc(t)."""

    bits: tuple[bytes, ...] | None
    mask: bytes

    @property
    def void(self) -> bool:
        """Whether B could not compare this position: it counts as a recording, not as a finding."""
        return self.bits is None


def encode_first_request(key_id: str, items: Iterable[FirstItem]) -> bytes:
    """The first request of a batch."""
    return _pack_request(key_id, [_first_fields(item) for item in items])


def decode_first_request(data: bytes) -> tuple[str, list[FirstItem]]:
    """Key id and items of a first request, or InvalidEncoding."""
    return _unpack_request(data, _read_first_item)


def encode_first_answer(items: Iterable[FirstAnswerItem]) -> bytes:
    """The first answer of a batch."""
    return _pack({"items": [{"bits": _lists(item.bits)} for item in items]})


def decode_first_answer(data: bytes) -> list[FirstAnswerItem]:
    """The items of a first answer, or InvalidEncoding."""
    return _unpack_answer(data, _read_first_answer)


def encode_second_request(key_id: str, items: Iterable[SecondItem]) -> bytes:
    """The second request of a batch."""
    return _pack_request(
        key_id, [{**_first_fields(item), "tests": _lists(item.tests)} for item in items]
    )


def decode_second_request(data: bytes) -> tuple[str, list[SecondItem]]:
    """Key id and items of a second request, or InvalidEncoding."""
    return _unpack_request(data, _read_second_item)


def encode_second_answer(items: Iterable[SecondAnswerItem]) -> bytes:
    """The second answer of a batch."""
    return _pack(
        {
            "items": [
                {"void": True, "mask": item.mask}
                if item.bits is None
                else {"bits": list(item.bits), "mask": item.mask}
                for item in items
            ]
        }
    )


def decode_second_answer(data: bytes) -> list[SecondAnswerItem]:
    """The items of a second answer, or InvalidEncoding."""
    return _unpack_answer(data, _read_second_answer)


def _first_fields(item: FirstItem | SecondItem) -> dict[str, Any]:
    at = item.position
    if isinstance(at, RecordingPosition):
        position: list[Any] = ["recording", at.pseudonym, at.day, at.number]
    else:
        position = ["range", at.range, at.pseudonym]
    return {"position": position, "count": item.count, "masked": item.masked}


def _lists(rows: CiphertextRows) -> list[list[bytes]]:
    return [list(row) for row in rows]


def _read_first_item(value: Any) -> FirstItem:
    fields = _fields(value, "position", "count", "masked")
    return FirstItem(
        _position(fields["position"]),
        _integer(fields["count"], MAX_COMPARISONS),
        _ciphertext(fields["masked"]),
    )


def _read_second_item(value: Any) -> SecondItem:
    fields = _fields(value, "position", "count", "masked", "tests")
    first = _read_first_item({name: fields[name] for name in ("position", "count", "masked")})
    tests = _rows(fields["tests"]) if fields["tests"] != [] else ()
    return SecondItem(first.position, first.count, first.masked, tests)


def _read_first_answer(value: Any) -> FirstAnswerItem:
    return FirstAnswerItem(_rows(_fields(value, "bits")["bits"]))


def _read_second_answer(value: Any) -> SecondAnswerItem:
    if isinstance(value, dict) and "void" in value:
        fields = _fields(value, "void", "mask")
        if fields["void"] is not True:
            raise InvalidEncoding("void is true or absent")
        return SecondAnswerItem(None, _ciphertext(fields["mask"]))
    fields = _fields(value, "bits", "mask")
    bits = _list(fields["bits"], MAX_COMPARISONS)
    return SecondAnswerItem(tuple(map(_ciphertext, bits)), _ciphertext(fields["mask"]))


def _position(value: Any) -> Position:
    match _list(value, 4):
        case ["recording", pseudonym, day, number]:
            return RecordingPosition(
                check_id(pseudonym), check_day(day), _integer(number, _MAX_NUMBER)
            )
        case ["range", range_id, pseudonym]:
            return RangePosition(check_id(range_id), check_id(pseudonym))
    raise InvalidEncoding("a position is a recording's or a range's")


def _rows(value: Any) -> CiphertextRows:
    return tuple(
        tuple(_ciphertext(entry) for entry in _list(row, MAX_BITS))
        for row in _list(value, MAX_COMPARISONS)
    )


def _ciphertext(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= _MAX_CIPHERTEXT_BYTES:
        raise InvalidEncoding("expected a ciphertext as bin")
    return value


def _integer(value: Any, highest: int) -> int:
    if type(value) is not int or not 1 <= value <= highest:
        raise InvalidEncoding(f"expected an integer from 1 to {highest}")
    return value


def _list(value: Any, longest: int) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= longest:
        raise InvalidEncoding(f"expected an array of 1 to {longest}")
    return value


def _fields(value: Any, *names: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise InvalidEncoding(f"expected a map with exactly {', '.join(names)}")
    return value


def _pack_request(key_id: str, items: Sequence[dict[str, Any]]) -> bytes:
    key = bytes.fromhex(check_hash(key_id))
    return _pack({"v": VERSION, "key_id": key, "items": list(items)})


def _pack(message: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(message)
    return packed


def _unpack_request(data: bytes, read: Callable[[Any], T]) -> tuple[str, list[T]]:
    fields = _fields(_unpack(data), "v", "key_id", "items")
    if type(fields["v"]) is not int or fields["v"] != VERSION:
        raise InvalidEncoding(f"expected version {VERSION} of the comparison")
    key_id = fields["key_id"]
    if not isinstance(key_id, bytes) or len(key_id) != 32:
        raise InvalidEncoding("a key id is a bin of 32 bytes")
    return key_id.hex(), [read(item) for item in _list(fields["items"], MAX_ITEMS)]


def _unpack_answer(data: bytes, read: Callable[[Any], T]) -> list[T]:
    return [read(item) for item in _list(_fields(_unpack(data), "items")["items"], MAX_ITEMS)]


def _unpack(data: bytes) -> Any:
    if not isinstance(data, bytes) or len(data) > MAX_MESSAGE_BYTES:
        raise InvalidEncoding(f"expected at most {MAX_MESSAGE_BYTES} bytes of msgpack")
    try:
        return msgpack.unpackb(
            data,
            strict_map_key=True,
            object_pairs_hook=object_without_repeats,
            max_array_len=MAX_ITEMS,
            max_map_len=8,
            max_str_len=64,
            max_bin_len=_MAX_CIPHERTEXT_BYTES,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise InvalidEncoding("not msgpack of this protocol") from error
