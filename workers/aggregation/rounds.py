"""Both rounds of one position with the key holder (docs/protocol.md, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from crypto.comparison.messages import (
    FirstItem,
    Position,
    SecondItem,
    decode_first_answer,
    decode_second_answer,
    encode_first_request,
    encode_second_request,
)
from crypto.comparison.reference import COMPARISONS, ReferenceInitiator
from crypto.errors import ProtocolViolation
from crypto.paillier import Ciphertext, PublicKey

T = TypeVar("T")


class ComparesWithUs(Protocol):
    """What `app.aggregator.keyholder_client.KeyholderClient` does."""

    def compare_first(self, request: bytes) -> bytes: ...

    def compare_second(self, request: bytes) -> bytes: ...


@dataclass(frozen=True)
class Compared:
    """What came out: the bits under encryption, None if B served the position void; and Enc(t)."""

    bits: list[Ciphertext] | None
    mask: Ciphertext


def compare(
    keyholder: ComparesWithUs,
    key: PublicKey,
    position: Position,
    packed: Ciphertext,
    seed: bytes,
) -> Compared:
    """Play a position on the numbers in the zones of `packed`.

    The same arguments send the same bytes, so it can be repeated at will.

    Raises
    ------
    KeyholderUnavailable, KeyholderRefused : from `keyholder`; only the first is worth a retry.
    CryptoError : an answer that is not one.
    """
    initiator = ReferenceInitiator(key, position, packed, seed)
    count, masked = initiator.first()
    first = _only(
        decode_first_answer(
            keyholder.compare_first(
                encode_first_request(key.key_id, [FirstItem(position, count, masked)])
            )
        )
    )
    item = SecondItem(position, count, masked, initiator.second(first))
    second = _only(
        decode_second_answer(keyholder.compare_second(encode_second_request(key.key_id, [item])))
    )
    return Compared(None if second.void else initiator.bits(second), key.parse(second.mask))


def give_up(keyholder: ComparesWithUs, key: PublicKey, position: Position) -> Compared:
    """Have a position served void: for inputs that cannot be compared.

    A second request without tests says so; raises as `compare`.
    """
    count = COMPARISONS[type(position)]
    item = SecondItem(position, count, key.constant(0).to_bytes(), ())
    second = _only(
        decode_second_answer(keyholder.compare_second(encode_second_request(key.key_id, [item])))
    )
    if not second.void:
        raise ProtocolViolation("a position that was given up was answered with bits")
    return Compared(None, key.parse(second.mask))


def _only(items: Sequence[T]) -> T:
    if len(items) != 1:
        raise ProtocolViolation("one position was asked for, another number was answered")
    return items[0]
