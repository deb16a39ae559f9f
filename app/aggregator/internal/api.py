"""`/internal`: leases, sealed recordings, reports and sightings of the inference workers."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, request, send_file

from app.aggregator.blobs import BlobName
from app.aggregator.operations import record_sighting
from app.aggregator.ranges.service import KeyNotActive
from app.aggregator.recordings import lifecycle
from app.aggregator.services import services
from app.aggregator.tables import RecordingState
from app.common.problems import InvalidRequest
from app.common.requests import json_body
from crypto.encoding import check_id, sha256_hex
from crypto.messages import ReadableReport, Report

internal = Blueprint("internal", __name__, url_prefix="/internal")


@internal.post("/recordings/<recording_id>/lease")
def lease(recording_id: str) -> dict[str, Any]:
    json_body()
    config = services().config
    taken = lifecycle.lease(
        check_id(recording_id), _now(), config.lease_seconds, config.max_attempts
    )
    return {
        "recording": taken.recording,
        "pseudonym": taken.pseudonym,
        "lease": taken.lease,
        "attempt": taken.attempt,
    }


@internal.get("/recordings/<recording_id>/blob")
def blob(recording_id: str) -> Response:
    sealed_sha256 = lifecycle.begin(check_id(recording_id), check_id(request.args.get("lease")))
    name = BlobName(recording_id, sealed_sha256)
    return send_file(services().blobs.open(name), mimetype="application/octet-stream")


@internal.post("/recordings/<recording_id>/report")
def report(recording_id: str) -> dict[str, Any]:
    token = json_body(report=str)["report"]
    told = Report.verify(token, services().keyholder.manifest().report_key, time.time())
    if told.recording != check_id(recording_id):
        raise InvalidRequest("The report is about another recording.")
    if isinstance(told, ReadableReport):
        _check_ciphertext(told)
    accepted = lifecycle.accept_report(told, sha256_hex(token.encode()), _now())
    services().blobs.delete(BlobName(told.recording, accepted.sealed_sha256))
    if accepted.state is RecordingState.REPORTED and not accepted.replayed:
        services().queue.compare()
    return {"recording": told.recording, "state": accepted.state.value}


@internal.post("/recordings/<recording_id>/release")
def release(recording_id: str) -> tuple[str, int]:
    lifecycle.release(check_id(recording_id), check_id(json_body(lease=str)["lease"]))
    return "", 204


@internal.post("/workers")
def sighting() -> tuple[str, int]:
    body = json_body(name=str, kind=str, ready=bool)
    record_sighting(body["name"], body["kind"], body["ready"], _now())
    return "", 204


def _check_ciphertext(told: ReadableReport) -> None:
    # A worker may not know yet that the key was retired: then the report is moved before it counts.
    key = services().keyholder.key_in_use(told.key_id)
    if key is None:
        raise KeyNotActive("Fetch the manifest again and encrypt under its active key.")
    key.parse(told.findings)


def _now() -> int:
    return int(time.time())
