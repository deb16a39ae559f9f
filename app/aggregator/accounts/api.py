"""`/api/accounts`, `/api/tokens`, `/api/account`, `/api/enrolments`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.accounts import service
from app.aggregator.accounts.sessions import bearer_token
from app.aggregator.accounts.throttle import new_voucher
from app.aggregator.devices.keys import read_key_type
from app.aggregator.extensions import limiter
from app.aggregator.tables import AccountKind
from app.common.problems import InvalidRequest
from app.common.requests import json_body
from crypto.findings import AgeBand
from crypto.messages import KeyType

accounts = Blueprint("accounts", __name__, url_prefix="/api")

_SELF_REGISTERED = {kind.value: kind for kind in AccountKind if kind != AccountKind.OPERATOR}


@accounts.post("/accounts")
def register() -> tuple[dict[str, Any], int]:
    body = json_body(display_name=str, password=str, kind=str, age_band=str | None)
    if body["kind"] not in _SELF_REGISTERED:
        raise InvalidRequest("kind is patient, doctor or clinic.")
    made = service.register(
        body["display_name"],
        body["password"],
        _SELF_REGISTERED[body["kind"]],
        AgeBand.ADULT if body["age_band"] is None else body["age_band"],
    )
    return {"login": made.login}, 201


@accounts.post("/tokens")
def issue_token() -> tuple[dict[str, Any], int]:
    body = json_body(login=str, password=str, device=str | None)
    own = service.authenticate(body["login"], body["password"], body["device"])
    device = new_voucher(own.login)
    issued = service.issue_token(own)
    return {"token": issued.token, "expires_at": issued.expires_at, "device": device}, 201


@accounts.delete("/tokens", provide_automatic_options=False)
def end_token() -> tuple[str, int]:
    service.end_token(bearer_token())
    return "", 204


@accounts.get("/account")
def show() -> dict[str, Any]:
    own = account()
    shown = {
        "login": own.login,
        "display_name": own.display_name,
        "kind": own.kind,
        "collector": own.collector,
        "enrolled": own.thumbprint is not None,
        "thumbprint": own.thumbprint,
    }
    if own.kind in (AccountKind.DOCTOR, AccountKind.CLINIC):
        shown["doctor_code"] = own.doctor_code
    return shown


@accounts.post("/enrolments")
@only(AccountKind.PATIENT, AccountKind.DOCTOR, AccountKind.CLINIC)
@limiter.limit("30 per minute")
def enrol() -> dict[str, Any]:
    body = json_body(key=dict, type=str | None)
    key_type = KeyType.SOFTWARE if body["type"] is None else read_key_type(body["type"])
    return {"statement": service.enrol(account(), body["key"], key_type)}
