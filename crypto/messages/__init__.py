"""Every signed message of docs/protocol.md, section 3, one frozen dataclass a `typ`.

`verify` is the way in: signature, type, fields and expiry are checked, in this order, and what
comes out can be relied on. `claimed` reads without checking, only to learn whose key to use.
Ciphertexts stay bytes here; `PublicKey.parse` checks them against the key they name.
"""

from crypto.messages.base import SignedMessage
from crypto.messages.cohorts import CohortQuery, CohortStatement, Roster
from crypto.messages.collectors import (
    CollectorKind,
    Device,
    DeviceProof,
    DeviceRemoval,
    Enrolment,
    EnrolmentProof,
    Grant,
    GrantUse,
    Revocation,
)
from crypto.messages.log import LogEntry, LogHead, LogKind, LogMark, LogRequest
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
from crypto.messages.recoveries import (
    AGGREGATOR,
    Recovery,
    RecoveryApproval,
    RecoveryCancel,
    RecoveryCompletion,
    RecoveryReceipt,
)
from crypto.messages.reports import FailedReport, ReadableReport, Report, UnreadableReport
from crypto.messages.service import Audience, ServiceRequest
from crypto.webauthn import CLOCK_LEEWAY, KeyType, PinnedKey

__all__ = [
    "AGGREGATOR",
    "CLOCK_LEEWAY",
    "MAX_CELLS",
    "MAX_RECORDINGS",
    "Audience",
    "Cell",
    "CohortQuery",
    "CohortStatement",
    "CollectorKind",
    "Device",
    "DeviceProof",
    "DeviceRemoval",
    "Enrolment",
    "EnrolmentProof",
    "FailedReport",
    "Grant",
    "GrantUse",
    "KeyState",
    "KeyType",
    "LogEntry",
    "LogHead",
    "LogKind",
    "LogMark",
    "LogRequest",
    "Manifest",
    "Opening",
    "PaillierEntry",
    "PinnedKey",
    "RangeCheckStatement",
    "RangeProposal",
    "ReadableReport",
    "Recovery",
    "RecoveryApproval",
    "RecoveryCancel",
    "RecoveryCompletion",
    "RecoveryReceipt",
    "Report",
    "Revocation",
    "Roster",
    "SealingEntry",
    "ServiceRequest",
    "SignedMessage",
    "Statement",
    "TallyStatement",
    "UnreadableReport",
]
