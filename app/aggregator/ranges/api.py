"""`/api/patients`, `/api/ranges`: a doctor's patients and their healthy ranges."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.consents.service import patients_of
from app.aggregator.extensions import limiter
from app.aggregator.ranges import service
from app.aggregator.tables import Account, AccountKind
from app.common.problems import InvalidRequest
from app.common.requests import json_body
from crypto.encoding import check_id, unb64u
from crypto.opening import RANGE_DIGEST_BYTES

ranges = Blueprint("ranges", __name__, url_prefix="/api")


@ranges.get("/patients")
@only(AccountKind.DOCTOR)
def patients() -> dict[str, Any]:
    doctor = account()
    return {
        "patients": [
            {
                "pseudonym": patient.collector,
                "display_name": patient.display_name,
                "since": since,
                "range": _shown(doctor, patient.collector),
            }
            for patient, since in patients_of(doctor)
        ]
    }


@ranges.post("/patients/<pseudonym>/ranges")
@only(AccountKind.DOCTOR)
@limiter.limit("30 per minute")
def propose(pseudonym: str) -> tuple[dict[str, Any], int]:
    body = json_body(range=str)
    range_id, state, created = service.propose(account(), check_id(pseudonym), body["range"])
    return {"range": range_id, "state": state.value}, 201 if created else 200


@ranges.get("/ranges/<range_id>")
@only(AccountKind.DOCTOR)
def show(range_id: str) -> dict[str, Any]:
    found = service.own_range(account(), check_id(range_id))
    return {"range": found.id, "pseudonym": found.pseudonym, "state": found.state}


@ranges.post("/ranges/<range_id>/decision")
@only(AccountKind.DOCTOR)
def decide(range_id: str) -> dict[str, Any]:
    body = json_body(accept=bool, digest=str | None)
    state = service.decide(account(), check_id(range_id), _digest(body["accept"], body["digest"]))
    return {"range": range_id, "state": state.value}


def _digest(accept: bool, text: str | None) -> bytes | None:
    if accept == (text is None):
        raise InvalidRequest("Send the key holder's digest with accept, and without it none.")
    digest = None if text is None else unb64u(text)
    if digest is not None and len(digest) != RANGE_DIGEST_BYTES:
        raise InvalidRequest(f"A digest has {RANGE_DIGEST_BYTES} bytes.")
    return digest


def _shown(doctor: Account, pseudonym: str) -> dict[str, Any] | None:
    found = service.shown_range(doctor, pseudonym)
    if found is None:
        return None
    return {"range": found.id, "state": found.state, "mine": found.doctor_id == doctor.id}
