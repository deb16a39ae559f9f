"""The migration helper, on the key holder's tree (tests/keyholder tests that tree itself)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, inspect

from app.common.migrate import SchemaError, check, check_at_head, downgrade, upgrade
from app.keyholder.tables import db


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/db.sqlite3"


def test_upgrading_twice_changes_nothing_and_the_folder_is_private(
    url: str, tmp_path: Path
) -> None:
    upgrade("keyholder", url)
    upgrade("keyholder", url)
    check("keyholder", url, db.metadata)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_a_database_behind_the_head_is_found(url: str) -> None:
    upgrade("keyholder", url)
    downgrade("keyholder", url)
    with pytest.raises(SchemaError, match="run its init"):
        check("keyholder", url, db.metadata)
    engine = create_engine(url)
    with engine.connect() as connection, pytest.raises(SchemaError):
        check_at_head("keyholder", connection)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_a_table_without_a_migration_is_found(url: str) -> None:
    upgrade("keyholder", url)
    changed = MetaData()
    for table in db.metadata.tables.values():
        table.to_metadata(changed)
    Table("forgotten", changed, Column("id", Integer, primary_key=True))
    with pytest.raises(SchemaError, match="forgotten"):
        check("keyholder", url, changed)
