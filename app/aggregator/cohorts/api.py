"""`/api/cohorts`, `/api/rosters`, `/api/cohort-openings`: what a clinic's collector calls."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.cohorts import service
from app.aggregator.consents.service import patients_of
from app.aggregator.extensions import limiter
from app.aggregator.services import services
from app.aggregator.tables import AccountKind
from app.common.requests import json_body
from crypto.encoding import check_id, unb64u
from crypto.hpke import check_public_key
from crypto.months import month_at, next_month

cohorts = Blueprint("cohorts", __name__, url_prefix="/api")


@cohorts.get("/cohorts")
@only(AccountKind.CLINIC)
def overview() -> dict[str, Any]:
    """What a roster can be made of, and which rosters this role keeps."""
    config, month = services().config, month_at(time.time())
    return {
        "least": config.min_batch,
        "months": [month, next_month(month)],
        "patients": [
            {"pseudonym": patient.collector, "display_name": patient.display_name, "since": since}
            for patient, since in patients_of(account())
        ],
        "rosters": [
            {"roster": roster.id, "month": roster.month} for roster in service.rosters_of(account())
        ],
    }


@cohorts.post("/rosters")
@only(AccountKind.CLINIC)
@limiter.limit("30 per minute")
def keep() -> tuple[dict[str, Any], int]:
    roster, created = service.keep_roster(account(), json_body(roster=str)["roster"])
    return {"roster": roster}, 201 if created else 200


@cohorts.post("/cohort-openings")
@only(AccountKind.CLINIC)
@limiter.limit("30 per minute")
def open_half() -> dict[str, str]:
    body = json_body(roster=str, recipient=str)
    recipient = check_public_key(unb64u(body["recipient"]))
    return service.open_cohort(account(), check_id(body["roster"]), recipient).answer()
