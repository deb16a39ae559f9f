"""What the inference worker found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from crypto.messages.base import SignedMessage, variant_of
from crypto.wire import CiphertextBytes, Hash, Identifier, constant, from_record, text


@dataclass(frozen=True, kw_only=True)
class Report(SignedMessage):
    """What the worker found; `verify` returns one of the three below."""

    TYP: ClassVar[str] = "hushbeat-report"

    recording: Identifier
    pseudonym: Identifier
    lease: Identifier

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        return from_record(variant_of(cls, payload, "outcome"), payload)


@dataclass(frozen=True, kw_only=True)
class ReadableReport(Report):
    """A judged recording: its score and heart rate in one ciphertext (`slots.pack_report`)."""

    outcome: Annotated[str, constant("readable")] = "readable"
    model: Annotated[str, text(128)]
    key_id: Hash
    findings: CiphertextBytes


@dataclass(frozen=True, kw_only=True)
class UnreadableReport(Report):
    """A recording that cannot be judged, and why; the patient is asked to record again."""

    outcome: Annotated[str, constant("unreadable")] = "unreadable"
    reason: Annotated[str, text(200)]


@dataclass(frozen=True, kw_only=True)
class FailedReport(Report):
    """A recording that could not be opened or decoded, and why."""

    outcome: Annotated[str, constant("failed")] = "failed"
    reason: Annotated[str, text(200)]
