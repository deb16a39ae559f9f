"""Requests for recovery and who vouches for them. The key holder alone counts, waits and decides.

A's own approval is one of two, and is worth nothing without a doctor's.
"""

from __future__ import annotations

import time

from sqlalchemy import select, update

from app.aggregator.consents.service import may_open, patients_of
from app.aggregator.devices.keys import (
    KeyAlreadyPinned,
    NotEnrolled,
    check_length,
    in_force,
    key_to_pin,
    pin,
    verified,
)
from app.aggregator.services import services
from app.aggregator.tables import (
    Account,
    AccountKind,
    CollectorKey,
    Recovery,
    RecoveryApproval,
    db,
)
from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from crypto.messages import AGGREGATOR, RecoveryCancel, RecoveryReceipt
from crypto.messages import Recovery as SignedRecovery
from crypto.messages import RecoveryApproval as SignedApproval

MAX_RECOVERIES = 3
"""That wait, of one account; a further one ends the oldest."""


class RecoveryConflict(Problem):
    """The recovery's id was used for another key, or the recovery is over."""

    slug = "recovery-over"
    title = "This recovery is over"
    status = 409


def ask(patient: Account, token: str) -> tuple[str, bool]:
    """Keeps a new key's request for the patient's account; its id, and whether it is new.

    Raises:
        CryptoError: not signed by the key itself, malformed or too old.
        InvalidRequest: it speaks of another account.
        NotEnrolled: no key was lost. KeyAlreadyPinned: the key is in use.
        RecoveryConflict: as its name says.
    """
    check_length(token)
    claim = SignedRecovery.claimed(token)
    if claim.collector != patient.collector:
        raise InvalidRequest("The request speaks of another account.")
    if patient.thumbprint is None:
        raise NotEnrolled("There is nothing to recover: log in, and a key is made.")
    key = key_to_pin(claim.key, claim.collector, claim.type)
    signed = SignedRecovery.verify(token, key, time.time())
    account_id, thumb = patient.id, signed.thumbprint

    def work() -> bool:
        db.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
        known = db.session.get(Recovery, signed.jti)
        if known is not None:
            if (known.account_id, known.thumbprint, known.ended_at) != (account_id, thumb, None):
                raise RecoveryConflict("Make a new request.")
            return False
        if db.session.get(CollectorKey, thumb) is not None:
            raise KeyAlreadyPinned("This key is in use: make a new one.")
        for oldest in _waiting([account_id])[: 1 - MAX_RECOVERIES]:
            oldest.ended_at = int(time.time())
        db.session.add(
            Recovery(
                jti=signed.jti,
                account_id=account_id,
                thumbprint=thumb,
                recovery=token,
                requested_at=int(time.time()),
            )
        )
        return True

    return signed.jti, in_transaction(db, work)


def listed(caller: Account) -> list[Recovery]:
    """The recoveries that are not over: the patient's own, the doctor's patients', or all."""
    if caller.kind == AccountKind.OPERATOR:
        return _waiting(None)
    if caller.kind == AccountKind.DOCTOR:
        return _waiting([patient.id for patient, _ in patients_of(caller)])
    return _waiting([caller.id])


def approvals(recovery: Recovery) -> dict[str, str]:
    """The signed approvals of a recovery, by who gave them."""
    rows = db.session.execute(
        select(RecoveryApproval.approver, RecoveryApproval.approval)
        .where(RecoveryApproval.jti == recovery.jti)
        .order_by(RecoveryApproval.approver)
    )
    return {row.approver: row.approval for row in rows}


def approve_as_operator(jti: str) -> None:
    """A vouches: an operator has made sure who asks. Raises NotFound or RecoveryConflict."""
    found = _open(db.session.get(Recovery, jti))
    approval = SignedApproval(
        recovery=jti,
        collector=found.account.collector,
        thumbprint=found.thumbprint,
        approver=AGGREGATOR,
        iat=int(time.time()),
    )
    _keep(jti, AGGREGATOR, approval.sign(services().secrets.statement_key))


def approve_as_doctor(doctor: Account, jti: str, token: str) -> None:
    """Keeps the approval of a doctor to whom the patient consents.

    Raises NotFound, RecoveryConflict, CryptoError, or InvalidRequest: it speaks of another one.
    """
    found = db.session.get(Recovery, jti)
    if found is not None and not may_open(doctor, found.account.collector):
        found = None
    found = _open(found)
    signed = verified(SignedApproval, token, doctor, time.time())
    named = (signed.recovery, signed.collector, signed.thumbprint, signed.approver)
    if named != (jti, found.account.collector, found.thumbprint, doctor.collector):
        raise InvalidRequest("The approval speaks of another recovery, key or doctor.")
    _keep(jti, doctor.collector, token)


def cancel(patient: Account, jti: str, token: str) -> None:
    """Ends a recovery by the word of a key that is left; again is harmless.

    Raises NotFound, CryptoError, KeyRevoked, or InvalidRequest: it speaks of another one.
    """
    _own(patient, jti)
    signed = verified(RecoveryCancel, token, patient, time.time())
    if (signed.recovery, signed.collector) != (jti, patient.collector):
        raise InvalidRequest("The message speaks of another recovery.")
    in_transaction(db, lambda: _end(Recovery.jti == jti))


def complete(patient: Account, jti: str, receipt: str) -> str:
    """Puts the new key in the place of all others, by the key holder's word; its thumbprint.

    Raises NotFound, CryptoError, KeyholderUnavailable, or InvalidRequest: it speaks of another one.
    """
    found = _own(patient, jti)
    check_length(receipt)
    signed = RecoveryReceipt.verify(receipt, services().keyholder.manifest_key(), time.time())
    named = (signed.recovery, signed.collector, signed.thumbprint)
    if named != (jti, patient.collector, found.thumbprint):
        raise InvalidRequest("The receipt speaks of another recovery.")
    asked = SignedRecovery.claimed(found.recovery)
    key = key_to_pin(asked.key, asked.collector, asked.type)
    account_id, token = patient.id, found.recovery

    def work() -> None:
        db.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
        if db.session.get(CollectorKey, signed.thumbprint) is not None:
            return
        for older in in_force(account_id):
            older.revoked_at = int(time.time())
        pin(account_id, key, token, "")
        _end(Recovery.account_id == account_id)

    in_transaction(db, work)
    return signed.thumbprint


def _own(patient: Account, jti: str) -> Recovery:
    found = db.session.get(Recovery, jti)
    if found is None or found.account_id != patient.id:
        raise NotFound("You have no such recovery.")
    return found


def _open(found: Recovery | None) -> Recovery:
    if found is None:
        raise NotFound("There is no such recovery, or none of your patients'.")
    if found.ended_at is not None:
        raise RecoveryConflict("It was cancelled, is complete, or was begun anew.")
    return found


def _keep(jti: str, approver: str, token: str) -> None:
    def work() -> None:
        if db.session.get(RecoveryApproval, (jti, approver)) is None:
            db.session.add(RecoveryApproval(jti=jti, approver=approver, approval=token))

    in_transaction(db, work)


def _waiting(accounts: list[int] | None) -> list[Recovery]:
    query = select(Recovery).where(Recovery.ended_at.is_(None))
    if accounts is not None:
        query = query.where(Recovery.account_id.in_(accounts))
    return list(db.session.scalars(query.order_by(Recovery.requested_at, Recovery.jti)))


def _end(which: object) -> None:
    db.session.execute(
        update(Recovery)
        .where(which, Recovery.ended_at.is_(None))  # type: ignore[arg-type]
        .values(ended_at=int(time.time()))
        .execution_options(synchronize_session=False)
    )
