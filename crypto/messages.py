"""Every signed message of docs/protocol.md, section 3, one frozen dataclass a `typ`.

`verify` is the way in: signature, type, fields and expiry are checked, in this order, and what
comes out can be relied on. `claimed` reads without checking, only to learn whose key to use.
Ciphertexts stay bytes here; `PublicKey.parse` checks them against the key they name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from crypto import jws
from crypto.encoding import sha256_hex
from crypto.errors import Expired, InvalidEncoding
from crypto.paillier import PublicKey
from crypto.slots import COUNT_SLOT_BITS
from crypto.wire import (
    DAY,
    CiphertextBytes,
    Hash,
    Identifier,
    Modulus,
    PublicJwk,
    SealingPublicKey,
    Thumbprint,
    Time,
    constant,
    from_record,
    integer,
    one_of,
    pair,
    record,
    sequence,
    text,
    to_record,
)

CLOCK_LEEWAY = 60
"""Seconds by which the issuer's clock may be ahead of the verifier's."""

MAX_RECORDINGS = (1 << COUNT_SLOT_BITS) - 1
MAX_CELLS = 340
"""As many as fit under the longest key (`paillier.MAX_KEY_BITS`)."""

M = TypeVar("M")


class SignedMessage:
    """What all messages can do. Subclasses declare TYP and their fields."""

    TYP: ClassVar[str]
    LIFETIME: ClassVar[int | None] = None
    """The longest time from `iat` to `exp` in seconds, for messages that expire."""

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that is signed."""
        return to_record(self)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """The message of a JSON object. Raises InvalidEncoding unless it is exactly one."""
        return from_record(cls, payload)

    def sign(self, key: jws.SigningKey | jws.CollectorKey) -> str:
        """The message as a JWS. Raises InvalidEncoding for one that no verifier would take."""
        payload = self.to_payload()
        self.from_payload(payload)
        return key.sign(self.TYP, payload)

    @classmethod
    def verify(cls, token: str, jwk: Mapping[str, Any], now: float) -> Self:
        """The message of a JWS signed by `jwk`, at the time `now` (seconds since 1970).

        Raises:
            InvalidEncoding, WrongType, BadSignature: see `jws.verify`.
            Expired: past its `exp`, issued in the future, or valid for longer than allowed.
        """
        message = cls.from_payload(jws.verify(token, cls.TYP, jwk))
        message._check_time(now)
        return message

    @classmethod
    def claimed(cls, token: str) -> Self:
        """The message with its signature NOT checked: whose key to ask for, nothing else."""
        return cls.from_payload(jws.claimed_payload(token, cls.TYP))

    def _check_time(self, now: float) -> None:
        if self.LIFETIME is None:
            return
        iat: int = self.iat  # type: ignore[attr-defined]
        exp: int = self.exp  # type: ignore[attr-defined]
        if not iat <= exp <= iat + self.LIFETIME:
            raise Expired(f"valid for longer than {self.LIFETIME} seconds: issue it anew")
        if now >= exp:
            raise Expired("past its time: ask for a new one")
        if iat > now + CLOCK_LEEWAY:
            raise Expired("issued in the future: compare the clocks of the two machines")


class KeyState(StrEnum):
    """Life of a Paillier key."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, kw_only=True)
class PaillierEntry:
    """A Paillier key of the manifest."""

    key_id: Hash
    n: Modulus
    state: Annotated[KeyState, one_of(KeyState)]

    def __post_init__(self) -> None:
        if self.key_id != sha256_hex(self.n.to_bytes((self.n.bit_length() + 7) // 8, "big")):
            raise InvalidEncoding("key_id is not the SHA-256 of n")


@dataclass(frozen=True, kw_only=True)
class SealingEntry:
    """The inference worker's sealing key of the manifest."""

    key_id: Hash
    public: SealingPublicKey

    def __post_init__(self) -> None:
        if self.key_id != sha256_hex(self.public):
            raise InvalidEncoding("key_id is not the SHA-256 of public")


