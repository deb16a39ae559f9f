"""A doctor's healthy range."""

from dataclasses import dataclass
from typing import ClassVar

from crypto.messages.base import SignedMessage
from crypto.wire import CiphertextBytes, Hash, Identifier, Time


@dataclass(frozen=True, kw_only=True)
class RangeProposal(SignedMessage):
    """A doctor's healthy range for a patient, encrypted where the doctor sits."""

    TYP: ClassVar[str] = "hushbeat-range"

    range: Identifier
    pseudonym: Identifier
    key_id: Hash
    threshold: CiphertextBytes
    lo: CiphertextBytes
    hi: CiphertextBytes
    iat: Time
