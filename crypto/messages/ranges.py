"""A doctor's healthy range."""

from dataclasses import dataclass
from typing import ClassVar

from crypto.messages.base import SignedMessage
from crypto.wire import CiphertextBytes, Hash, Identifier, Time


@dataclass(frozen=True, kw_only=True)
class RangeProposal(SignedMessage):
    """A doctor's healthy range for a patient, encrypted where the doctor sits.

    `bounds` is one ciphertext: `slots.pack_range`.
    """

    TYP: ClassVar[str] = "hushbeat-range"

    range: Identifier
    pseudonym: Identifier
    key_id: Hash
    bounds: CiphertextBytes
    iat: Time
