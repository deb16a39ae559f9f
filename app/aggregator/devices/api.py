"""`/api/devices`: the devices of an account, and those that wait for approval."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.devices import service
from app.aggregator.devices.keys import in_force, read_key_type
from app.aggregator.extensions import limiter
from app.aggregator.tables import AccountKind, DeviceRequest
from app.common.requests import json_body
from crypto.encoding import check_id, json_object
from crypto.jws import doctor_code

devices = Blueprint("devices", __name__, url_prefix="/api/devices")

_COLLECTORS = (AccountKind.PATIENT, AccountKind.DOCTOR, AccountKind.CLINIC)


@devices.get("")
@only(*_COLLECTORS)
def listed() -> dict[str, Any]:
    own = account()
    return {
        "devices": [
            {
                "thumbprint": key.thumbprint,
                "type": key.type,
                "label": key.label,
                "added_at": key.added_at,
                "root": key.thumbprint == own.thumbprint,
            }
            for key in in_force(own.id)
        ],
        "requests": [_shown(request) for request in service.waiting(own)],
    }


@devices.post("/requests")
@only(*_COLLECTORS)
@limiter.limit("30 per minute")
def ask() -> tuple[dict[str, Any], int]:
    body = json_body(key=dict, type=str, label=str)
    key_type = read_key_type(body["type"])
    request_id, created = service.ask(account(), body["key"], key_type, body["label"])
    asked = service.own_request(account(), request_id)
    answer = {"request": request_id, "code": doctor_code(asked.thumbprint)}
    return answer, 201 if created else 200


@devices.get("/requests/<request_id>")
@only(*_COLLECTORS)
def show(request_id: str) -> dict[str, Any]:
    asked = service.own_request(account(), check_id(request_id))
    code = doctor_code(asked.thumbprint)
    return {"request": asked.id, "code": code, "device": asked.device}


@devices.post("/requests/<request_id>/approval")
@only(*_COLLECTORS)
@limiter.limit("30 per minute")
def approve(request_id: str) -> dict[str, Any]:
    body = json_body(device=str)
    service.approve(account(), check_id(request_id), body["device"])
    return {"request": request_id}


@devices.delete("/requests/<request_id>")
@only(*_COLLECTORS)
def refuse(request_id: str) -> tuple[str, int]:
    service.refuse(account(), check_id(request_id))
    return "", 204


@devices.post("")
@only(*_COLLECTORS)
@limiter.limit("30 per minute")
def add() -> tuple[dict[str, Any], int]:
    body = json_body(device=str, proof=str)
    thumb, created = service.add(account(), body["device"], body["proof"])
    return {"thumbprint": thumb}, 201 if created else 200


@devices.post("/removals")
@only(*_COLLECTORS)
@limiter.limit("30 per minute")
def remove() -> dict[str, Any]:
    return {"thumbprint": service.remove(account(), json_body(removal=str)["removal"])}


def _shown(request: DeviceRequest) -> dict[str, Any]:
    return {
        "request": request.id,
        "key": json_object(request.key_jwk.encode()),
        "type": request.type,
        "label": request.label,
        "code": doctor_code(request.thumbprint),
        "requested_at": request.requested_at,
        "approved": request.device is not None,
    }
