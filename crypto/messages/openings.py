"""Openings: A's statement of what is to be opened, and the collector's signature under it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from crypto.errors import InvalidEncoding
from crypto.messages.base import SignedMessage, variant_of
from crypto.slots import COUNT_SLOT_BITS
from crypto.wire import (
    DAY,
    Hash,
    Identifier,
    SealingPublicKey,
    Thumbprint,
    Time,
    constant,
    from_record,
    integer,
    pair,
    record,
    sequence,
)

MAX_RECORDINGS = (1 << COUNT_SLOT_BITS) - 1
MAX_CELLS = 340
"""As many as fit under the longest key (`paillier.MAX_KEY_BITS`)."""


@dataclass(frozen=True, kw_only=True)
class Statement(SignedMessage):
    """What is to be opened, for whom; `verify` returns one of its kinds."""

    TYP: ClassVar[str] = "hushbeat-statement"
    LIFETIME: ClassVar[int | None] = 300

    collector: Identifier
    thumbprint: Thumbprint
    recipient: SealingPublicKey
    key_id: Hash
    jti: Identifier
    iat: Time
    exp: Time

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        return from_record(variant_of(cls, payload, "kind"), payload)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One slot pair of an opening: days of one patient, each with its number of recordings."""

    pseudonym: Identifier
    days: Annotated[tuple[tuple[str, int], ...], sequence(pair(DAY, integer(0, MAX_RECORDINGS)))]

    def __post_init__(self) -> None:
        if self.recordings > MAX_RECORDINGS:
            raise InvalidEncoding(f"a cell counts at most {MAX_RECORDINGS} recordings")

    @property
    def recordings(self) -> int:
        """How many recordings the cell counts: the bound of each of its two slots."""
        return sum(number for _, number in self.days)


@dataclass(frozen=True, kw_only=True)
class TallyStatement(Statement):
    """An opening of tallies."""

    kind: Annotated[str, constant("tally")] = "tally"
    ciphertext_sha256: Hash
    slot_bits: Annotated[int, integer(1, COUNT_SLOT_BITS)] = COUNT_SLOT_BITS
    cells: Annotated[tuple[Cell, ...], sequence(record(Cell), MAX_CELLS)]

    def __post_init__(self) -> None:
        if any(cell.recordings >> self.slot_bits for cell in self.cells):
            raise InvalidEncoding("a cell counts more recordings than its slots hold")
        served = [(cell.pseudonym, day) for cell in self.cells for day, _ in cell.days]
        if len(set(served)) != len(served):
            raise InvalidEncoding("a patient's day stands twice in this opening")


@dataclass(frozen=True, kw_only=True)
class RangeCheckStatement(Statement):
    """An opening of the digest that shows a range to be valid, for the doctor who proposed it."""

    kind: Annotated[str, constant("range_check")] = "range_check"
    range: Identifier
    pseudonym: Identifier


@dataclass(frozen=True, kw_only=True)
class Opening(SignedMessage):
    """The collector's signature under a statement."""

    TYP: ClassVar[str] = "hushbeat-opening"

    statement_sha256: Hash
    jti: Identifier
