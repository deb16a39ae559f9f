from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from app.common.migrate import downgrade
from app.common.secret_files import publish
from app.keyholder.keys import KeyholderKeys
from config import KeyholderConfig
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import Manifest
from tests.keyholder.conftest import publish_worker_keys
from tests.keyholder.world import World, slug


def manifest(world: World) -> Manifest:
    answer = world.client.get("/v1/manifest").json
    assert answer is not None
    assert answer["key"] == world.keys.manifest.public_jwk
    return Manifest.verify(answer["manifest"], answer["key"], time.time())


def test_it_names_every_key_and_address(world: World) -> None:
    shown = manifest(world)
    worker = json.loads(world.config.worker_public_file.read_text())
    assert shown.active_key == world.keys.paillier.public
    assert shown.statement_key == world.statement_key.public_jwk
    assert shown.report_key == worker["report_key"]
    assert shown.sealing.key_id == worker["sealing"]["key_id"]
    assert shown.aggregator_url == world.config.aggregator_url
    assert shown.keyholder_url == world.config.public_url
    assert shown.operating_point == 32_768


def test_it_is_signed_once_and_again_when_a_key_is_replaced(world: World) -> None:
    first = world.client.get("/v1/manifest").data
    assert world.client.get("/v1/manifest").data == first

    publish_worker_keys(world.config)
    worker = json.loads(world.config.worker_public_file.read_text())
    assert manifest(world).report_key == worker["report_key"]

    key = SigningKey.generate()
    publish(world.config.aggregator_public_file, json.dumps(key.public_jwk).encode())
    assert manifest(world).statement_key == key.public_jwk


def test_without_the_other_keys_it_says_so_until_they_are_there(world: World) -> None:
    good = world.config.worker_public_file.read_bytes()
    world.config.worker_public_file.unlink()
    assert slug(world.client.get("/v1/manifest")) == "not-set-up"
    ready = world.client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json == {
        "ready": False,
        "checks": {"database": True, "keys": True, "public_keys": False},
    }

    for broken in (b"", b"[]", b"{}", b'{"sealing": 1, "report_key": 2}', good[:-9]):
        publish(world.config.worker_public_file, broken)
        assert slug(world.client.get("/v1/manifest")) == "not-set-up"

    publish(world.config.worker_public_file, good)
    assert manifest(world)
    publish(
        world.config.aggregator_public_file, json.dumps(CollectorKey.generate().public_jwk).encode()
    )
    assert slug(world.client.get("/v1/manifest")) == "not-set-up"
    publish(
        world.config.aggregator_public_file, json.dumps(world.statement_key.public_jwk).encode()
    )
    assert world.client.get("/readyz").status_code == 200


def test_ready_needs_a_current_database(
    make_world: Callable[[KeyholderConfig], World], config: KeyholderConfig
) -> None:
    world = make_world(config)
    assert world.client.get("/readyz").status_code == 200
    downgrade("keyholder", config.database_url)
    answer = world.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["checks"]["database"] is False


def test_ready_needs_keys_that_decrypt(
    world: World, keys: KeyholderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(keys.paillier), "decrypt", lambda *_: 1)
    answer = world.client.get("/readyz")
    assert answer.json is not None
    assert answer.json["checks"]["keys"] is False
