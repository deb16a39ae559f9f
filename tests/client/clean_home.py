"""What a finished run leaves on disk, made without servers: a home in which nothing leaks."""

from __future__ import annotations

import json
import secrets
import socket
import time
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from app.aggregator import tables as aggregator
from app.keyholder import tables as keyholder
from client.ranges import HealthyRange
from client.uploading import State, recording_id
from crypto.at_rest import StorageKey
from crypto.comparison.batches import decode_request
from crypto.comparison.fast import FastInitiator, Item
from crypto.comparison.positions import RecordingPosition
from crypto.encoding import b64u, new_id, sha256_hex
from crypto.jws import CollectorKey, SigningKey, doctor_code
from crypto.keyholder.fast import FastResponder
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import CollectorKind, Enrolment, Grant, KeyType, RangeProposal, Roster
from crypto.slots import pack_range, pack_report
from deploy.demo.evidence import Known, KnownPerson, KnownRecording
from models.synthesis import phonocardiogram, silence, wav_bytes
from tests.crypto.fast_pair import session_pair
from tests.support.small_keys import SMALL_BITS

DAY = "2026-03-14"
SOUND, RATE = 43_217, 734
HEALTHY = HealthyRange(lo=527, hi=1_017, threshold=31_321)


class CleanHome:
    """A home folder and everything that the search knows of it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.now = int(time.time())
        self.paillier = PrivateKey.generate(SMALL_BITS)
        self.key = self.paillier.public
        self.keys = {kind: CollectorKey.generate() for kind in ("patient", "doctor")}
        self.pseudonyms = {kind: new_id() for kind in self.keys}
        self.id_key = secrets.token_bytes(32)
        self.roster = Roster(
            roster=new_id(),
            clinic=self.pseudonyms["doctor"],
            month=DAY[:7],
            pseudonyms=(self.pseudonyms["patient"],),
            iat=self.now,
        )
        self.session = new_id()
        self.sessions = session_pair(secrets.token_bytes(32), self.session)
        self.request = self._request()
        self.known = self._known()
        self._make_secrets()
        self._make_aggregator()
        self._make_keyholder()
        self._make_logs()

    @property
    def aggregator(self) -> Path:
        return self.home / "aggregator" / "aggregator.sqlite3"

    @property
    def keyholder(self) -> Path:
        return self.home / "keyholder" / "keyholder.sqlite3"

    def noise(self) -> bytes:
        return self.key.encrypt(secrets.randbelow(self.key.n)).to_wire()

    def _known(self) -> Known:
        heard = wav_bytes(phonocardiogram(123.4, murmur=0.3, seconds=6.0))
        quiet = wav_bytes(silence(6.0))
        return Known(
            recordings=(
                KnownRecording(self._id(heard), heard, State.COUNTED, SOUND, RATE),
                KnownRecording(self._id(quiet), quiet, State.UNREADABLE, None, None),
            ),
            people=tuple(
                KnownPerson(
                    login=f"some-{kind}-4711",
                    display_name=f"Some {kind}",
                    pseudonym=self.pseudonyms[kind],
                    password=secrets.token_urlsafe(18),
                    token=secrets.token_urlsafe(32),
                    private=(key.to_bytes(), self.id_key),
                )
                for kind, key in self.keys.items()
            ),
            healthy=HEALTHY,
            paillier=self.paillier,
            keyholder_private=(secrets.token_bytes(32), secrets.token_bytes(32)),
            began=self.now - 60,
            ended=self.now,
        )

    def _id(self, data: bytes) -> str:
        return recording_id(self.id_key, data)

    def _make_secrets(self) -> None:
        for role in ("aggregator", "keyholder", "inference"):
            folder = self.home / role / "secrets"
            folder.mkdir(parents=True, mode=0o700)
            (folder / "a.key").write_bytes(secrets.token_bytes(32))
            (folder / "a.key").chmod(0o600)
        (self.home / "blobs" / "sealed").mkdir(parents=True)
        (self.home / "broker" / "queue").mkdir(parents=True)
        (self.home / "public").mkdir()
        (self.home / "public" / "keyholder-fingerprint").write_text(secrets.token_hex(32))

    def _make_aggregator(self) -> None:
        engine = create_engine(f"sqlite:///{self.aggregator}")
        aggregator.Base.metadata.create_all(engine)
        grant = self._grant()
        with Session(engine) as session, session.begin():
            for person, (kind, key) in zip(self.known.people, self.keys.items(), strict=True):
                session.add(
                    aggregator.Account(
                        login=person.login,
                        display_name=person.display_name,
                        password_hash="$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
                        kind=kind,
                        collector=person.pseudonym,
                        key_jwk=json.dumps(key.public_jwk),
                        thumbprint=key.thumbprint,
                        doctor_code=doctor_code(key.thumbprint) if kind == "doctor" else None,
                        session_id=new_id(),
                        created_at=self.now,
                    )
                )
            session.flush()
            session.add(
                aggregator.ApiToken(
                    token_hash=sha256_hex(b"a token"), account_id=1, expires_at=self.now + 3600
                )
            )
            for recording in self.known.recordings:
                session.add(self._row(recording))
            session.add(
                aggregator.Consent(
                    grant_id=Grant.claimed(grant).grant,
                    patient_id=1,
                    doctor_id=2,
                    grant=grant,
                    granted_at=self.now,
                )
            )
            healthy = self._range()
            session.add(healthy)
            session.flush()
            session.add(
                aggregator.Comparison(
                    recording_id=self.known.recordings[0].id,
                    pseudonym=self.pseudonyms["patient"],
                    day=DAY,
                    key_id=self.key.key_id,
                    number=1,
                    range_id=healthy.id,
                    age_band="adult",
                    session=self.session,
                    batch=0,
                )
            )
            session.add(
                aggregator.ComparisonSession(
                    session=self.session,
                    key_id=self.key.key_id,
                    sealed=_seal(self.sessions[0].to_bytes()),
                    next_batch=2,
                    comparisons=6,
                    opened_at=self.now,
                )
            )
            session.flush()
            session.add(
                aggregator.ComparisonBatch(
                    session=self.session, number=1, request=self.request, lease_until=self.now
                )
            )
            session.add(
                aggregator.Tally(
                    pseudonym=self.pseudonyms["patient"],
                    day=DAY,
                    key_id=self.key.key_id,
                    recordings=1,
                    ciphertext=self.noise(),
                )
            )
            session.add(
                aggregator.Roster(
                    id=self.roster.roster,
                    clinic_id=2,
                    month=self.roster.month,
                    roster=self.roster.sign(self.keys["doctor"]),
                    sealed_seed=_seal(secrets.token_bytes(32)),
                    created_at=self.now,
                )
            )
            session.flush()
            session.add(
                aggregator.RosterMember(
                    roster_id=self.roster.roster, pseudonym=self.pseudonyms["patient"]
                )
            )
            session.add(
                aggregator.WorkerSighting(
                    name=f"inference@{socket.gethostname()}/0",
                    kind="inference",
                    ready=True,
                    seen_at=self.now,
                )
            )
        engine.dispose()

    def _row(self, recording: KnownRecording) -> aggregator.Recording:
        unreadable = recording.state is State.UNREADABLE
        return aggregator.Recording(
            id=recording.id,
            account_id=1,
            pseudonym=self.pseudonyms["patient"],
            day=DAY,
            state=recording.state.value,
            reason="silence" if unreadable else None,
            sealed_sha256=sha256_hex(recording.data),
            sealed_bytes=len(recording.data) + 48,
            uploaded_at=self.now,
            finished_at=self.now,
            announced_at=self.now,
            attempts=1,
            report_sha256=sha256_hex(b"report"),
            model=None if unreadable else "cnn_lstm-1",
            key_id=None if unreadable else self.key.key_id,
        )

    def _range(self) -> aggregator.Range:
        packed = pack_range(self.key.bits, HEALTHY.threshold, HEALTHY.lo, HEALTHY.hi)
        bounds = self.key.encrypt(packed).to_wire()
        proposal = RangeProposal(
            range=new_id(),
            pseudonym=self.pseudonyms["patient"],
            key_id=self.key.key_id,
            bounds=bounds,
            iat=self.now,
        )
        return aggregator.Range(
            id=proposal.range,
            pseudonym=proposal.pseudonym,
            doctor_id=2,
            state="active",
            key_id=proposal.key_id,
            bounds=bounds,
            proposal=proposal.sign(self.keys["doctor"]),
            created_at=self.now,
            digest=secrets.token_bytes(32),
        )

    def _request(self) -> bytes:
        """A batch that is under way."""
        position = RecordingPosition(self.pseudonyms["patient"], DAY, 2)
        report = self.key.encrypt(pack_report(self.key.bits, SOUND, RATE))
        return FastInitiator(self.key, self.sessions[0]).request(1, [Item(position, report)])

    def _grant(self) -> str:
        return Grant(
            grant=new_id(),
            patient=self.pseudonyms["patient"],
            doctor=self.pseudonyms["doctor"],
            doctor_thumbprint=self.keys["doctor"].thumbprint,
            iat=self.now,
        ).sign(self.keys["patient"])

    def _enrolment(self, kind: str, key: CollectorKey) -> str:
        return Enrolment(
            collector=self.pseudonyms[kind],
            kind=CollectorKind(kind),
            thumbprint=key.thumbprint,
            type=KeyType.SOFTWARE,
            jti=new_id(),
            iat=self.now,
            exp=self.now + 300,
        ).sign(SigningKey.generate())

    def _make_keyholder(self) -> None:
        engine = create_engine(f"sqlite:///{self.keyholder}")
        keyholder.Base.metadata.create_all(engine)
        patient = self.pseudonyms["patient"]
        responder = FastResponder(self.paillier, MaskKey.generate())
        answer = responder.answer(self.sessions[1], decode_request(self.request)).answer
        with Session(engine) as session, session.begin():
            for kind, key in self.keys.items():
                session.add(
                    keyholder.Collector(
                        collector=self.pseudonyms[kind],
                        kind=kind,
                        thumbprint=key.thumbprint,
                        enrolled_at=self.now,
                    )
                )
                session.flush()
                session.add(
                    keyholder.CollectorKey(
                        thumbprint=key.thumbprint,
                        collector=self.pseudonyms[kind],
                        key_jwk=json.dumps(key.public_jwk),
                        type="software",
                        message=self._enrolment(kind, key),
                        added_at=self.now,
                    )
                )
            session.add(
                keyholder.ServedTally(pseudonym=patient, day=DAY, key_id=self.key.key_id, served=1)
            )
            session.add(
                keyholder.ComparisonSession(
                    session=self.session,
                    sealed=_seal(self.sessions[1].to_bytes()),
                    comparisons=6,
                    opened_at=self.now,
                )
            )
            session.flush()
            session.add(
                keyholder.ComparisonBatch(
                    session=self.session,
                    number=1,
                    request_sha256=sha256_hex(self.request),
                    answer=answer,
                    served_at=self.now,
                )
            )
            session.add(
                keyholder.RangeCheck(
                    range=new_id(),
                    pseudonym=patient,
                    key_id=self.key.key_id,
                    digest=secrets.token_bytes(32),
                    served_at=self.now,
                )
            )
            session.add(
                keyholder.Roster(
                    roster_id=self.roster.roster,
                    clinic=self.roster.clinic,
                    month=self.roster.month,
                    roster=self.roster.sign(self.keys["doctor"]),
                    declared_at=self.now,
                    opened_at=self.now,
                    statement_sha256=sha256_hex(b"statement"),
                    answer=secrets.token_bytes(self.key.plaintext_bytes + 48),
                    members=1,
                    recordings=1,
                    epsilon=0,
                )
            )
            session.flush()
            session.add(
                keyholder.RosterMember(
                    roster_id=self.roster.roster, pseudonym=patient, month=self.roster.month
                )
            )
            session.add(
                keyholder.SpentOpening(
                    jti=new_id(),
                    collector=patient,
                    recordings=1,
                    spent_at=self.now,
                    expires_at=self.now + 300,
                )
            )
        engine.dispose()

    def _make_logs(self) -> None:
        logs = self.home / "logs"
        logs.mkdir()
        access = {
            "time": "2026-03-14T01:02:03.456+00:00",
            "level": "info",
            "role": "aggregator",
            "logger": "hushbeat.access",
            "message": "request",
            "route": "/api/recordings/<recording>",
            "status": 201,
            "ms": RATE,
        }
        (logs / "aggregator.log").write_text(
            f"[2026-03-14 01:02:03 +0000] [{SOUND}] [INFO] Booting worker with pid: {SOUND}\n"
            + json.dumps(access)
            + "\n"
        )
        (logs / "keyholder.log").write_text(
            f"[2026-03-14 01:02:03 +0000] [1] [INFO] Listening at: http://127.0.0.1:{SOUND}"
            f" ({SOUND})\n"
        )
        (logs / "inference.log").write_text(
            f"[2026-03-14 01:02:03,{RATE}: INFO/ForkPoolWorker-1] Task hushbeat.inference.judge"
            f"[{SOUND}abc-1234-4321-9999-0123456789ab] succeeded in 0.{RATE}s: None\n"
        )


def broker_message(body: object) -> str:
    """A message as kombu's filesystem transport writes it."""
    encoded = b64u(json.dumps(body).encode()).encode()
    padded = encoded + b"=" * (-len(encoded) % 4)
    return json.dumps({"body": padded.decode(), "content-type": "application/json"})


def _seal(secret: bytes) -> bytes:
    return StorageKey(secrets.token_bytes(32)).seal(secret, b"row")
