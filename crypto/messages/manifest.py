"""The manifest: every public key and parameter, signed by B."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from crypto.encoding import sha256_hex
from crypto.errors import InvalidEncoding
from crypto.messages.base import SignedMessage
from crypto.paillier import PublicKey
from crypto.slots import COUNT_SLOT_BITS
from crypto.wire import (
    Hash,
    Modulus,
    PublicJwk,
    SealingPublicKey,
    Time,
    constant,
    integer,
    one_of,
    record,
    sequence,
    text,
)


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

    @property
    def retired_keys(self) -> list[PublicKey]:
        """Keys whose values are being moved to the active one."""
        return [PublicKey(e.n) for e in self.paillier if e.state is KeyState.RETIRED]
