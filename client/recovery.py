"""Recovery without any key: ask with a new one, have two people vouch, wait, complete."""

from __future__ import annotations

from dataclasses import dataclass

from client.collector import Collector, now
from client.errors import BadAnswer, CodeUnknown, Conflict, NotAllowed, NotFound
from client.grants import normalised_code
from client.service import field
from crypto.encoding import check_id, new_id
from crypto.jws import doctor_code
from crypto.messages import (
    KeyType,
    Recovery,
    RecoveryApproval,
    RecoveryCancel,
    RecoveryCompletion,
    RecoveryReceipt,
)


@dataclass(frozen=True)
class Standing:
    """Who vouched, as the key holder counts them, and when it can complete (Unix seconds)."""

    approvers: tuple[str, ...]
    completes_at: int | None
    complete: bool = False


@dataclass(frozen=True)
class Asked:
    """A patient's recovery, as a doctor sees it; `code` was computed here."""

    recovery: str
    collector: str
    display_name: str
    thumbprint: str
    code: str
    approved: bool


def begin(collector: Collector) -> str:
    """Asks for this device's key to replace every other one; the code that others compare."""
    key = collector.identity.key
    waiting = collector.profile.waiting()
    if waiting is None or waiting.get("for") != "recovery":
        signed = Recovery(
            collector=collector.pseudonym,
            key=key.public_jwk,
            type=KeyType.SOFTWARE,
            jti=new_id(),
            iat=now(),
        )
        waiting = {"for": "recovery", "recovery": signed.sign(key)}
        collector.profile.keep_waiting(waiting)
    collector.aggregator.post("/api/recoveries", recovery=waiting["recovery"])
    return doctor_code(key.thumbprint)


def proceed(collector: Collector) -> Standing:
    """Brings new approvals to the key holder, and completes the recovery once its time has come.

    Raises BadAnswer: nothing was asked for.
    """
    token = _own_request(collector)
    recovery = Recovery.claimed(token).jti
    standing = Standing((), None)
    for approval in _approvals(collector, recovery):
        try:
            answer = collector.keyholder.post("/v1/recoveries", recovery=token, approval=approval)
        except NotAllowed as error:
            if error.slug != "not-an-approver":  # the doctor's consent has ended meanwhile
                raise
            continue
        except Conflict as error:
            if error.slug != "recovery-over":
                raise
            break  # cancelled, or complete at the key holder only: see below
        standing = _standing(answer)
    done = _complete(collector, recovery) if _is_due(standing) else False
    return Standing(standing.approvers, standing.completes_at, done)


def listed(doctor: Collector) -> list[Asked]:
    """The recoveries of this doctor's patients."""
    rows = field(doctor.aggregator.get("/api/recoveries"), "recoveries", list)
    return [_asked(row) for row in rows]


def approve(doctor: Collector, code: str) -> Asked:
    """Vouches for the patient whose new device shows this code. Raises CodeUnknown."""
    code = normalised_code(code)
    for one in listed(doctor):
        if one.code == code:
            break
    else:
        raise CodeUnknown("None of your patients' recoveries has this code: compare it once more.")
    message = RecoveryApproval(
        recovery=one.recovery,
        collector=one.collector,
        thumbprint=one.thumbprint,
        approver=doctor.pseudonym,
        iat=now(),
    )
    path = f"/api/recoveries/{one.recovery}/approvals"
    doctor.aggregator.post(path, approval=message.sign(doctor.identity.key))
    return one


def cancel(collector: Collector, recovery: str) -> None:
    """Stops a recovery of this account, from a device whose key is in force."""
    recovery = check_id(recovery)
    message = RecoveryCancel(recovery=recovery, collector=collector.pseudonym, iat=now())
    token = message.sign(collector.identity.key)
    collector.keyholder.post(f"/v1/recoveries/{recovery}/cancellation", cancel=token)
    collector.aggregator.post(f"/api/recoveries/{recovery}/cancellation", cancel=token)


def _own_request(collector: Collector) -> str:
    waiting = collector.profile.waiting() or {}
    token = waiting.get("recovery")
    if not isinstance(token, str):
        raise BadAnswer("This device has asked for no recovery, or it is complete.")
    return token


def _approvals(collector: Collector, recovery: str) -> list[str]:
    for row in field(collector.aggregator.get("/api/recoveries"), "recoveries", list):
        if isinstance(row, dict) and row.get("recovery") == recovery:
            return [one for one in field(row, "approvals", list) if isinstance(one, str)]
    return []


def _standing(answer: dict[str, object]) -> Standing:
    at = answer.get("completes_at")
    if at is not None and type(at) is not int:
        raise BadAnswer("The key holder's answer to an approval cannot be read.")
    approvers = tuple(str(one) for one in field(answer, "approvals", list))
    return Standing(approvers, at)


def _is_due(standing: Standing) -> bool:
    # Without approvals to bring it is either not begun, or complete at the key holder alone.
    return standing.completes_at is None or standing.completes_at <= now()


def _complete(collector: Collector, recovery: str) -> bool:
    """Whether the key holder has taken this key in the place of the others."""
    key = collector.identity.key
    message = RecoveryCompletion(recovery=recovery, collector=collector.pseudonym, iat=now())
    try:
        answer = collector.keyholder.post(
            f"/v1/recoveries/{recovery}/completion", completion=message.sign(key)
        )
    except Conflict as error:
        if error.slug != "recovery-waiting":
            raise
        return False
    except NotFound:
        return False  # nobody has approved it yet
    token = field(answer, "receipt", str)
    receipt = RecoveryReceipt.verify(token, collector.manifest_key, now())
    if (receipt.recovery, receipt.thumbprint) != (recovery, key.thumbprint):
        raise BadAnswer("The key holder completed another recovery.")
    collector.aggregator.post(f"/api/recoveries/{recovery}/completion", receipt=token)
    collector.profile.forget_waiting()
    return True


def _asked(row: object) -> Asked:
    if not isinstance(row, dict):
        raise BadAnswer("The aggregator's list of recoveries cannot be read.")
    thumb = field(row, "thumbprint", str)
    return Asked(
        recovery=check_id(field(row, "recovery", str)),
        collector=check_id(field(row, "collector", str)),
        display_name=field(row, "display_name", str),
        thumbprint=thumb,
        code=doctor_code(thumb),
        approved=row.get("approved") is True,
    )
