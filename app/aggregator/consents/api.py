"""`/api/doctors`, `/api/consents`: whom a patient lets read the counts."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.accounts.service import public_key
from app.aggregator.consents import service
from app.aggregator.extensions import limiter
from app.aggregator.tables import AccountKind
from app.common.requests import json_body
from crypto.encoding import check_id

consents = Blueprint("consents", __name__, url_prefix="/api")


@consents.get("/doctors/<code>")
@only(AccountKind.PATIENT)
@limiter.limit("30 per minute")
def doctor(code: str) -> dict[str, Any]:
    found = service.doctor_of_code(code)
    return {
        "collector": found.collector,
        "kind": found.kind,
        "display_name": found.display_name,
        "key": public_key(found),
    }


@consents.get("/consents")
@only(AccountKind.PATIENT)
def listed() -> dict[str, Any]:
    return {
        "consents": [
            {
                "grant": consent.grant_id,
                "doctor": consent.doctor.collector,
                "kind": consent.doctor.kind,
                "display_name": consent.doctor.display_name,
                "since": consent.granted_at,
            }
            for consent in service.consents_of(account())
        ]
    }


@consents.post("/consents")
@only(AccountKind.PATIENT)
@limiter.limit("30 per minute")
def give() -> tuple[dict[str, Any], int]:
    grant_id, created = service.grant(account(), json_body(grant=str)["grant"])
    return {"grant": grant_id}, 201 if created else 200


@consents.delete("/consents/<grant_id>")
@only(AccountKind.PATIENT)
@limiter.limit("30 per minute")
def take_back(grant_id: str) -> tuple[str, int]:
    body = json_body(revocation=str)
    service.revoke(account(), check_id(grant_id), body["revocation"])
    return "", 204
