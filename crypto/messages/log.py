"""B's log: what was done with whose key or data, hash-chained, so that no history is rewritten.

Every entry carries the hash of the one before it (`prev`) and of the one before it of the same
pseudonym (`own_prev`). The second chain lets an owner, who sees no entry of other people, check the
own history without gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from crypto.encoding import json_bytes, sha256_hex
from crypto.errors import ProtocolViolation
from crypto.messages.base import SignedMessage
from crypto.messages.recoveries import check_approver
from crypto.wire import (
    MAX_TIME,
    Codec,
    Hash,
    Identifier,
    Thumbprint,
    Time,
    integer,
    one_of,
    text,
    to_record,
)

NOTHING = "0" * 64
"""The hash before the first entry."""

_CONTEXT = b"hushbeat/log/v1\x00"

Count = Annotated[int, integer(0, MAX_TIME)]


class LogKind(StrEnum):
    """What an entry is about; in brackets what its `subject` names."""

    ENROLMENT = "enrolment"  # [thumbprint]
    DEVICE = "device"  # [thumbprint]
    DEVICE_REMOVAL = "device-removal"  # [thumbprint]
    GRANT = "grant"  # [grant]
    REVOCATION = "revocation"  # [grant]
    RECOVERY_APPROVAL = "recovery-approval"  # [recovery]
    RECOVERY_DELAY = "recovery-delay"  # [recovery]: the last approval that it takes
    RECOVERY_CANCEL = "recovery-cancel"  # [recovery]
    RECOVERY_COMPLETION = "recovery-completion"  # [thumbprint of the new key]
    TALLY = "tally"  # [jti]: an opening of counts
    RANGE_CHECK = "range-check"  # [jti]: an opening of a range's check
    ROSTER = "roster"  # [roster]
    COHORT = "cohort"  # [roster]: an entry of each patient counted in, and one of the clinic


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One entry. Not signed by itself: the head is.

    Attributes:
        pseudonym: whose key or data.
        actor: the collector that did it, or `aggregator`.
        thumbprint: of the key that signed the message.
        message_sha256: of the JWS that caused it.
        cells, recordings: of an opening, how much of this pseudonym's it covered; else 0.
    """

    seq: Count
    at: Time
    pseudonym: Identifier
    actor: Annotated[str, Codec(check_approver)]
    thumbprint: Thumbprint
    kind: Annotated[LogKind, one_of(LogKind)]
    subject: Annotated[str, text(64)]
    message_sha256: Hash
    cells: Count
    recordings: Count
    prev: Hash
    own_prev: Hash

    @property
    def hash(self) -> str:
        """SHA-256 over the fields in their one spelling, in hex."""
        return sha256_hex(_CONTEXT + json_bytes(to_record(self)))


@dataclass(frozen=True, kw_only=True)
class LogRequest(SignedMessage):
    """A collector asks for its own entries after the one of number `after` (0: from the first)."""

    TYP: ClassVar[str] = "hushbeat-log-request"
    LIFETIME: ClassVar[int | None] = 300

    collector: Identifier
    after: Count
    jti: Identifier
    iat: Time
    exp: Time


@dataclass(frozen=True, kw_only=True)
class LogHead(SignedMessage):
    """B's signed word where the log ends: the whole one, and the one of this collector."""

    TYP: ClassVar[str] = "hushbeat-log-head"

    collector: Identifier
    jti: Identifier
    seq: Count
    hash: Hash
    own_seq: Count
    own_hash: Hash
    iat: Time


@dataclass(frozen=True)
class LogMark:
    """How far a collector has seen its own log."""

    seq: int = 0
    hash: str = NOTHING


def follow(entries: Sequence[LogEntry], collector: str, known: LogMark) -> LogMark:
    """How far these entries lead on from what was known before.

    Raises ProtocolViolation: an entry is another's, out of order, or does not follow.
    """
    mark = known
    for entry in entries:
        if entry.pseudonym != collector:
            raise ProtocolViolation("the log holds an entry of somebody else")
        if entry.seq <= mark.seq or entry.own_prev != mark.hash:
            raise ProtocolViolation("the log does not follow from what was seen before")
        mark = LogMark(entry.seq, entry.hash)
    return mark


def check_head(head: LogHead, request: LogRequest, mark: LogMark) -> None:
    """Raises ProtocolViolation unless the own log ends at `mark`, by B's answer to this request."""
    if (head.collector, head.jti) != (request.collector, request.jti):
        raise ProtocolViolation("the log's head answers another request")
    if (head.own_seq, head.own_hash) != (mark.seq, mark.hash) or head.seq < head.own_seq:
        raise ProtocolViolation("the log ends elsewhere than its head says")
