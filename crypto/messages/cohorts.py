"""Cohorts: a clinic's roster of a month, and the statement under which it is opened once."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from crypto.cohorts import MAX_COHORT_RECORDINGS, MAX_EPSILON, MAX_ROSTER
from crypto.encoding import check_id
from crypto.errors import InvalidEncoding
from crypto.messages.base import SignedMessage
from crypto.messages.openings import Statement
from crypto.months import check_month
from crypto.slots import COUNT_SLOT_BITS
from crypto.wire import Codec, Hash, Identifier, Time, constant, integer, sequence

Month = Annotated[str, Codec(check_month)]


@dataclass(frozen=True, kw_only=True)
class Roster(SignedMessage):
    """Whose recordings of a month a clinic wants to see counted together."""

    TYP: ClassVar[str] = "hushbeat-roster"

    roster: Identifier
    clinic: Identifier
    month: Month
    pseudonyms: Annotated[tuple[str, ...], sequence(Codec(check_id), MAX_ROSTER)]
    iat: Time

    def __post_init__(self) -> None:
        if list(self.pseudonyms) != sorted(set(self.pseudonyms)):
            raise InvalidEncoding("the pseudonyms of a roster are sorted, each once")


@dataclass(frozen=True, kw_only=True)
class CohortStatement(Statement):
    """An opening of a roster's month: one cell, the sum over its members and their days.

    `members_sha256` is `crypto.cohorts.members_hash` of who is in it with how many recordings. The
    clinic learns how many people and recordings there are, not who recorded when. `epsilon`
    (thousandths, 0 for none) and `cap` are the terms of `crypto.cohorts.CohortTerms`.
    """

    kind: Annotated[str, constant("cohort")] = "cohort"
    ciphertext_sha256: Hash
    slot_bits: Annotated[int, constant(COUNT_SLOT_BITS)] = COUNT_SLOT_BITS
    roster: Identifier
    month: Month
    members_sha256: Hash
    members: Annotated[int, integer(1, MAX_ROSTER)]
    recordings: Annotated[int, integer(1, MAX_COHORT_RECORDINGS)]
    epsilon: Annotated[int, integer(0, MAX_EPSILON)]
    cap: Annotated[int, integer(0, MAX_COHORT_RECORDINGS)]


@dataclass(frozen=True, kw_only=True)
class CohortQuery(SignedMessage):
    """A clinic or a patient asks B about its own cohorts: rosters and openings, never a count."""

    TYP: ClassVar[str] = "hushbeat-cohort-query"
    LIFETIME: ClassVar[int | None] = 300

    collector: Identifier
    iat: Time
    exp: Time
