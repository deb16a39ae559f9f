"""The way of a healthy range: PROPOSED -> CHECKED -> ACTIVE or REFUSED; ACTIVE -> REPLACED.

The aggregation worker fills `digest` and sets CHECKED. The key holder has the same digest exactly
if the range is valid, and gives it to the doctor who made the range alone; this role tells it to
nobody, so whoever brings it has it from there. At most one range is in force a patient, the one
last decided on.
"""

from __future__ import annotations

import hmac
import time

from sqlalchemy import select, update

from app.aggregator.consents.service import may_open
from app.aggregator.devices.keys import verified
from app.aggregator.ranges.ending import PENDING_STATES, end_active, end_pending
from app.aggregator.services import services
from app.aggregator.tables import Account, Range, RangeState, db
from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from crypto.messages import RangeProposal

RANGE_CHARS = 8192
"""The longest proposal, which is kept."""


class KeyNotActive(Problem):
    """Ciphertexts under a Paillier key that is not the active one."""

    slug = "key-not-active"
    title = "This key is not in use"
    status = 422


class RangeConflict(Problem):
    """The range's id was used for another one."""

    slug = "range-conflict"
    title = "Another range has this id"
    status = 409


class RangeNotOpen(Problem):
    """The range is not in the state that this step starts from."""

    slug = "range-not-open"
    title = "This range cannot be decided on now"
    status = 409


class RangeNotValid(Problem):
    """Accepted without the key holder's digest of a valid range: it is refused for good."""

    slug = "range-not-valid"
    title = "The key holder did not find this range valid"
    status = 422


def propose(doctor: Account, pseudonym: str, token: str) -> tuple[str, RangeState, bool]:
    """Takes a signed proposal. Returns the range's id, its state and whether it is new.

    Raises:
        NotFound: the patient does not consent to the doctor.
        CryptoError: not signed by the doctor's pinned key, malformed, or no ciphertexts.
        InvalidRequest: it speaks of another patient.
        KeyNotActive, RangeConflict, KeyholderUnavailable: as their names say.
    """
    _require_consent(doctor, pseudonym)
    proposal = verified(RangeProposal, token, doctor, time.time(), longest=RANGE_CHARS)
    if proposal.pseudonym != pseudonym:
        raise InvalidRequest("The proposal speaks of another patient.")
    key = services().keyholder.paillier_key(proposal.key_id)
    if key is None:
        raise KeyNotActive("Fetch the manifest again and encrypt under its active key.")
    key.parse(proposal.bounds)
    doctor_id = doctor.id

    def work() -> tuple[RangeState, bool]:
        known = db.session.get(Range, proposal.range)
        if known is not None:
            if known.proposal != token or known.doctor_id != doctor_id:
                raise RangeConflict("Choose another id.")
            return RangeState(known.state), False
        end_pending(doctor_id, pseudonym)
        db.session.add(
            Range(
                id=proposal.range,
                pseudonym=pseudonym,
                doctor_id=doctor_id,
                state=RangeState.PROPOSED,
                key_id=proposal.key_id,
                bounds=proposal.bounds,
                proposal=token,
                created_at=int(time.time()),
            )
        )
        return RangeState.PROPOSED, True

    state, created = in_transaction(db, work)
    if created:
        services().queue.compare()
    return proposal.range, state, created


def decide(doctor: Account, range_id: str, digest: bytes | None) -> RangeState:
    """Puts a checked range in force, in place of the one before, or drops it.

    The same decision again is answered as the first was.

    Args:
        digest: the key holder's, as the doctor opened it; any other ends the range REFUSED. None
            drops it.

    Raises:
        NotFound: not this doctor's range, or the patient consents no more.
        RangeNotValid: not the digest of a valid range.
        RangeNotOpen: not checked yet, or decided otherwise.
    """
    pseudonym = own_range(doctor, range_id).pseudonym
    wanted = RangeState.REFUSED if digest is None else RangeState.ACTIVE

    def work() -> tuple[RangeState, bool]:
        _require_consent(doctor, pseudonym)
        found = db.session.get_one(Range, range_id, with_for_update=True)
        valid = digest is None or hmac.compare_digest(found.digest or b"", digest)
        if found.state != RangeState.CHECKED:
            return RangeState(found.state), valid
        outcome = wanted if valid else RangeState.REFUSED
        if outcome == RangeState.ACTIVE:
            end_active(pseudonym)
        db.session.execute(
            update(Range).where(Range.id == range_id).values(state=outcome),
            execution_options={"synchronize_session": False},
        )
        return outcome, valid

    state, valid = in_transaction(db, work)
    if state == RangeState.REFUSED and not valid:
        raise RangeNotValid("It is refused: its limits are out of order or out of range.")
    if state != wanted:
        raise RangeNotOpen(f"It is {state.value}.", state=state.value)
    return state


def own_range(doctor: Account, range_id: str) -> Range:
    """A range that this doctor made. Raises NotFound."""
    found = db.session.get(Range, range_id)
    if found is None or found.doctor_id != doctor.id:
        raise NotFound("You made no such range.")
    return found


def shown_range(doctor: Account, pseudonym: str) -> Range | None:
    """What a doctor sees of a patient: the own undecided range, else the one in force."""
    pending = select(Range).where(
        Range.pseudonym == pseudonym,
        Range.doctor_id == doctor.id,
        Range.state.in_(PENDING_STATES),
    )
    active = select(Range).where(Range.pseudonym == pseudonym, Range.state == RangeState.ACTIVE)
    return db.session.scalar(pending) or db.session.scalar(active)


def _require_consent(doctor: Account, pseudonym: str) -> None:
    if not may_open(doctor, pseudonym):
        raise NotFound("There is no such patient, or none who consents to you.")
