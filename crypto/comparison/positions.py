"""What a comparison is for: the n-th recording of a patient's day, or a proposed healthy range."""

from dataclasses import dataclass
from typing import Any

from crypto.encoding import check_day, check_id
from crypto.errors import InvalidEncoding
from crypto.slots import COUNT_SLOT_BITS

MAX_NUMBER = (1 << COUNT_SLOT_BITS) - 1


@dataclass(frozen=True)
class RecordingPosition:
    """The `number`-th recording (from 1) that A counts for a patient and day."""

    pseudonym: str
    day: str
    number: int


@dataclass(frozen=True)
class RangePosition:
    """The check of a proposed range: every bound in [0, 2^l), and lo <= hi."""

    range: str
    pseudonym: str


Position = RecordingPosition | RangePosition


def write_position(position: Position) -> list[Any]:
    """The position as an array of msgpack."""
    if isinstance(position, RecordingPosition):
        return ["recording", position.pseudonym, position.day, position.number]
    return ["range", position.range, position.pseudonym]


def read_position(value: Any) -> Position:
    """The position of such an array, or InvalidEncoding."""
    match value:
        case ["recording", pseudonym, day, int(number)] if (
            type(number) is int and 1 <= number <= MAX_NUMBER
        ):
            return RecordingPosition(check_id(pseudonym), check_day(day), number)
        case ["range", range_id, pseudonym]:
            return RangePosition(check_id(range_id), check_id(pseudonym))
    raise InvalidEncoding("a position is a recording's or a range's")
