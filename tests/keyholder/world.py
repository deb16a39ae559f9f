"""A small world around one key holder: the aggregator's side of the protocol, and collectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.keyholder.keys import KeyholderKeys
from app.keyholder.tables import ServedTally, db
from config import KeyholderConfig
from crypto.comparison.fast import Counted
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.encoding import b64u, new_id, sha256_hex, unb64u
from crypto.hpke import value_info
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import (
    Cell,
    CollectorKind,
    Device,
    DeviceProof,
    DeviceRemoval,
    Enrolment,
    EnrolmentProof,
    Grant,
    KeyType,
    LogEntry,
    LogRequest,
    Opening,
    RangeCheckStatement,
    Revocation,
    Statement,
    TallyStatement,
)
from crypto.opening import blind_tallies, recover_counts
from crypto.paillier import Ciphertext
from crypto.service_auth import authorization
from crypto.slots import Counts, rate_count_offset
from crypto.unsealing import SealingKey
from crypto.wire import from_record
from tests.keyholder.comparing import Comparing
from tests.support.authenticator import PasskeySession

DAY = "2026-03-01"


def slug(answer: TestResponse) -> str:
    """The problem that was answered, or the status where it was none."""
    if answer.mimetype != "application/problem+json" or answer.json is None:
        return str(answer.status_code)
    kind: str = answer.json["type"]
    return kind.removeprefix("urn:hushbeat:problem:")


@dataclass
class Party:
    """A collector with its signing key and a one-time sealing key.

    `root` is the thumbprint of the collector's first key, where `key` is a further one.
    """

    kind: CollectorKind
    collector: str = field(default_factory=new_id)
    key: CollectorKey | PasskeySession = field(default_factory=CollectorKey.generate)
    root: str = ""
    one_time: SealingKey = field(default_factory=SealingKey.generate)

    def __post_init__(self) -> None:
        self.root = self.root or self.key.thumbprint

    @property
    def type(self) -> KeyType:
        return KeyType.PASSKEY if isinstance(self.key, PasskeySession) else KeyType.SOFTWARE


@dataclass
class World:
    """The running key holder with everything that a test needs to talk to it."""

    app: Flask
    client: FlaskClient
    config: KeyholderConfig
    keys: KeyholderKeys
    statement_key: SigningKey

    # Enrolment and grants

    def enrolment(self, party: Party, signer: SigningKey | None = None, **other: Any) -> Any:
        now = int(time.time())
        fields = {
            "collector": party.collector,
            "kind": party.kind,
            "thumbprint": party.key.thumbprint,
            "type": party.type,
            "jti": new_id(),
            "iat": now,
            "exp": now + 300,
            **other,
        }
        statement = Enrolment(**fields).sign(signer or self.statement_key)
        proof = EnrolmentProof(
            statement_sha256=sha256_hex(statement.encode()), jti=fields["jti"]
        ).sign(party.key)
        return {"statement": statement, "proof": proof, "key": party.key.public_jwk}

    def enrolled(self, kind: CollectorKind) -> Party:
        party = Party(kind)
        answer = self.client.post("/v1/enrolments", json=self.enrolment(party))
        assert answer.status_code == 201, answer.text
        return party

    def grant_message(self, patient: Party, doctor: Party) -> Grant:
        return Grant(
            grant=new_id(),
            patient=patient.collector,
            doctor=doctor.collector,
            doctor_thumbprint=doctor.root,
            iat=int(time.time()),
        )

    def granted(self, patient: Party, doctor: Party) -> str:
        message = self.grant_message(patient, doctor)
        answer = self.client.post("/v1/grants", json={"grant": message.sign(patient.key)})
        assert answer.status_code == 201, answer.text
        return message.grant

    def revoke(self, grant: str, owner: Party, signer: Party | None = None) -> TestResponse:
        message = Revocation(grant=grant, patient=owner.collector, iat=int(time.time()))
        token = message.sign((signer or owner).key)
        return self.client.post("/v1/revocations", json={"revocation": token})

    # Further devices, and the log

    def device_of(self, party: Party, key: CollectorKey | PasskeySession | None = None) -> Party:
        """The same person at another device, whose key is not known yet."""
        return Party(party.kind, party.collector, key or CollectorKey.generate(), party.root)

    def device(self, older: Party, further: Party, **other: Any) -> dict[str, str]:
        """The body that takes a further device in."""
        fields = {
            "collector": further.collector,
            "key": further.key.public_jwk,
            "type": further.type,
            "jti": new_id(),
            "iat": int(time.time()),
            **other,
        }
        token = Device(**fields).sign(older.key)
        proof = DeviceProof(device_sha256=sha256_hex(token.encode()), jti=fields["jti"])
        return {"device": token, "proof": proof.sign(further.key)}

    def with_device(self, older: Party, key: PasskeySession | None = None) -> Party:
        """A further device that was taken in."""
        further = self.device_of(older, key)
        answer = self.client.post("/v1/devices", json=self.device(older, further))
        assert answer.status_code == 201, answer.text
        return further

    def remove(self, by: Party, removed: Party, **other: Any) -> TestResponse:
        message = DeviceRemoval(
            **{
                "collector": by.collector,
                "thumbprint": removed.key.thumbprint,
                "jti": new_id(),
                "iat": int(time.time()),
                **other,
            }
        )
        return self.client.post("/v1/device-removals", json={"removal": message.sign(by.key)})

    def log_request(self, party: Party, after: int = 0, **other: Any) -> LogRequest:
        now = int(time.time())
        fields = {"collector": party.collector, "after": after, "jti": new_id()}
        return LogRequest(**fields | {"iat": now, "exp": now + 300} | other)

    def log(self, party: Party, after: int = 0) -> list[LogEntry]:
        """What the party reads of the log, checked to its head."""
        asked = self.log_request(party, after)
        answer = self.client.post("/v1/log", json={"request": asked.sign(party.key)})
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return [from_record(LogEntry, entry) for entry in answer.json["entries"]]

    # Comparisons

    def post(self, path: str, body: bytes, key: SigningKey | None = None) -> TestResponse:
        header = authorization(key or self.statement_key, "keyholder", "POST", path, body)
        return self.client.post(path, data=body, headers={"Authorization": header})

    @property
    def key_id(self) -> str:
        return self.keys.paillier.public.key_id

    def encrypt(self, number: int) -> Ciphertext:
        return self.keys.paillier.encrypt(number)

    def tally(self, patient: Party, recordings: Sequence[tuple[int, int]], day: str = DAY) -> Tally:
        """Compares and counts (score, rate) recordings of a day that had none."""
        comparing = Comparing(self)
        counted = comparing.compare(
            *(
                comparing.recording(RecordingPosition(patient.collector, day, number), score, rate)
                for number, (score, rate) in enumerate(recordings, 1)
            )
        )
        total = self.keys.paillier.public.constant(0)
        for one in counted:
            assert isinstance(one, Counted)
            total = total.add(one.contribution)
        return Tally(patient, day, len(recordings), total)

    def tally_of(self, patient: Party, recordings: int, counts: Counts, day: str = DAY) -> Tally:
        """What comparing and counting would have left, at once."""
        public = self.keys.paillier.public
        with self.app.app_context():
            db.session.add(
                ServedTally(
                    pseudonym=patient.collector, day=day, key_id=self.key_id, served=recordings
                )
            )
            db.session.commit()
        mask = self.keys.masks.total(public, patient.collector, day, recordings)
        packed = counts.sound + (counts.rate << rate_count_offset(public.bits))
        return Tally(patient, day, recordings, self.encrypt((packed + mask) % public.n))

    # Openings

    def cells(self, *tallies: Tally) -> tuple[Cell, ...]:
        return tuple(
            Cell(pseudonym=tally.patient.collector, days=((tally.day, tally.recordings),))
            for tally in tallies
        )

    def ask(self, party: Party, *tallies: Tally, **other: Any) -> Asked:
        """A's answer to an asked opening: a cell a tally."""
        ciphertext, blind = blind_tallies(
            self.keys.paillier.public, [[tally.ciphertext] for tally in tallies]
        )
        fields = {
            **self._common(party),
            "ciphertext_sha256": sha256_hex(ciphertext.to_wire()),
            "cells": self.cells(*tallies),
            **other,
        }
        return Asked(self, party, TallyStatement(**fields), ciphertext.to_wire(), blind)

    def ask_range(self, party: Party, position: RangePosition) -> Asked:
        statement = RangeCheckStatement(
            **self._common(party), range=position.range, pseudonym=position.pseudonym
        )
        return Asked(self, party, statement, None, b"")

    def _common(self, party: Party) -> dict[str, Any]:
        now = int(time.time())
        return {
            "collector": party.collector,
            "thumbprint": party.root,
            "recipient": party.one_time.public,
            "key_id": self.key_id,
            "jti": new_id(),
            "iat": now,
            "exp": now + 300,
        }


