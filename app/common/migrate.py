"""Schema migrations of both roles: one Alembic environment, a tree of versions a role.

The versions live in `migrations/<role>/versions`. To write the next one, change the tables and
run, in a shell with the role's `db` at hand, `draft("keyholder", db.metadata, "What it does")`;
then read and correct the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url, text

from app.common.database import BUSY_TIMEOUT_SECONDS, driver_url
from app.common.secret_files import private_folder

_TREES = Path(__file__).resolve().parents[2] / "migrations"
_ADVISORY_LOCK = 0x48757368  # any constant of this project


class CannotUpgrade(Exception):
    """A database of an early version whose contents this one cannot use; nothing was changed."""


class SchemaError(Exception):
    """A database is not at the newest version, or the tables in the code differ from it."""


def upgrade(role: str, url: str) -> None:
    """Brings the database of `role` to the newest version; makes SQLite's folder if needed.

    Raises CannotUpgrade.
    """
    database = make_url(driver_url(url))
    if database.get_backend_name() == "sqlite" and database.database:
        private_folder(Path(database.database).parent)
    _run(url, lambda config: command.upgrade(config, "head"), role)


def downgrade(role: str, url: str, revision: str = "base") -> None:
    """Takes the database of `role` back to `revision`; everything is gone at `base`."""
    _run(url, lambda config: command.downgrade(config, revision), role)


def check(role: str, url: str, metadata: MetaData) -> None:
    """Raises SchemaError unless the database is at the head and the head is these tables."""
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            check_at_head(role, connection)
            migration = MigrationContext.configure(connection, opts={"compare_type": True})
            if differences := compare_metadata(migration, metadata):
                raise SchemaError(f"the newest version of {role} differs: {differences}")
    finally:
        engine.dispose()


def check_at_head(role: str, connection: Connection) -> None:
    """Raises SchemaError unless the connected database is at the newest version."""
    head = _head(role)
    found = MigrationContext.configure(connection).get_current_revision()
    if found != head:
        raise SchemaError(f"the database of {role} is at {found}, not {head}: run its init")


def draft(role: str, metadata: MetaData, message: str) -> None:
    """Writes the next version of `role` from the difference between the head and `metadata`."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/draft.sqlite3"
        upgrade(role, url)

        def write(config: Config) -> None:
            config.attributes["metadata"] = metadata
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")

        _run(url, write, role)


def run_environment() -> None:
    """What `migrations/env.py` does: run the versions on the connection made here."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        target_metadata=attributes.get("metadata"),
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run(url: str, action: Callable[[Config], object], role: str) -> None:
    config = _config(role)
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Two hosts may run the same init at once; SQLite's BEGIN IMMEDIATE does it there.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            config.attributes["connection"] = connection
            action(config)
    finally:
        engine.dispose()


@cache
def _head(role: str) -> str | None:
    return ScriptDirectory.from_config(_config(role)).get_current_head()


def _config(role: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_TREES))
    config.set_main_option("version_locations", str(_TREES / role / "versions"))
    config.set_main_option("path_separator", "newline")
    return config


def _engine(url: str) -> Engine:
    """An engine whose whole migration is one transaction, DDL included.

    SQLite's foreign keys stay unchecked here: batch mode copies a table and drops the old one.
    """
    engine = create_engine(driver_url(url), hide_parameters=True)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
