"""`/api/recoveries`: asked for by a patient, approved by a doctor and an operator."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.extensions import limiter
from app.aggregator.recoveries import service
from app.aggregator.tables import Account, AccountKind, Recovery
from app.common.requests import json_body
from crypto.encoding import check_id
from crypto.jws import doctor_code
from crypto.messages import AGGREGATOR
from crypto.messages import Recovery as SignedRecovery

recoveries = Blueprint("recoveries", __name__, url_prefix="/api/recoveries")


@recoveries.post("")
@only(AccountKind.PATIENT)
@limiter.limit("30 per minute")
def ask() -> tuple[dict[str, Any], int]:
    token = json_body(recovery=str)["recovery"]
    jti, created = service.ask(account(), token)
    code = doctor_code(SignedRecovery.claimed(token).thumbprint)
    return {"recovery": jti, "code": code}, 201 if created else 200


@recoveries.get("")
@only(AccountKind.PATIENT, AccountKind.DOCTOR, AccountKind.OPERATOR)
def listed() -> dict[str, Any]:
    caller = account()
    return {"recoveries": [_shown(caller, one) for one in service.listed(caller)]}


@recoveries.post("/<jti>/approvals")
@only(AccountKind.DOCTOR, AccountKind.OPERATOR)
@limiter.limit("30 per minute")
def approve(jti: str) -> dict[str, Any]:
    caller = account()
    if caller.kind == AccountKind.OPERATOR:
        json_body()
        service.approve_as_operator(check_id(jti))
    else:
        service.approve_as_doctor(caller, check_id(jti), json_body(approval=str)["approval"])
    return {"recovery": jti}


@recoveries.post("/<jti>/cancellation")
@only(AccountKind.PATIENT)
@limiter.limit("30 per minute")
def cancel(jti: str) -> dict[str, Any]:
    service.cancel(account(), check_id(jti), json_body(cancel=str)["cancel"])
    return {"recovery": jti}


@recoveries.post("/<jti>/completion")
@only(AccountKind.PATIENT)
@limiter.limit("30 per minute")
def complete(jti: str) -> dict[str, Any]:
    thumb = service.complete(account(), check_id(jti), json_body(receipt=str)["receipt"])
    return {"thumbprint": thumb}


def _shown(caller: Account, recovery: Recovery) -> dict[str, Any]:
    given = service.approvals(recovery)
    shown = {
        "recovery": recovery.jti,
        "collector": recovery.account.collector,
        "display_name": recovery.account.display_name,
        "thumbprint": recovery.thumbprint,
        "type": SignedRecovery.claimed(recovery.recovery).type.value,
        "code": doctor_code(recovery.thumbprint),
        "requested_at": recovery.requested_at,
    }
    if caller.kind == AccountKind.PATIENT:
        return {**shown, "approvals": list(given.values())}
    own = AGGREGATOR if caller.kind == AccountKind.OPERATOR else caller.collector
    return {**shown, "approvals": list(given), "approved": own in given}
