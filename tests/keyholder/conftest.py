from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.common.migrate import upgrade
from app.common.secret_files import publish
from app.keyholder.factory import create_app
from app.keyholder.keys import KeyholderKeys
from app.keyholder.tables import db
from config import KeyholderConfig
from crypto.encoding import b64u
from crypto.jws import SigningKey
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import CollectorKind
from crypto.unsealing import SealingKey
from tests.common.postgres import postgres  # noqa: F401
from tests.keyholder.world import Party, World

TEST_BITS = 512


@pytest.fixture(autouse=True)
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys for speed; the servers have no setting for this."""
    monkeypatch.setattr("crypto.paillier.MIN_KEY_BITS", TEST_BITS)
    monkeypatch.setattr("crypto.at_rest.SCRYPT_N", 1 << 4)


@pytest.fixture(scope="session")
def keys() -> KeyholderKeys:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crypto.paillier.MIN_KEY_BITS", TEST_BITS)
        private = PrivateKey.generate(TEST_BITS)
    return KeyholderKeys(private, MaskKey.generate(), SigningKey.generate())


@pytest.fixture(scope="session")
def statement_key() -> SigningKey:
    return SigningKey.generate()


def publish_worker_keys(config: KeyholderConfig) -> None:
    sealing = SealingKey.generate()
    content = {
        "sealing": {"key_id": sealing.key_id, "public": b64u(sealing.public)},
        "report_key": SigningKey.generate().public_jwk,
    }
    publish(config.worker_public_file, json.dumps(content).encode())


@pytest.fixture
def config(tmp_path: Path) -> KeyholderConfig:
    return KeyholderConfig.from_environment({"HUSHBEAT_HOME": str(tmp_path)})


@pytest.fixture
def make_world(
    config: KeyholderConfig, keys: KeyholderKeys, statement_key: SigningKey
) -> Iterator[Callable[[KeyholderConfig], World]]:
    apps: list[Flask] = []

    def make(config: KeyholderConfig) -> World:
        keys.save(config.secrets)
        publish(config.aggregator_public_file, json.dumps(statement_key.public_jwk).encode())
        if not config.worker_public_file.exists():
            publish_worker_keys(config)
        upgrade("keyholder", config.database_url)
        app = create_app(config)
        apps.append(app)
        return World(app, app.test_client(), config, keys, statement_key)

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def world(make_world: Callable[[KeyholderConfig], World], config: KeyholderConfig) -> World:
    return make_world(config)


# The cast: the owner's data, a doctor with the owner's grant, colleagues of both without it, and a
# stranger whom nobody enrolled.


@pytest.fixture
def owner(world: World) -> Party:
    return world.enrolled(CollectorKind.PATIENT)


@pytest.fixture
def other_patient(world: World) -> Party:
    return world.enrolled(CollectorKind.PATIENT)


@pytest.fixture
def doctor(world: World, owner: Party) -> Party:
    party = world.enrolled(CollectorKind.DOCTOR)
    world.granted(owner, party)
    return party


@pytest.fixture
def colleague(world: World) -> Party:
    return world.enrolled(CollectorKind.DOCTOR)


@pytest.fixture
def stranger() -> Party:
    return Party(CollectorKind.DOCTOR)
