"""Every signed message of docs/protocol.md, section 3, one frozen dataclass a `typ`.

`verify` is the way in: signature, type, fields and expiry are checked, in this order, and what
comes out can be relied on. `claimed` reads without checking, only to learn whose key to use.
Ciphertexts stay bytes here; `PublicKey.parse` checks them against the key they name.
"""

from crypto.messages.base import CLOCK_LEEWAY, SignedMessage
from crypto.messages.collectors import CollectorKind, Enrolment, EnrolmentProof, Grant, Revocation
from crypto.messages.manifest import KeyState, Manifest, PaillierEntry, SealingEntry
from crypto.messages.openings import (
    MAX_CELLS,
    MAX_RECORDINGS,
    Cell,
    Opening,
    RangeCheckStatement,
    Statement,
    TallyStatement,
)
from crypto.messages.ranges import RangeProposal
from crypto.messages.reports import FailedReport, ReadableReport, Report, UnreadableReport
from crypto.messages.service import Audience, ServiceRequest

__all__ = [
    "CLOCK_LEEWAY",
    "MAX_CELLS",
    "MAX_RECORDINGS",
    "Audience",
    "Cell",
    "CollectorKind",
    "Enrolment",
    "EnrolmentProof",
    "FailedReport",
    "Grant",
    "KeyState",
    "Manifest",
    "Opening",
    "PaillierEntry",
    "RangeCheckStatement",
    "RangeProposal",
    "ReadableReport",
    "Report",
    "Revocation",
    "SealingEntry",
    "ServiceRequest",
    "SignedMessage",
    "Statement",
    "TallyStatement",
    "UnreadableReport",
]
