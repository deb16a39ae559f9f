"""Enrolment: pins a collector's public key for good, on A's word and the collector's proof."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import NotAllowed, Problem
from app.common.requests import json_body
from app.keyholder.context import keyholder
from app.keyholder.tables import Collector, db
from crypto.encoding import json_bytes, json_object, sha256_hex
from crypto.errors import BadSignature, InvalidEncoding
from crypto.jws import check_public_jwk, thumbprint
from crypto.messages import Enrolment, EnrolmentProof

blueprint = Blueprint("enrolment", __name__)


class AlreadyEnrolled(Problem):
    """The collector has another key or kind, or the key belongs to another collector."""

    slug = "already-enrolled"
    title = "Another key is enrolled"
    status = 409


class NotEnrolled(NotAllowed):
    """The collector has no key here."""

    slug = "not-enrolled"
    title = "No key is enrolled for this collector"


@blueprint.post("/v1/enrolments")
def enrol() -> ResponseReturnValue:
    body = json_body(statement=str, proof=str, key=dict)
    enrolment, public = _check(body["statement"], body["proof"], body["key"])
    created = in_transaction(db, lambda: _pin(enrolment, public))
    answer = jsonify(collector=enrolment.collector, thumbprint=enrolment.thumbprint)
    return answer, 201 if created else 200


def pinned(collector: str) -> Collector:
    """The enrolled collector; raises NotEnrolled."""
    row = db.session.get(Collector, collector)
    if row is None:
        raise NotEnrolled("Enrol the collector's key first.")
    return row


def pinned_key(row: Collector) -> dict[str, Any]:
    """A collector's public key as a JWK."""
    return json_object(row.key_jwk.encode())


def _check(statement: str, proof: str, key: dict[str, Any]) -> tuple[Enrolment, dict[str, str]]:
    now = time.time()
    enrolment = Enrolment.verify(statement, keyholder().statement_key.current(), now)
    public = check_public_jwk(key)
    if public["kty"] != "EC":
        raise InvalidEncoding("a collector's key is on P-256 (ES256)")
    if thumbprint(public) != enrolment.thumbprint:
        raise BadSignature("the statement is for another key")
    proven = EnrolmentProof.verify(proof, public, now)
    if (proven.statement_sha256, proven.jti) != (sha256_hex(statement.encode()), enrolment.jti):
        raise BadSignature("the proof is for another statement")
    return enrolment, public


def _pin(enrolment: Enrolment, public: dict[str, str]) -> bool:
    """Whether the key is new. One that is pinned stays: replacing it would hand over the counts."""
    row = db.session.get(Collector, enrolment.collector)
    if row is not None:
        if (row.thumbprint, row.kind) != (enrolment.thumbprint, enrolment.kind.value):
            raise AlreadyEnrolled("This collector is enrolled with another key or kind.")
        return False
    taken = db.select(Collector).filter_by(thumbprint=enrolment.thumbprint)
    if db.session.execute(taken).first() is not None:
        raise AlreadyEnrolled("This key belongs to another collector: make a key of its own.")
    db.session.add(
        Collector(
            collector=enrolment.collector,
            kind=enrolment.kind.value,
            key_jwk=json_bytes(public).decode(),
            thumbprint=enrolment.thumbprint,
            enrolled_at=int(time.time()),
        )
    )
    return True
