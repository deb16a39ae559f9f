"""Collectors' keys at B: enrolment, grants and their revocation."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from crypto.messages.base import SignedMessage
from crypto.wire import Hash, Identifier, Thumbprint, Time, one_of


class CollectorKind(StrEnum):
    """Who a collector is."""

    PATIENT = "patient"
    DOCTOR = "doctor"


@dataclass(frozen=True, kw_only=True)
class Enrolment(SignedMessage):
    """A's word that a collector of this kind has this key, for B to pin."""

    TYP: ClassVar[str] = "hushbeat-enrolment"
    LIFETIME: ClassVar[int | None] = 3600

    collector: Identifier
    kind: Annotated[CollectorKind, one_of(CollectorKind)]
    thumbprint: Thumbprint
    jti: Identifier
    iat: Time
    exp: Time


@dataclass(frozen=True, kw_only=True)
class EnrolmentProof(SignedMessage):
    """The collector's proof that it holds the key of an enrolment."""

    TYP: ClassVar[str] = "hushbeat-enrolment-proof"

    statement_sha256: Hash
    jti: Identifier


@dataclass(frozen=True, kw_only=True)
class Grant(SignedMessage):
    """A patient lets a doctor's key open the patient's tallies."""

    TYP: ClassVar[str] = "hushbeat-grant"

    grant: Identifier
    patient: Identifier
    doctor: Identifier
    doctor_thumbprint: Thumbprint
    iat: Time


@dataclass(frozen=True, kw_only=True)
class Revocation(SignedMessage):
    """A patient takes a grant back."""

    TYP: ClassVar[str] = "hushbeat-revocation"

    grant: Identifier
    patient: Identifier
    iat: Time