@dataclass
class Tally:
    """What A keeps of a patient's day."""

    patient: Party
    day: str
    recordings: int
    ciphertext: Ciphertext


@dataclass
class Asked:
    """An opening on its way from A by the collector to B."""

    world: World
    party: Party
    statement: Statement
    ciphertext: bytes | None
    blind: bytes

    def body(
        self,
        signer: CollectorKey | PasskeySession | None = None,
        issuer: SigningKey | None = None,
        **other: Any,
    ) -> dict[str, Any]:
        token = self.statement.sign(issuer or self.world.statement_key)
        opening = Opening(
            **{
                "statement_sha256": sha256_hex(token.encode()),
                "jti": self.statement.jti,
                **other,
            }
        )
        body = {"statement": token, "opening": opening.sign(signer or self.party.key)}
        return body if self.ciphertext is None else {**body, "ciphertext": b64u(self.ciphertext)}

    def send(self, **how: Any) -> TestResponse:
        return self.world.client.post("/v1/openings", json=self.body(**how))

    def value(self, answer: TestResponse) -> bytes:
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        info = value_info(self.statement.jti)
        return self.party.one_time.unseal(info, unb64u(answer.json["sealed_value"]))

    def counts(self) -> list[Counts]:
        """Sends, unseals and takes the blind off."""
        assert isinstance(self.statement, TallyStatement)
        recordings = [cell.recordings for cell in self.statement.cells]
        return recover_counts(
            self.value(self.send()), self.blind, self.world.keys.paillier.public, recordings
        )
