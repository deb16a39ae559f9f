"""Setting role B up: keys made once, sealed, private; migrations up and down on both databases."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from app.common.database import driver_url
from app.common.migrate import check, downgrade, upgrade
from app.common.secret_files import SecretFileError
from app.keyholder.factory import create_app
from app.keyholder.init import initialise
from app.keyholder.keys import KeyholderKeys
from app.keyholder.tables import db
from config import KeyholderConfig
from crypto.errors import KeyFileError, KeyTooSmall
from crypto.jws import fingerprint
from crypto.keyholder.masks import MaskKey


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch, keys: KeyholderKeys) -> None:
    monkeypatch.setattr(KeyholderKeys, "generate", lambda: keys)


@pytest.mark.usefixtures("generated")
def test_init_makes_everything_once(config: KeyholderConfig, keys: KeyholderKeys) -> None:
    initialise(config)
    files = {path.name: path.read_bytes() for path in config.secrets.iterdir()}
    initialise(config)

    assert {path.name: path.read_bytes() for path in config.secrets.iterdir()} == files
    assert set(files) == {"passphrase", "paillier.key", "mask.key", "manifest.key", "storage.key"}
    assert config.secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in config.secrets.iterdir()} == {0o600}
    assert config.fingerprint_file.read_text().strip() == fingerprint(keys.manifest.public_jwk)
    check("keyholder", config.database_url, db.metadata)


def test_the_keys_come_back_and_are_sealed(tmp_path: Path, keys: KeyholderKeys) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    loaded = KeyholderKeys.load(folder)
    assert loaded.paillier.public == keys.paillier.public
    assert loaded.masks.to_bytes() == keys.masks.to_bytes()
    assert loaded.manifest.public_jwk == keys.manifest.public_jwk
    assert loaded.storage.to_bytes() == keys.storage.to_bytes()
    loaded.self_test()

    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (keys.masks, keys.manifest, keys.storage):
        assert secret.to_bytes() not in stored
    assert b'"p"' not in stored
    assert repr(keys) == "KeyholderKeys"


@pytest.mark.usefixtures("generated")
def test_a_storage_key_that_is_missing_is_made_anew(config: KeyholderConfig) -> None:
    """Only sessions of comparisons depend on it; keys from before there were any have none."""
    initialise(config)
    (config.secrets / "storage.key").unlink()
    initialise(config)
    assert (config.secrets / "storage.key").stat().st_mode & 0o777 == 0o600
    KeyholderKeys.load(config.secrets).storage.seal(b"", b"")


def test_keys_are_never_replaced(tmp_path: Path, keys: KeyholderKeys) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    replace(keys, masks=MaskKey.generate()).save(folder)
    assert KeyholderKeys.load(folder).masks.to_bytes() == keys.masks.to_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]


def test_starting_together_ends_with_one_set_of_keys(tmp_path: Path, keys: KeyholderKeys) -> None:
    folder = tmp_path / "secrets"
    sets = [replace(keys, masks=MaskKey.generate()) for _ in range(4)]
    threads = [threading.Thread(target=one.save, args=(folder,)) for one in sets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = KeyholderKeys.load(folder).masks.to_bytes()
    assert kept in {one.masks.to_bytes() for one in sets}


@pytest.mark.parametrize(
    "name", ["passphrase", "paillier.key", "mask.key", "manifest.key", "storage.key"]
)
def test_a_missing_or_altered_file_is_named(tmp_path: Path, keys: KeyholderKeys, name: str) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(KeyFileError, match=r"unlock|key"):
        KeyholderKeys.load(folder)
    path.unlink()
    with pytest.raises(KeyFileError, match=str(folder)):
        KeyholderKeys.load(folder)


def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path, keys: KeyholderKeys) -> None:
    folder = tmp_path / "secrets"
    keys.save(folder)
    (folder / "passphrase").chmod(0o644)
    with pytest.raises(SecretFileError):
        KeyholderKeys.load(folder)


def test_a_key_that_cannot_be_used_is_refused_before_the_database_is_touched(
    config: KeyholderConfig, keys: KeyholderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An early version made keys of any primes."""
    keys.save(config.secrets)
    monkeypatch.setattr("crypto.keyholder.private_key._suit", lambda *_: False)
    with pytest.raises(KeyFileError, match="3 mod 4"):
        initialise(config)
    assert not (config.home / "keyholder" / "keyholder.sqlite3").exists()


def test_a_short_key_does_not_start(
    config: KeyholderConfig, keys: KeyholderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.save(config.secrets)
    monkeypatch.setattr("crypto.paillier.MIN_KEY_BITS", 3072)
    with pytest.raises(KeyTooSmall):
        create_app(config)


def test_without_keys_it_says_what_to_run(config: KeyholderConfig) -> None:
    with pytest.raises(KeyFileError, match=r"app\.keyholder\.init"):
        create_app(config)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_migration_goes_up_and_down_and_the_head_is_the_tables(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    if database == "sqlite":
        url = f"sqlite:///{tmp_path}/b.sqlite3"
    else:
        url = request.getfixturevalue("postgres").new_database()
    for _ in range(2):
        upgrade("keyholder", url)
        check("keyholder", url, db.metadata)
        downgrade("keyholder", url)
        engine = create_engine(driver_url(url))
        assert inspect(engine).get_table_names() == ["alembic_version"]
        engine.dispose()
