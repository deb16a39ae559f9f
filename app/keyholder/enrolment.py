"""Enrolment: pins a collector's first public key, on A's word and the collector's proof.

Its thumbprint names the collector from then on. Further keys come by `app.keyholder.devices`.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import Problem
from app.common.requests import json_body
from app.keyholder.collector_keys import KeyRevoked, check_length, key_to_pin, pin
from app.keyholder.context import keyholder
from app.keyholder.log import Event, append
from app.keyholder.tables import Collector, CollectorKey, db
from crypto.encoding import sha256_hex
from crypto.errors import BadSignature
from crypto.jws import check_collector_jwk, thumbprint
from crypto.messages import Enrolment, EnrolmentProof, LogKind, PinnedKey

blueprint = Blueprint("enrolment", __name__)


class AlreadyEnrolled(Problem):
    """The collector has another key or kind, or the key belongs to another collector."""

    slug = "already-enrolled"
    title = "Another key is enrolled"
    status = 409


@blueprint.post("/v1/enrolments")
def enrol() -> ResponseReturnValue:
    body = json_body(statement=str, proof=str, key=dict)
    statement = body["statement"]
    enrolment, key = _check(statement, body["proof"], body["key"])
    created = in_transaction(db, lambda: _pin(enrolment, key, statement))
    answer = jsonify(collector=enrolment.collector, thumbprint=enrolment.thumbprint)
    return answer, 201 if created else 200


def _check(statement: str, proof: str, key: dict[str, Any]) -> tuple[Enrolment, PinnedKey]:
    now = time.time()
    check_length(statement)
    enrolment = Enrolment.verify(statement, keyholder().statement_key.current(), now)
    public = check_collector_jwk(key)
    if thumbprint(public) != enrolment.thumbprint:
        raise BadSignature("the statement is for another key")
    asking = key_to_pin(public, enrolment.collector, enrolment.type)
    proven = EnrolmentProof.verify(proof, asking, now)
    if (proven.statement_sha256, proven.jti) != (sha256_hex(statement.encode()), enrolment.jti):
        raise BadSignature("the proof is for another statement")
    return enrolment, asking


def _pin(enrolment: Enrolment, key: PinnedKey, statement: str) -> bool:
    """Whether the collector is new. The first key stays: another one would get the counts."""
    row = db.session.get(Collector, enrolment.collector)
    known = db.session.get(CollectorKey, enrolment.thumbprint)
    if row is not None:
        first = (row.thumbprint, row.kind, known and known.type)
        if first != (enrolment.thumbprint, enrolment.kind.value, enrolment.type.value):
            raise AlreadyEnrolled("This collector is enrolled with another key or kind.")
        if known is None or known.revoked_at is not None:
            raise KeyRevoked("It was removed: make a new key, and have another device sign for it.")
        return False
    if known is not None:
        raise AlreadyEnrolled("This key belongs to another collector: make a key of its own.")
    db.session.add(
        Collector(
            collector=enrolment.collector,
            kind=enrolment.kind.value,
            thumbprint=enrolment.thumbprint,
            enrolled_at=int(time.time()),
        )
    )
    db.session.flush()
    pin(key, statement, added_by=None)
    append(
        Event(
            pseudonym=enrolment.collector,
            actor=enrolment.collector,
            thumbprint=enrolment.thumbprint,
            kind=LogKind.ENROLMENT,
            subject=enrolment.thumbprint,
            message=statement,
        )
    )
    return True
