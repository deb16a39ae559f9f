"""Recovery of a patient without a key: a new key, two approvals, a delay, a way to stop it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from crypto.encoding import check_id
from crypto.errors import InvalidEncoding
from crypto.jws import thumbprint
from crypto.messages.base import SignedMessage
from crypto.messages.collectors import DEVICE_SECONDS
from crypto.webauthn import KeyType
from crypto.wire import Codec, CollectorJwk, Identifier, Thumbprint, Time, one_of

AGGREGATOR = "aggregator"
"""The approver of an approval that A's statement key signed, at an operator's request."""

RECOVERY_SECONDS = 30 * 86_400
"""How long after its signature a request or an approval may arrive: people take their time."""


def check_approver(value: object) -> str:
    if value == AGGREGATOR:
        return AGGREGATOR
    try:
        return check_id(value)
    except InvalidEncoding:
        raise InvalidEncoding(f"expected {AGGREGATOR} or a collector's identifier") from None


@dataclass(frozen=True, kw_only=True)
class Recovery(SignedMessage):
    """A new key, signed by itself, asks to become the only key of a collector."""

    TYP: ClassVar[str] = "hushbeat-recovery"
    MAX_AGE: ClassVar[int | None] = RECOVERY_SECONDS

    collector: Identifier
    key: CollectorJwk
    type: Annotated[KeyType, one_of(KeyType)]
    jti: Identifier
    iat: Time

    @property
    def thumbprint(self) -> str:
        """Of the new key."""
        return thumbprint(self.key)


@dataclass(frozen=True, kw_only=True)
class RecoveryApproval(SignedMessage):
    """Somebody vouches that the new key is the collector's: A for an operator, or a doctor."""

    TYP: ClassVar[str] = "hushbeat-recovery-approval"
    MAX_AGE: ClassVar[int | None] = RECOVERY_SECONDS

    recovery: Identifier
    collector: Identifier
    thumbprint: Thumbprint
    approver: Annotated[str, Codec(check_approver)]
    iat: Time


@dataclass(frozen=True, kw_only=True)
class RecoveryCancel(SignedMessage):
    """A key that the collector still has stops a recovery."""

    TYP: ClassVar[str] = "hushbeat-recovery-cancel"
    MAX_AGE: ClassVar[int | None] = DEVICE_SECONDS

    recovery: Identifier
    collector: Identifier
    iat: Time


@dataclass(frozen=True, kw_only=True)
class RecoveryCompletion(SignedMessage):
    """The new key takes its place once the delay is over."""

    TYP: ClassVar[str] = "hushbeat-recovery-completion"
    MAX_AGE: ClassVar[int | None] = DEVICE_SECONDS

    recovery: Identifier
    collector: Identifier
    iat: Time


@dataclass(frozen=True, kw_only=True)
class RecoveryReceipt(SignedMessage):
    """B's word that a recovery is complete, by its manifest key; A believes nobody else's."""

    TYP: ClassVar[str] = "hushbeat-recovery-receipt"

    recovery: Identifier
    collector: Identifier
    thumbprint: Thumbprint
    iat: Time
