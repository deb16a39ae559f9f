"""A database of role A, a whole role B, and the keys of everybody, in one process."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from flask import Flask
from sqlalchemy import select, update

from app.aggregator import tables as a
from app.aggregator.factory import create_background_app
from app.aggregator.secrets import AggregatorSecrets
from app.common.secret_files import publish
from app.keyholder import tables as b
from app.keyholder.factory import create_app as create_keyholder
from app.keyholder.keys import KeyholderKeys
from app.keyholder.sessions import add_session
from config import AggregatorConfig, KeyholderConfig
from crypto import at_rest
from crypto.encoding import new_id
from crypto.jws import SigningKey, fingerprint
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey
from crypto.slots import COUNT_SLOT_BITS, join, pack_report, rate_count_offset, zone_bits
from tests.crypto.fast_pair import session_pair
from tests.support.servers import create_database
from tests.support.small_keys import small_keys
from workers.aggregation import sessions
from workers.inference import init as inference_init

KEY_BITS = 512
COMPARE = "/v1/comparisons"
OPEN = "/v1/comparison-sessions"
DAY = "2026-03-01"
HEALTHY = (20_000, 700)
MURMUR = (60_000, 700)
FAST = (20_000, 1_300)
MURMUR_AND_SLOW = (60_000, 400)


@pytest.fixture(autouse=True)
def _quick_keys() -> Iterator[None]:
    with _quick():
        yield


@contextmanager
def _quick() -> Iterator[None]:
    """Small Paillier keys, and passphrases that are stretched less."""
    with small_keys(KEY_BITS), pytest.MonkeyPatch.context() as patch:
        patch.setattr(at_rest, "SCRYPT_N", 1 << 10)
        yield


@pytest.fixture(scope="session")
def keys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which every role has its keys; copied for each test."""
    home = tmp_path_factory.mktemp("keys")
    environment = {"HUSHBEAT_HOME": str(home)}
    with _quick(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUSHBEAT_HOME", str(home))
        AggregatorSecrets.create(AggregatorConfig.from_environment(environment))
        inference_init.main()
        keyholder = KeyholderConfig.from_environment(environment)
        keys = KeyholderKeys(
            PrivateKey.generate(KEY_BITS), MaskKey.generate(), SigningKey.generate()
        )
        keys.save(keyholder.secrets)
        publish(keyholder.fingerprint_file, fingerprint(keys.manifest.public_jwk).encode())
    return home


class Switch(httpx.BaseTransport):
    """The way to the key holder; a test turns it off, or has something happen on the way."""

    def __init__(self, application: Flask) -> None:
        self._inner = httpx.WSGITransport(application)
        self.off: set[str] = set()
        self.asked: list[str] = []
        self.before: Callable[[bytes], object] = lambda _: None
        self.after: Callable[[], object] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.off:
            raise httpx.ConnectError("switched off")
        self.before(request.content)
        response = self._inner.handle_request(request)
        if path == COMPARE:
            self.after()
        return response


@dataclass
class World:
    """Role A's database and services, role B behind `switch`, and B's private key as an oracle."""

    home: Path
    flask: Flask
    keyholder: Flask
    switch: Switch
    keys: KeyholderKeys
    key: PublicKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.keys.paillier.public

    def session(self, at: int = 0) -> str:
        """A session that both roles have, made without base transfers."""
        name = new_id()
        evaluator, garbler = session_pair(secrets.token_bytes(32), name)
        sessions.keep(evaluator, self.key.key_id, at)
        with self.keyholder.app_context():
            add_session(garbler)
            b.db.session.commit()
        return name

    def lapse(self) -> None:
        """Time passes: the lease of every batch runs out."""
        a.db.session.rollback()
        a.db.session.execute(update(a.ComparisonBatch).values(lease_until=0))
        a.db.session.commit()

    def batches(self) -> list[a.ComparisonBatch]:
        a.db.session.rollback()
        a.db.session.expire_all()
        return list(
            a.db.session.scalars(select(a.ComparisonBatch).order_by(a.ComparisonBatch.number))
        )

    def served(self) -> dict[str, int]:
        """How many recordings of each pseudonym the key holder has served."""
        with self.keyholder.app_context():
            return {
                row.pseudonym: row.served for row in b.db.session.scalars(select(b.ServedTally))
            }

    def patient(self, age_band: str = "adult") -> a.Account:
        return self._account(a.AccountKind.PATIENT, age_band)

    def doctor(self) -> a.Account:
        return self._account(a.AccountKind.DOCTOR, "adult")

    def _account(self, kind: a.AccountKind, age_band: str) -> a.Account:
        name = new_id()
        account = a.Account(
            login=name,
            display_name="Test",
            password_hash="x",
            kind=kind,
            age_band=age_band,
            collector=new_id(),
            session_id=new_id(),
            created_at=0,
        )
        a.db.session.add(account)
        a.db.session.commit()
        return account

    def reported(
        self, patient: a.Account, result: tuple[int, int], day: str = DAY, at: int = 0
    ) -> str:
        """A recording whose report has arrived; `result` is (sound, tenths of bpm)."""
        findings = self.key.encrypt(pack_report(self.key.bits, *result)).to_bytes()
        return self.recording(
            patient,
            a.RecordingState.REPORTED,
            day,
            at,
            key_id=self.key.key_id,
            findings=findings,
            model="m",
            report_sha256="0" * 64,
        )

    def recording(
        self, patient: a.Account, state: a.RecordingState, day: str = DAY, at: int = 0, **values
    ) -> str:
        row = a.Recording(
            id=new_id(),
            account_id=patient.id,
            pseudonym=patient.collector,
            day=day,
            state=state,
            sealed_sha256="1" * 64,
            sealed_bytes=100,
            uploaded_at=at,
            **values,
        )
        a.db.session.add(row)
        a.db.session.commit()
        return row.id

    def row(self, recording: str) -> a.Recording:
        a.db.session.rollback()
        return a.db.session.get_one(a.Recording, recording, populate_existing=True)

    def opened(self, patient: a.Account, day: str = DAY) -> tuple[int, int, int]:
        """(recordings, sound, rate) of a tally: decrypted, with B's masks taken off."""
        a.db.session.rollback()
        tally = a.db.session.get_one(a.Tally, (patient.collector, day), populate_existing=True)
        plain = self.keys.paillier.decrypt(self.key.parse(tally.ciphertext))
        mask = self.keys.masks.total(self.key, patient.collector, day, tally.recordings)
        counts = (plain - mask) % self.key.n
        sound = counts & ((1 << COUNT_SLOT_BITS) - 1)
        return tally.recordings, sound, counts >> rate_count_offset(self.key.bits)

    def range(
        self, patient: a.Account, threshold: int, lo: int, hi: int, state: a.RangeState
    ) -> str:
        """A row of a range, in order or not."""
        packed = join([threshold, lo, hi + 1], zone_bits(self.key.bits))
        row = a.Range(
            id=new_id(),
            pseudonym=patient.collector,
            doctor_id=self.doctor().id,
            state=state,
            key_id=self.key.key_id,
            bounds=self.key.encrypt(packed).to_bytes(),
            proposal="x",
            created_at=0,
        )
        a.db.session.add(row)
        a.db.session.commit()
        return row.id


@pytest.fixture
def home(keys_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(keys_home, tmp_path / "home"))


@contextmanager
def _world(home: Path, database_url: str | None = None) -> Iterator[World]:
    environment = {"HUSHBEAT_HOME": str(home)}
    keyholder_config = KeyholderConfig.from_environment(environment)
    keyholder = create_keyholder(keyholder_config)
    with keyholder.app_context():
        b.db.create_all()
    switch = Switch(keyholder)
    if database_url:
        environment["DATABASE_URL"] = database_url
    flask = create_background_app(AggregatorConfig.from_environment(environment), switch)
    keys = KeyholderKeys.load(keyholder_config.secrets)
    with flask.app_context():
        a.db.create_all()
        made = World(home, flask, keyholder, switch, keys)
        made.session()
        yield made
        a.db.session.remove()
        a.db.engine.dispose()
    with keyholder.app_context():
        b.db.engine.dispose()


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    with _world(home) as made:
        yield made


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def either_world(home: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Role A on each of its databases."""
    url = None
    if request.param == "PostgreSQL":
        url = create_database(request.getfixturevalue("postgres_url"), f"workers_{new_id()}")
    with _world(home, url) as made:
        yield made
