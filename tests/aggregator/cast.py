"""Who calls the aggregator in these tests, and short ways to where a test starts."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from app.aggregator.accounts import service
from app.aggregator.tables import Account, AccountKind, Recording, db
from crypto.encoding import new_id
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import (
    FailedReport,
    Grant,
    RangeProposal,
    ReadableReport,
    Report,
    Revocation,
    UnreadableReport,
)
from crypto.paillier import PublicKey
from crypto.service_auth import authorization
from crypto.slots import pack_range, pack_report

PASSWORD = "correct horse battery"
DAY = "2025-03-01"
NOW = 1_760_000_000


class Caller:
    """A program of one account, or of nobody: bearer token, collector key, HTTP."""

    def __init__(self, app: Flask, kind: AccountKind | None, name: str) -> None:
        self.app = app
        self.client = app.test_client(use_cookies=False)
        self.key = CollectorKey.generate()
        self.token: str | None = None
        if kind is None:
            return
        with app.app_context():
            made = service.create_account(None, name, PASSWORD, kind)
            self.id, self.login, self.collector = made.id, made.login, made.collector
            if kind != AccountKind.OPERATOR:
                service.enrol(made, self.key.public_jwk)
            self.token = service.issue_token(made).token

    def call(self, method: str, path: str, body: object = None, **more: Any) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            more["json"] = body
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> TestResponse:
        return self.call("POST", path, {} if body is None else body, **more)

    def put(self, path: str, data: bytes, **more: Any) -> TestResponse:
        return self.call("PUT", path, data=data, **more)

    def delete(self, path: str, body: object) -> TestResponse:
        return self.call("DELETE", path, body)

    def account(self) -> Account:
        """The row; inside an application context."""
        return db.session.get_one(Account, self.id)


class Browser:
    """A browser of an account (or of nobody) with its session cookie."""

    def __init__(self, app: Flask, account_id: int | None = None) -> None:
        self.app = app
        self.client = app.test_client()
        raw = "0" * 40
        with self.client.session_transaction() as session:
            session["csrf_token"] = raw
            if account_id is not None:
                with app.app_context():
                    row = db.session.get_one(Account, account_id)
                    session["_user_id"] = row.session_id
                session["_fresh"] = True
                session.permanent = True
        signer = URLSafeTimedSerializer(app.secret_key, salt="wtf-csrf-token")
        self.csrf = signer.dumps(raw)


class Cast:
    """Owner, colleague, stranger."""

    def __init__(self, app: Flask) -> None:
        self.patient = Caller(app, AccountKind.PATIENT, "Pat Owner")
        self.colleague = Caller(app, AccountKind.PATIENT, "Pat Colleague")
        self.doctor = Caller(app, AccountKind.DOCTOR, "Dr Owner")
        self.other_doctor = Caller(app, AccountKind.DOCTOR, "Dr Colleague")
        self.operator = Caller(app, AccountKind.OPERATOR, "Op")
        self.stranger = Caller(app, None, "nobody")


class Worker:
    """An inference worker that signs its calls and reports."""

    def __init__(self, app: Flask, key: SigningKey) -> None:
        self.client = app.test_client(use_cookies=False)
        self.key = key

    def call(self, method: str, path: str, body: object = None, **more: Any) -> TestResponse:
        content = b"" if body is None else json.dumps(body).encode()
        signer: SigningKey = more.get("key", self.key)
        headers = {"Authorization": authorization(signer, "aggregator", method, path, content)}
        return self.client.open(
            path,
            method=method,
            data=content,
            headers=headers,
            content_type="application/json" if content else None,
            buffered=True,
        )

    def lease(self, recording: str) -> dict[str, Any]:
        answer = self.call("POST", f"/internal/recordings/{recording}/lease", {})
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def report(self, told: Report, key: SigningKey | None = None) -> TestResponse:
        token = told.sign(key or self.key)
        return self.call("POST", f"/internal/recordings/{told.recording}/report", {"report": token})


def readable(lease: dict[str, Any], key: PublicKey, sound: int = 1, rate: int = 2) -> Report:
    return ReadableReport(
        recording=lease["recording"],
        pseudonym=lease["pseudonym"],
        lease=lease["lease"],
        model="cnn-1",
        key_id=key.key_id,
        findings=key.encrypt(pack_report(key.bits, sound, rate)).to_wire(),
    )


def unreadable(lease: dict[str, Any], reason: str = "silence") -> Report:
    return UnreadableReport(
        recording=lease["recording"],
        pseudonym=lease["pseudonym"],
        lease=lease["lease"],
        reason=reason,
    )


def failed(lease: dict[str, Any], reason: str = "not_audio") -> Report:
    return FailedReport(
        recording=lease["recording"],
        pseudonym=lease["pseudonym"],
        lease=lease["lease"],
        reason=reason,
    )


def sealed(size: int = 100, fill: bytes = b"s") -> bytes:
    """Bytes as long as a small sealed recording; the aggregator cannot look inside anyway."""
    return (fill * size)[:size]


def put(caller: Caller, data: bytes | None = None, recording: str | None = None) -> str:
    """Uploads something and returns the recording's id."""
    recording = recording or new_id()
    answer = caller.put(f"/api/recordings/{recording}?day={DAY}", data or sealed())
    assert answer.status_code == 201, answer.text
    return recording


def state_of(app: Flask, recording: str) -> str | None:
    with app.app_context():
        row = db.session.get(Recording, recording)
        return None if row is None else str(row.state)


def grant_token(patient: Caller, doctor: Caller, /, **changes: Any) -> tuple[str, str]:
    """A signed grant and its id."""
    fields = {
        "grant": new_id(),
        "patient": patient.collector,
        "doctor": doctor.collector,
        "doctor_thumbprint": doctor.key.thumbprint,
        "iat": NOW,
    } | changes
    return Grant(**fields).sign(patient.key), fields["grant"]


def consent(patient: Caller, doctor: Caller) -> str:
    """The patient consents to the doctor; the grant's id."""
    token, grant = grant_token(patient, doctor)
    answer = patient.post("/api/consents", {"grant": token})
    assert answer.status_code == 201, answer.text
    return grant


def revocation_token(patient: Caller, grant: str, /, **changes: Any) -> str:
    fields = {"grant": grant, "patient": patient.collector, "iat": NOW} | changes
    return Revocation(**fields).sign(patient.key)


def revoke(patient: Caller, grant: str) -> None:
    body = {"revocation": revocation_token(patient, grant)}
    assert patient.delete(f"/api/consents/{grant}", body).status_code == 204


def range_token(
    doctor: Caller, pseudonym: str, key: PublicKey, /, **changes: Any
) -> tuple[str, str]:
    """A signed proposal and its id."""
    fields: dict[str, Any] = {
        "range": new_id(),
        "pseudonym": pseudonym,
        "key_id": key.key_id,
        "bounds": key.encrypt(pack_range(key.bits, 30_000, 500, 900)).to_wire(),
        "iat": NOW,
    }
    fields |= changes
    return RangeProposal(**fields).sign(doctor.key), fields["range"]
