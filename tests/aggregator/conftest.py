"""The aggregator with the real key holder behind it, and the cast: owner, colleague, stranger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import create_engine

from app.aggregator.accounts import service
from app.aggregator.factory import create_app, create_background_app
from app.aggregator.init import initialise
from app.aggregator.secrets import AggregatorSecrets
from app.aggregator.tables import db
from app.common.database import driver_url
from app.common.migrate import upgrade
from app.common.secret_files import publish
from app.keyholder.factory import create_app as create_keyholder
from app.keyholder.init import initialise as initialise_keyholder
from app.keyholder.keys import KeyholderKeys
from config import AggregatorConfig, KeyholderConfig
from crypto import paillier
from crypto.encoding import b64u
from crypto.jws import SigningKey
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey
from crypto.unsealing import SealingKey
from tests.aggregator.cast import Cast, Worker
from tests.common.postgres import PostgresServer, postgres  # noqa: F401

BITS = 1024


@dataclass(frozen=True)
class Keyholder:
    """The real role B: its application, its settings and its keys."""

    app: Flask
    config: KeyholderConfig
    keys: KeyholderKeys


class Line(httpx.BaseTransport):
    """The way from the aggregator to the key holder; it can be cut."""

    def __init__(self, app: Flask) -> None:
        self._inner = httpx.WSGITransport(app=app)
        self.down = False
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("down", request=request)
        return self._inner.handle_request(request)


@pytest.fixture(scope="package", autouse=True)
def _affordable() -> Iterator[None]:
    """Small Paillier keys, and passwords that are hashed in a moment."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier, "MIN_KEY_BITS", BITS)
        patch.setattr("crypto.at_rest.SCRYPT_N", 1 << 4)
        patch.setattr(service, "_hasher", hasher)
        patch.setattr(service, "_nobody", hasher.hash("nobody"))
        yield


@pytest.fixture(scope="package")
def worker_keys(home: Path) -> tuple[SealingKey, SigningKey]:
    sealing, report = SealingKey.generate(), SigningKey.generate()
    entry = {"key_id": sealing.key_id, "public": b64u(sealing.public)}
    content = {"sealing": entry, "report_key": report.public_jwk}
    publish(home / "public" / "inference.json", json.dumps(content).encode())
    return sealing, report


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with both roles' secrets and one empty, migrated database to copy."""
    folder = tmp_path_factory.mktemp("home")
    initialise(AggregatorConfig.from_environment({"HUSHBEAT_HOME": str(folder)}))
    return folder


@pytest.fixture(scope="package")
def keyholder(
    home: Path, worker_keys: tuple[SealingKey, SigningKey], _affordable: None
) -> Keyholder:
    config = KeyholderConfig.from_environment({"HUSHBEAT_HOME": str(home)})
    keys = KeyholderKeys(PrivateKey.generate(BITS), MaskKey.generate(), SigningKey.generate())
    keys.save(config.secrets)
    initialise_keyholder(config)
    return Keyholder(create_keyholder(config), config, keys)


@pytest.fixture
def key(keyholder: Keyholder) -> PublicKey:
    """The active Paillier key."""
    return keyholder.keys.paillier.public


@pytest.fixture
def line(keyholder: Keyholder) -> Line:
    return Line(keyholder.app)


@pytest.fixture
def settings() -> dict[str, str]:
    """What a test module may change."""
    return {"LOGIN_ATTEMPTS_PER_MINUTE": "10000", "MAX_UPLOAD_BYTES": "200000"}


@pytest.fixture
def config(home: Path, tmp_path: Path, settings: dict[str, str]) -> AggregatorConfig:
    """The shared home's secrets, a database, blobs and broker of the test's own."""
    database = tmp_path / "aggregator.sqlite3"
    shutil.copyfile(home / "aggregator" / "aggregator.sqlite3", database)
    return AggregatorConfig.from_environment(
        settings
        | {
            "HUSHBEAT_HOME": str(home),
            "DATABASE_URL": f"sqlite:///{database}",
            "BLOB_URL": f"file://{tmp_path / 'blobs'}",
            "BROKER_URL": f"filesystem://{tmp_path / 'broker'}",
        }
    )


@pytest.fixture
def app(config: AggregatorConfig, line: Line) -> Iterator[Flask]:
    made = create_app(config, line)
    yield made
    _dispose(made)


@pytest.fixture(scope="package")
def postgres_database(postgres: PostgresServer) -> str:  # noqa: F811
    """One migrated database, emptied for each test."""
    url = postgres.new_database()
    upgrade("aggregator", url)
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def either_config(request: pytest.FixtureRequest, config: AggregatorConfig) -> AggregatorConfig:
    """Settings with an empty database of each kind."""
    if request.param == "sqlite":
        return config
    url = request.getfixturevalue("postgres_database")
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return replace(config, database_url=url)


@pytest.fixture
def background(either_config: AggregatorConfig) -> Iterator[Flask]:
    """The application without its web side, on each of the two databases."""
    made = create_background_app(either_config)
    with made.app_context():
        yield made
    _dispose(made)


@pytest.fixture
def either_app(either_config: AggregatorConfig, line: Line) -> Iterator[Flask]:
    """The whole application on each of the two databases."""
    made = create_app(either_config, line)
    yield made
    _dispose(made)


@pytest.fixture
def cast(app: Flask) -> Cast:
    return Cast(app)


@pytest.fixture
def worker(app: Flask, worker_keys: tuple[SealingKey, SigningKey]) -> Worker:
    return Worker(app, worker_keys[1])


@pytest.fixture
def statement_jwk(config: AggregatorConfig) -> dict[str, str]:
    return AggregatorSecrets.load(config).statement_key.public_jwk


def _dispose(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
