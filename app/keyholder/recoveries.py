"""Recovery of a patient who has lost every key: two approvals, a delay that all can see, a stop.

The new key asks. Two parties vouch for it, of which one at least holds a grant of the patient: an
operator alone, with A's key in hand, cannot begin one. Then the delay runs, and every key that the
patient still has can cancel. A doctor has nobody who could vouch: a doctor enrols a new account.
"""

from __future__ import annotations

import time

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import NotAllowed, NotFound, Problem
from app.common.requests import json_body
from app.keyholder.collector_keys import (
    KeyTaken,
    check_length,
    in_force,
    key_to_pin,
    lock,
    lock_signer,
    pin,
    pinned,
    verified,
)
from app.keyholder.context import keyholder
from app.keyholder.grants import granted_to
from app.keyholder.log import Event, append
from app.keyholder.tables import CollectorKey, db
from app.keyholder.tables import Recovery as RecoveryRow
from app.keyholder.tables import RecoveryApproval as ApprovalRow
from crypto.encoding import check_id
from crypto.errors import BadSignature
from crypto.jws import thumbprint
from crypto.messages import (
    AGGREGATOR,
    CollectorKind,
    LogKind,
    PinnedKey,
    Recovery,
    RecoveryApproval,
    RecoveryCancel,
    RecoveryCompletion,
    RecoveryReceipt,
)

APPROVALS = 2

blueprint = Blueprint("recoveries", __name__, url_prefix="/v1/recoveries")


class NoRecovery(Problem):
    """Only a patient's key can be recovered."""

    slug = "no-recovery-for-this-kind"
    title = "Only patients can recover"
    status = 422


class NotAnApprover(NotAllowed):
    """Who approves is neither A nor a doctor with a grant of the patient in force."""

    slug = "not-an-approver"
    title = "This approval does not count"


class RecoveryOver(Problem):
    """The recovery was cancelled or is complete, or its id was used for another one."""

    slug = "recovery-over"
    title = "This recovery is over"
    status = 409


class RecoveryWaiting(Problem):
    """Approvals are missing (`completes_at` 0), or the delay is not over."""

    slug = "recovery-waiting"
    title = "This recovery is not complete yet"
    status = 409


@blueprint.post("")
def approve() -> ResponseReturnValue:
    body = json_body(recovery=str, approval=str)
    token, now = body["recovery"], time.time()
    recovery = _read(token, now)
    approval, signer = _read_approval(body["approval"], recovery, now)
    row = in_transaction(db, lambda: _approve(recovery, token, approval, body["approval"], signer))
    return jsonify(recovery=recovery.jti, approvals=row[0], completes_at=row[1])


@blueprint.post("/<jti>/cancellation")
def cancel(jti: str) -> ResponseReturnValue:
    token = json_body(cancel=str)["cancel"]
    claim = RecoveryCancel.claimed(token)
    message, signer = verified(RecoveryCancel, token, claim.collector, time.time())
    if message.recovery != jti:
        raise BadSignature("signed for another recovery")
    in_transaction(db, lambda: _cancel(message, token, signer))
    return jsonify(recovery=jti)


@blueprint.post("/<jti>/completion")
def complete(jti: str) -> ResponseReturnValue:
    token = json_body(completion=str)["completion"]
    row = db.session.get(RecoveryRow, check_id(jti))
    if row is None:
        raise NotFound("There is no such recovery.")
    stored = row.recovery
    recovery = Recovery.claimed(stored)
    key = key_to_pin(recovery.key, recovery.collector, recovery.type)
    message = RecoveryCompletion.verify(token, key, time.time())
    if (message.recovery, message.collector) != (jti, recovery.collector):
        raise BadSignature("signed for another recovery")
    completed_at = in_transaction(db, lambda: _complete(recovery, stored, key))
    receipt = RecoveryReceipt(
        recovery=jti,
        collector=recovery.collector,
        thumbprint=recovery.thumbprint,
        iat=completed_at,
    )
    return jsonify(receipt=receipt.sign(keyholder().keys.manifest))


def completable(collector: str) -> list[RecoveryRow]:
    """The collector's recoveries whose delay runs or is over, and that nobody cancelled."""
    query = (
        db.select(RecoveryRow)
        .filter_by(collector=collector, completed_at=None, cancelled_at=None)
        .where(RecoveryRow.completes_at.is_not(None))
        .order_by(RecoveryRow.completes_at, RecoveryRow.jti)
    )
    return list(db.session.scalars(query))


def _read(token: str, now: float) -> Recovery:
    check_length(token)
    claim = Recovery.claimed(token)
    if pinned(claim.collector).kind != CollectorKind.PATIENT:
        raise NoRecovery("Make a new account, and have its code given to the patients.")
    return Recovery.verify(token, key_to_pin(claim.key, claim.collector, claim.type), now)


def _read_approval(token: str, recovery: Recovery, now: float) -> tuple[RecoveryApproval, str]:
    """The approval and the thumbprint of the key that signed it."""
    check_length(token)
    approver = RecoveryApproval.claimed(token).approver
    if approver == AGGREGATOR:
        statement_key = keyholder().statement_key.current()
        approval = RecoveryApproval.verify(token, statement_key, now)
        signer = thumbprint(statement_key)
    else:
        approval, signer = verified(RecoveryApproval, token, approver, now)
        if not _may_approve(approver, recovery.collector):
            raise NotAnApprover("Only a doctor whom the patient lets open the counts can approve.")
    named = (approval.recovery, approval.collector, approval.thumbprint)
    if named != (recovery.jti, recovery.collector, recovery.thumbprint):
        raise BadSignature("the approval is for another recovery or key")
    return approval, signer