@dataclass(frozen=True, kw_only=True)
class Manifest(SignedMessage):
    """Every public key and parameter that a client needs, signed by B."""

    TYP: ClassVar[str] = "hushbeat-manifest"

    version: Annotated[int, constant(1)] = 1
    issued_at: Time
    keyholder_url: Annotated[str, text(2048)]
    aggregator_url: Annotated[str, text(2048)]
    paillier: Annotated[tuple[PaillierEntry, ...], sequence(record(PaillierEntry), 16)]
    sealing: Annotated[SealingEntry, record(SealingEntry)]
    report_key: PublicJwk
    statement_key: PublicJwk
    operating_point: Annotated[int, integer(0, 65_535)]
    slot_bits: Annotated[int, constant(COUNT_SLOT_BITS)] = COUNT_SLOT_BITS

    def __post_init__(self) -> None:
        if sum(entry.state is KeyState.ACTIVE for entry in self.paillier) != 1:
            raise InvalidEncoding("a manifest has exactly one active Paillier key")

    @property
    def active_key(self) -> PublicKey:
        """The key that new values are encrypted under."""
        return PublicKey(next(e.n for e in self.paillier if e.state is KeyState.ACTIVE))


class Audience(StrEnum):
    """The server that a service request is for."""

    KEYHOLDER = "keyholder"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True, kw_only=True)
class ServiceRequest(SignedMessage):
    """A server's or worker's own request: method, path and body under its signature."""

    TYP: ClassVar[str] = "hushbeat-request"
    LIFETIME: ClassVar[int | None] = 60

    aud: Annotated[Audience, one_of(Audience)]
    method: Annotated[str, text(16)]
    path: Annotated[str, text(4096)]
    body_sha256: Hash
    iat: Time
    exp: Time


@dataclass(frozen=True, kw_only=True)
class Report(SignedMessage):
    """What the worker found; `verify` returns one of the three below."""

    TYP: ClassVar[str] = "hushbeat-report"

    recording: Identifier
    pseudonym: Identifier
    lease: Identifier

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        return from_record(_variant(cls, payload, "outcome"), payload)


@dataclass(frozen=True, kw_only=True)
class ReadableReport(Report):
    """A judged recording: its score and heart rate under encryption."""

    outcome: Annotated[str, constant("readable")] = "readable"
    model: Annotated[str, text(128)]
    key_id: Hash
    sound: CiphertextBytes
    rate: CiphertextBytes


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


@dataclass(frozen=True, kw_only=True)
class Statement(SignedMessage):
    """What A blinded, for whom; `verify` returns one of the two below."""

    TYP: ClassVar[str] = "hushbeat-statement"
    LIFETIME: ClassVar[int | None] = 300

    collector: Identifier
    thumbprint: Thumbprint
    recipient: SealingPublicKey
    key_id: Hash
    ciphertext_sha256: Hash
    jti: Identifier
    iat: Time
    exp: Time

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        return from_record(_variant(cls, payload, "kind"), payload)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One slot pair of an opening: days of one patient, each with its number of recordings."""

    pseudonym: Identifier
    days: Annotated[tuple[tuple[str, int], ...], sequence(pair(DAY, integer(0, MAX_RECORDINGS)))]

    def __post_init__(self) -> None:
        if self.recordings > MAX_RECORDINGS:
            raise InvalidEncoding(f"a cell counts at most {MAX_RECORDINGS} recordings")

    @property
    def recordings(self) -> int:
        """How many recordings the cell counts: the bound of each of its two slots."""
        return sum(number for _, number in self.days)


@dataclass(frozen=True, kw_only=True)
class TallyStatement(Statement):
    """An opening of tallies."""

    kind: Annotated[str, constant("tally")] = "tally"
    slot_bits: Annotated[int, constant(COUNT_SLOT_BITS)] = COUNT_SLOT_BITS
    cells: Annotated[tuple[Cell, ...], sequence(record(Cell), MAX_CELLS)]

    def __post_init__(self) -> None:
        served = [(cell.pseudonym, day) for cell in self.cells for day, _ in cell.days]
        if len(set(served)) != len(served):
            raise InvalidEncoding("a patient's day stands twice in this opening")


@dataclass(frozen=True, kw_only=True)
class RangeCheckStatement(Statement):
    """An opening of the bit lo <= hi, for the doctor who proposed the range."""

    kind: Annotated[str, constant("range_check")] = "range_check"
    range: Identifier
    pseudonym: Identifier


@dataclass(frozen=True, kw_only=True)
class Opening(SignedMessage):
    """The collector's signature under a statement."""

    TYP: ClassVar[str] = "hushbeat-opening"

    statement_sha256: Hash
    jti: Identifier


def _variant(cls: type[M], payload: Mapping[str, Any], name: str) -> type[M]:
    """The subclass that a payload's discriminator names; a subclass reads itself only."""
    variants = {getattr(variant, name): variant for variant in cls.__subclasses__()}
    if not variants:
        return cls
    value = payload.get(name)
    if not isinstance(value, str) or value not in variants:
        raise InvalidEncoding(f"{name}: expected one of {', '.join(variants)}")
    return variants[value]
