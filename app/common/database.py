"""One behaviour of both databases: what PostgreSQL calls READ COMMITTED, with row locks.

On SQLite a plain read sees what was committed before it and holds no lock. The first write of a
transaction, or the first `select(...).with_for_update()`, takes the one write lock (BEGIN
IMMEDIATE), so that code which locks what it decides upon is right on PostgreSQL and on SQLite, and
a request that only reads never blocks a writer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, CursorResult, Engine, Update, event, make_url
from sqlalchemy.exc import IntegrityError, OperationalError

BUSY_TIMEOUT_SECONDS = 10
"""How long a writer waits for SQLite's write lock."""

_CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock
_ATTEMPTS = 5

T = TypeVar("T")


def configure_database(app: Flask, db: SQLAlchemy, url: str) -> None:
    """Binds `db` to the database at `url` (sqlite:///file or postgresql://...)."""
    app.config["SQLALCHEMY_DATABASE_URI"] = driver_url(url)
    # Error messages must not carry the values of a statement into a log.
    options: dict[str, Any] = {"hide_parameters": True}
    if _is_sqlite(url):
        options["connect_args"] = {
            "timeout": BUSY_TIMEOUT_SECONDS,
            "isolation_level": "IMMEDIATE",
        }
    else:
        options["pool_pre_ping"] = True
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db.init_app(app)
    if _is_sqlite(url):
        with app.app_context():
            _prepare_sqlite(db.engine)


def in_transaction(db: SQLAlchemy, work: Callable[[], T]) -> T:
    """Runs `work` in a transaction of its own and commits it; rolls back if it raises.

    When another process got in first (a unique constraint, a deadlock) `work` runs again from its
    beginning and meets what the other one wrote. It must therefore have no effect outside the
    database, and return values rather than rows.

    Raises:
        IntegrityError, OperationalError: the conflict persists, or the database failed.
    """
    for left in reversed(range(_ATTEMPTS)):
        db.session.rollback()
        try:
            result = work()
            db.session.commit()
        except (IntegrityError, OperationalError) as error:
            db.session.rollback()
            if left == 0 or not _is_conflict(error):
                raise
        except BaseException:
            db.session.rollback()
            raise
        else:
            return result
    raise AssertionError("unreachable")  # pragma: no cover


def changes_a_row(db: SQLAlchemy, statement: Update) -> bool:
    """Whether an UPDATE of the session's transaction met a row; loaded objects stay as they are."""
    result: CursorResult[Any] = db.session.execute(  # type: ignore[assignment]
        statement, execution_options={"synchronize_session": False}
    )
    return result.rowcount > 0


def driver_url(url: str) -> str:
    """The URL with the driver that this project pins (psycopg 3 for PostgreSQL)."""
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _is_sqlite(url: str) -> bool:
    return make_url(driver_url(url)).get_backend_name() == "sqlite"


def _is_conflict(error: IntegrityError | OperationalError) -> bool:
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in _CONFLICTS


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # FULL, not NORMAL: what was committed before an answer is there after a power cut too.
        cursor.execute("PRAGMA synchronous = FULL")
        # Ciphertexts of results that were counted must not stay in pages that SQLite freed.
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    @event.listens_for(engine, "before_cursor_execute")
    def on_locking_read(
        _conn: Connection, cursor: Any, _sql: str, _params: Any, context: Any, _many: bool
    ) -> None:
        statement = getattr(getattr(context, "compiled", None), "statement", None)
        if getattr(statement, "_for_update_arg", None) is not None:
            _begin(cursor.connection)

    @event.listens_for(engine, "savepoint")
    def on_savepoint(conn: Connection, _name: str | None) -> None:
        _begin(conn.connection.driver_connection)


def _begin(connection: Any) -> None:
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
