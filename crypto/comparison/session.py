"""A session: one set of base transfers, and one garbling offset, for many batches.

A session is opened with one round trip. What each side keeps is secret and is sealed before it is
stored; several processes of a side may share it, for a batch's number is used only once.
"""

import secrets
from dataclasses import dataclass
from typing import Any

import msgpack

from crypto.comparison.base_transfer import (
    ELEMENT_BYTES,
    SEED_BYTES,
    TRANSFERS,
    TransferSender,
    choose,
)
from crypto.comparison.blocks import BLOCK_BYTES
from crypto.encoding import check_id, new_id
from crypto.errors import InvalidEncoding

MAX_COMPARISONS = 1 << 20
"""Under one offset; then a new session is opened."""


@dataclass(frozen=True, repr=False)
class EvaluatorSession:
    """What A keeps: both seeds of each base transfer. A secret."""

    session: str
    pairs: tuple[tuple[bytes, bytes], ...]

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored."""
        return b"".join(first + second for first, second in self.pairs)

    @classmethod
    def from_bytes(cls, session: str, data: bytes) -> "EvaluatorSession":
        """From `to_bytes`; raises InvalidEncoding."""
        if len(data) != 2 * SEED_BYTES * TRANSFERS:
            raise InvalidEncoding("an evaluator's session has two seeds a transfer")
        seeds = _seeds(data)
        return cls(check_id(session), tuple(zip(seeds[::2], seeds[1::2], strict=True)))

    def __repr__(self) -> str:
        return "EvaluatorSession"


@dataclass(frozen=True, repr=False)
class GarblerSession:
    """What B keeps: the offset and the seeds that its bits chose. A secret."""

    session: str
    offset: bytes
    seeds: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored."""
        return self.offset + b"".join(self.seeds)

    @classmethod
    def from_bytes(cls, session: str, data: bytes) -> "GarblerSession":
        """From `to_bytes`; raises InvalidEncoding."""
        if len(data) != BLOCK_BYTES + SEED_BYTES * TRANSFERS:
            raise InvalidEncoding("a garbler's session has an offset and a seed a transfer")
        return cls(check_id(session), data[:BLOCK_BYTES], tuple(_seeds(data[BLOCK_BYTES:])))

    def __repr__(self) -> str:
        return "GarblerSession"


class SessionOpener:
    """A's side of opening a session: `request`, then `session` with B's answer."""

    def __init__(self) -> None:
        self._id = new_id()
        self._sender = TransferSender(bytes.fromhex(self._id))

    def request(self) -> bytes:
        """msgpack {session, element}."""
        packed: bytes = msgpack.packb(
            {"session": bytes.fromhex(self._id), "element": self._sender.message()}
        )
        return packed

    def session(self, answer: bytes) -> EvaluatorSession:
        """The session. Raises InvalidEncoding unless the answer has 256 group elements."""
        return EvaluatorSession(self._id, tuple(self._sender.seeds(answer)))

    def __repr__(self) -> str:
        return "SessionOpener"


def accept_session(request: bytes) -> tuple[GarblerSession, bytes]:
    """B's side: a session with a new offset, and the answer to A. Raises InvalidEncoding."""
    session, element = _read_request(request)
    offset = bytearray(secrets.token_bytes(BLOCK_BYTES))
    offset[0] |= 1  # the colour: a wire's two labels differ in it
    choices = [offset[i // 8] >> i % 8 & 1 for i in range(TRANSFERS)]
    chosen = choose(session, element, choices)
    return GarblerSession(session.hex(), bytes(offset), tuple(chosen.seeds)), chosen.answer


def _read_request(request: bytes) -> tuple[bytes, bytes]:
    try:
        value: Any = msgpack.unpackb(
            request, max_map_len=2, max_str_len=16, max_bin_len=ELEMENT_BYTES, max_array_len=0
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise InvalidEncoding("not msgpack of this protocol") from error
    if not isinstance(value, dict) or set(value) != {"session", "element"}:
        raise InvalidEncoding("expected a map with exactly session, element")
    session, element = value["session"], value["element"]
    if not isinstance(session, bytes) or len(session) != 16 or not isinstance(element, bytes):
        raise InvalidEncoding("a session has 16 bytes and an element")
    return session, element


def _seeds(data: bytes) -> list[bytes]:
    return [data[at : at + SEED_BYTES] for at in range(0, len(data), SEED_BYTES)]