def _may_approve(approver: str, patient: str) -> bool:
    doctor = pinned(approver)
    if doctor.kind != CollectorKind.DOCTOR:
        return False
    return patient in granted_to(approver, doctor.thumbprint, {patient})


def _approve(
    recovery: Recovery, token: str, approval: RecoveryApproval, approval_token: str, signer: str
) -> tuple[list[str], int | None]:
    """Who has approved by now, and when the recovery can complete."""
    lock(recovery.collector)
    now = int(time.time())
    row = db.session.get(RecoveryRow, recovery.jti)
    if row is None:
        if db.session.get(CollectorKey, recovery.thumbprint) is not None:
            raise KeyTaken("Make a new key for the recovery.")
        row = RecoveryRow(
            jti=recovery.jti,
            collector=recovery.collector,
            thumbprint=recovery.thumbprint,
            recovery=token,
            asked_at=now,
            completes_at=None,
            completed_at=None,
            cancelled_at=None,
        )
        db.session.add(row)
        db.session.flush()
    _require_open(row, recovery)
    approvers = _approvers(row.jti)
    if approval.approver in approvers:
        return approvers, row.completes_at
    db.session.add(
        ApprovalRow(
            jti=row.jti, approver=approval.approver, approval=approval_token, approved_at=now
        )
    )
    approvers = sorted([*approvers, approval.approver])
    kind = LogKind.RECOVERY_APPROVAL
    if row.completes_at is None and _enough(approvers):
        kind = LogKind.RECOVERY_DELAY
        row.completes_at = now + 3600 * keyholder().config.recovery_delay_hours
    append(
        Event(
            pseudonym=row.collector,
            actor=approval.approver,
            thumbprint=signer,
            kind=kind,
            subject=row.jti,
            message=approval_token,
        )
    )
    return approvers, row.completes_at


def _enough(approvers: list[str]) -> bool:
    """Two, of which one at least is a doctor."""
    return len(approvers) >= APPROVALS and any(one != AGGREGATOR for one in approvers)


def _approvers(jti: str) -> list[str]:
    query = db.select(ApprovalRow.approver).filter_by(jti=jti).order_by(ApprovalRow.approver)
    return list(db.session.scalars(query))


def _require_open(row: RecoveryRow, recovery: Recovery) -> None:
    if (row.collector, row.thumbprint) != (recovery.collector, recovery.thumbprint):
        raise RecoveryOver("Another recovery has this id: sign a new request.")
    if row.cancelled_at is not None:
        raise RecoveryOver("It was cancelled: sign a new request.")
    if row.completed_at is not None:
        raise RecoveryOver("It is complete.")


def _cancel(message: RecoveryCancel, token: str, signer: str) -> None:
    lock_signer(message.collector, signer)
    row = db.session.get(RecoveryRow, message.recovery)
    if row is None or row.collector != message.collector:
        raise NotFound("You have no such recovery.")
    if row.completed_at is not None:
        raise RecoveryOver("It is complete.")
    if row.cancelled_at is None:
        _end(row, signer, token)


def _end(row: RecoveryRow, signer: str, token: str) -> None:
    row.cancelled_at = int(time.time())
    append(
        Event(
            pseudonym=row.collector,
            actor=row.collector,
            thumbprint=signer,
            kind=LogKind.RECOVERY_CANCEL,
            subject=row.jti,
            message=token,
        )
    )


def _complete(recovery: Recovery, token: str, key: PinnedKey) -> int:
    """Puts the new key in the place of all others; when that was, also if it was before."""
    lock(recovery.collector)
    now = int(time.time())
    row = db.session.get_one(RecoveryRow, recovery.jti)
    if row.completed_at is not None:
        return row.completed_at
    _require_open(row, recovery)
    if row.completes_at is None or now < row.completes_at:
        raise RecoveryWaiting("Come back later.", completes_at=row.completes_at or 0)
    doctors = [one for one in _approvers(row.jti) if one != AGGREGATOR]
    if not any(_may_approve(doctor, row.collector) for doctor in doctors):
        raise NotAnApprover("The patient took back the consent of who approved: begin again.")
    for older in in_force(row.collector):
        older.revoked_at = now
    pin(key, token, added_by=None)
    row.completed_at = now
    for other in _others(row):
        _end(other, recovery.thumbprint, token)
    append(
        Event(
            pseudonym=row.collector,
            actor=row.collector,
            thumbprint=recovery.thumbprint,
            kind=LogKind.RECOVERY_COMPLETION,
            subject=recovery.thumbprint,
            message=token,
        )
    )
    return now


def _others(row: RecoveryRow) -> list[RecoveryRow]:
    query = (
        db.select(RecoveryRow)
        .filter_by(collector=row.collector, completed_at=None, cancelled_at=None)
        .where(RecoveryRow.jti != row.jti)
    )
    return list(db.session.scalars(query))
