"""Backups of the embedded default: whole, private, of one moment, and never over what is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deploy.local.backup import DATABASES, CannotBackUp, create, restore

SECRET = "keyholder/secrets/paillier.key"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    for name in DATABASES:
        (made / name).parent.mkdir(parents=True)
        with closing(sqlite3.connect(made / name)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE t (n INTEGER)")
            connection.execute("INSERT INTO t VALUES (1)")
            connection.commit()
    (made / SECRET).parent.mkdir()
    (made / SECRET).write_bytes(b"sealed")
    (made / SECRET).chmod(0o600)
    return made


def numbers(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT n FROM t")]


def insert(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        connection.commit()


def test_there_and_back(home: Path, tmp_path: Path) -> None:
    backup, again = tmp_path / "backup", tmp_path / "again"
    create(home, backup)
    for name in DATABASES:
        insert(home / name)
    restore(backup, again)
    assert [numbers(again / name) for name in DATABASES] == [[1], [1]]
    assert (again / SECRET).read_bytes() == b"sealed"
    assert (again / SECRET).stat().st_mode & 0o777 == 0o600
    assert backup.stat().st_mode & 0o777 == 0o700
    assert {(again / name).stat().st_mode & 0o777 for name in DATABASES} == {0o600}


def test_nothing_changes_while_it_is_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer between the two copies would make them of different moments."""
    from deploy.local import backup as module

    original = module._copy_database

    def copy(source: Path, target: Path) -> None:
        for name in DATABASES:
            connection = sqlite3.connect(home / name, timeout=0)
            with closing(connection), pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("INSERT INTO t VALUES (2)")
        original(source, target)

    monkeypatch.setattr(module, "_copy_database", copy)
    create(home, tmp_path / "backup")
    insert(home / DATABASES[0])


def test_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    create(home, tmp_path / "backup")
    with pytest.raises(CannotBackUp, match="already"):
        create(home, tmp_path / "backup")
    with pytest.raises(CannotBackUp, match="move it away"):
        restore(tmp_path / "backup", home)
    with pytest.raises(CannotBackUp, match="is this a backup"):
        restore(tmp_path / "nothing", tmp_path / "new")
    with pytest.raises(CannotBackUp, match="is this the home"):
        create(tmp_path / "nothing", tmp_path / "new")
