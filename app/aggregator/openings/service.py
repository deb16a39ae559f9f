"""What A does of an opening (docs/protocol.md, section 6): scope, blind, state, seal.

The blind exists here for a moment and leaves sealed to the collector's one-time key; it is neither
stored nor logged. What the key holder decrypts is uniform, and useless without the blind.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.aggregator.consents.service import may_open
from app.aggregator.devices.keys import NotEnrolled
from app.aggregator.ranges.service import KeyNotActive, RangeNotOpen, own_range
from app.aggregator.services import services
from app.aggregator.tables import Account, RangeState, Tally, db
from app.common.problems import NotFound, Problem
from crypto import hpke
from crypto.encoding import b64u, new_id, sha256_hex
from crypto.messages import Cell, RangeCheckStatement, Statement, TallyStatement
from crypto.opening import blind_tallies, commit_digest, fitting_slot_bits
from crypto.paillier import Ciphertext, PublicKey

STATEMENT_SECONDS = 300


class KeyMoving(Problem):
    """Tallies of the scope are being moved to another Paillier key."""

    slug = "key-moving"
    title = "The counts are being moved to a new key"
    status = 503
    retry_after = 10


@dataclass(frozen=True, slots=True, repr=False)
class AskedCell:
    """Days of one patient, to be added up."""

    pseudonym: str
    days: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class HalfOpening:
    """A's half: the statement (JWS), the sealed blind and C', which a range check has none of."""

    statement: str
    sealed_blind: bytes
    ciphertext: bytes | None

    def answer(self) -> dict[str, str]:
        """As it leaves the server."""
        parts = {"statement": self.statement, "sealed_blind": b64u(self.sealed_blind)}
        return parts if self.ciphertext is None else parts | {"ciphertext": b64u(self.ciphertext)}


def open_tallies(collector: Account, cells: Sequence[AskedCell], recipient: bytes) -> HalfOpening:
    """A's half of an opening of tallies; a day without a counted recording counts nothing.

    Raises:
        NotFound: a patient of the scope is neither the caller nor consents to the caller.
        NotEnrolled: the caller has no pinned key.
        InvalidEncoding: a day twice, too many days, or a recipient that is no X25519 key.
        PlaintextOutOfRange: more cells than fit in one opening.
        KeyMoving: half of the scope is under another Paillier key.
        KeyholderUnavailable: its manifest is not at hand.
    """
    for pseudonym in {cell.pseudonym for cell in cells}:
        if not may_open(collector, pseudonym):
            raise NotFound("There is no such patient, or none who consents to you.")
    held = _tallies(cells)
    key = one_key({row.key_id for row in held.values() if row.recordings})
    stated, tallies = [], []
    for cell in cells:
        rows = [(day, held.get((cell.pseudonym, day))) for day in cell.days]
        stated.append(
            Cell(
                pseudonym=cell.pseudonym,
                days=tuple((day, row.recordings if row else 0) for day, row in rows),
            )
        )
        tallies.append([key.stored(row.ciphertext) for _, row in rows if row and row.recordings])
    slot_bits = fitting_slot_bits([cell.recordings for cell in stated])
    blinded, blind = blind_tallies(key, tallies, slot_bits)
    statement = TallyStatement(
        slot_bits=slot_bits,
        ciphertext_sha256=sha256_hex(blinded.to_wire()),
        cells=tuple(stated),
        **common_fields(collector, recipient, key.key_id),
    )
    return half_opening(statement, blind, blinded)


def open_range_check(doctor: Account, range_id: str, recipient: bytes) -> HalfOpening:
    """A's half of a range check, for the doctor who made the range: a commitment to A's digest.

    The digest itself stays here: the doctor gets it from B, if the range is valid.

    Raises:
        NotFound: not this doctor's range, or the patient consents no more.
        RangeNotOpen: the bounds are not compared yet, or the range was decided.
        KeyNotActive, NotEnrolled, KeyholderUnavailable: as their names say.
    """
    found = own_range(doctor, range_id)
    if not may_open(doctor, found.pseudonym):
        raise NotFound("The patient does not consent to you any more.")
    if found.state != RangeState.CHECKED or found.digest is None:
        raise RangeNotOpen(f"It is {found.state}.", state=str(found.state))
    if services().keyholder.paillier_key(found.key_id) is None:
        raise KeyNotActive("The key changed meanwhile: set the range again.")
    common = common_fields(doctor, recipient, found.key_id)
    statement = RangeCheckStatement(range=found.id, pseudonym=found.pseudonym, **common)
    return half_opening(statement, commit_digest(found.digest))


def one_key(key_ids: Collection[str]) -> PublicKey:
    """The key of tallies that are opened together, which is the active one where there are none.

    Raises KeyMoving: they are under several, or under one that is gone.
    """
    if not key_ids:
        return services().keyholder.manifest().active_key
    key = services().keyholder.key_in_use(next(iter(key_ids))) if len(key_ids) == 1 else None
    if key is None:
        raise KeyMoving("Try again in a minute.")
    return key


def _tallies(cells: Sequence[AskedCell]) -> dict[tuple[str, str], Any]:
    """Number and ciphertext of each tally, read together so that they belong together."""
    days = [day for cell in cells for day in cell.days]
    rows = db.session.execute(
        select(Tally.pseudonym, Tally.day, Tally.key_id, Tally.recordings, Tally.ciphertext).where(
            Tally.pseudonym.in_({cell.pseudonym for cell in cells}),
            Tally.day.between(min(days), max(days)),
        )
    )
    return {(row.pseudonym, row.day): row for row in rows}


def common_fields(collector: Account, recipient: bytes, key_id: str) -> dict[str, Any]:
    """What every statement says: for whom, under which key, until when. Raises NotEnrolled."""
    if collector.thumbprint is None:
        raise NotEnrolled("Log in where the account is used, so that its key is made.")
    now = int(time.time())
    return {
        "collector": collector.collector,
        "thumbprint": collector.thumbprint,
        "recipient": hpke.check_public_key(recipient),
        "key_id": key_id,
        "jti": new_id(),
        "iat": now,
        "exp": now + STATEMENT_SECONDS,
    }


def half_opening(
    statement: Statement, blind: bytes, blinded: Ciphertext | None = None
) -> HalfOpening:
    """A's answer: the statement signed, the blind sealed to the recipient."""
    return HalfOpening(
        statement=statement.sign(services().secrets.statement_key),
        sealed_blind=hpke.seal(statement.recipient, hpke.blind_info(statement.jti), blind),
        ciphertext=None if blinded is None else blinded.to_wire(),
    )
