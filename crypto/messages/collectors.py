"""Collectors' keys at B: enrolment, further devices, grants and their revocation."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from crypto.jws import thumbprint
from crypto.messages.base import SignedMessage
from crypto.webauthn import KeyType
from crypto.wire import CollectorJwk, Hash, Identifier, Thumbprint, Time, one_of

DEVICE_SECONDS = 86_400
"""How long after its signature a message about a device may arrive."""


class CollectorKind(StrEnum):
    """Who a collector is."""

    PATIENT = "patient"
    DOCTOR = "doctor"
    CLINIC = "clinic"


class GrantUse(StrEnum):
    """What a grant is good for; it follows from the kind of collector that it is given to."""

    COUNTS = "counts"
    COHORT = "cohort"

    @classmethod
    def to(cls, kind: CollectorKind) -> "GrantUse | None":
        """What a collector of this kind is granted; None: nothing can be."""
        return {CollectorKind.DOCTOR: cls.COUNTS, CollectorKind.CLINIC: cls.COHORT}.get(kind)


@dataclass(frozen=True, kw_only=True)
class Enrolment(SignedMessage):
    """A's word that a collector of this kind has this key, for B to pin."""

    TYP: ClassVar[str] = "hushbeat-enrolment"
    LIFETIME: ClassVar[int | None] = 3600

    collector: Identifier
    kind: Annotated[CollectorKind, one_of(CollectorKind)]
    thumbprint: Thumbprint
    type: Annotated[KeyType, one_of(KeyType)]
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
class Device(SignedMessage):
    """A key of the collector takes a further one in: the key of another device."""

    TYP: ClassVar[str] = "hushbeat-device"
    MAX_AGE: ClassVar[int | None] = DEVICE_SECONDS

    collector: Identifier
    key: CollectorJwk
    type: Annotated[KeyType, one_of(KeyType)]
    jti: Identifier
    iat: Time

    @property
    def thumbprint(self) -> str:
        """Of the further key."""
        return thumbprint(self.key)


@dataclass(frozen=True, kw_only=True)
class DeviceProof(SignedMessage):
    """The further key's proof that somebody holds it."""

    TYP: ClassVar[str] = "hushbeat-device-proof"

    device_sha256: Hash
    jti: Identifier


@dataclass(frozen=True, kw_only=True)
class DeviceRemoval(SignedMessage):
    """A key of the collector ends another one."""

    TYP: ClassVar[str] = "hushbeat-device-removal"
    MAX_AGE: ClassVar[int | None] = DEVICE_SECONDS

    collector: Identifier
    thumbprint: Thumbprint
    jti: Identifier
    iat: Time


@dataclass(frozen=True, kw_only=True)
class Grant(SignedMessage):
    """A patient lets a doctor, named by the doctor's first key, open the patient's tallies."""

    TYP: ClassVar[str] = "hushbeat-grant"

    grant: Identifier
    patient: Identifier
    doctor: Identifier
    doctor_thumbprint: Thumbprint
    use: Annotated[GrantUse, one_of(GrantUse)] = GrantUse.COUNTS
    iat: Time


@dataclass(frozen=True, kw_only=True)
class Revocation(SignedMessage):
    """A patient takes a grant back."""

    TYP: ClassVar[str] = "hushbeat-revocation"

    grant: Identifier
    patient: Identifier
    iat: Time
