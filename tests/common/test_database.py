"""Both databases behave alike: no lost update, no reader that blocks, no value in an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.common.database import configure_database, driver_url, in_transaction


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Counter(Base):
    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int]


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/test.sqlite3"
    else:
        url = request.getfixturevalue("postgres").new_database()
    app = Flask("test")
    configure_database(app, db, url)
    with app.app_context():
        db.create_all()
        db.session.add(Counter(name="a", value=0))
        db.session.commit()
    yield app
    with app.app_context():
        db.engine.dispose()


def add_one() -> int:
    row = db.session.get(Counter, "a", with_for_update=True)
    assert row is not None
    row.value += 1
    return row.value


def value() -> int:
    return db.session.execute(db.select(Counter.value).filter_by(name="a")).scalar_one()


def in_threads(app: Flask, count: int, work: object) -> list[BaseException]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with app.app_context():
                work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_no_update_is_lost_between_threads(app: Flask) -> None:
    failures = in_threads(app, 6, lambda: [in_transaction(db, add_one) for _ in range(15)])

    assert failures == []
    with app.app_context():
        assert value() == 90


def test_a_reader_does_not_block_a_writer(app: Flask) -> None:
    with app.app_context():
        assert value() == 0  # this transaction stays open
        failures = in_threads(app, 1, lambda: in_transaction(db, add_one))
        assert failures == []
        assert value() == 1  # as under READ COMMITTED


def test_inserting_the_same_row_meets_the_other_one_on_the_second_try(app: Flask) -> None:
    ready = threading.Barrier(4)
    first = threading.local()

    def insert_or_add() -> int:
        row = db.session.get(Counter, "b", with_for_update=True)
        if row is None:
            if not getattr(first, "waited", False):
                first.waited = True
                if db.engine.dialect.name == "postgresql":
                    ready.wait(timeout=10)  # all four have seen that there is none
            db.session.add(Counter(name="b", value=1))
            return 1
        row.value += 1
        return row.value

    assert in_threads(app, 4, lambda: in_transaction(db, insert_or_add)) == []
    with app.app_context():
        assert db.session.get_one(Counter, "b").value == 4


def test_a_failure_leaves_nothing_behind(app: Flask) -> None:
    def fail() -> None:
        add_one()
        db.session.flush()
        raise ValueError

    with app.app_context():
        with pytest.raises(ValueError):  # noqa: PT011
            in_transaction(db, fail)
        assert value() == 0


def test_a_lasting_conflict_is_raised_without_the_values(app: Flask) -> None:
    def insert() -> None:
        db.session.execute(db.insert(Counter).values(name="a", value=4711))

    with app.app_context():
        with pytest.raises(IntegrityError) as caught:
            in_transaction(db, insert)
        assert "4711" not in str(caught.value)


def test_a_savepoint_is_part_of_its_transaction(app: Flask) -> None:
    with app.app_context():
        with db.session.begin_nested():
            add_one()
            db.session.flush()
        db.session.rollback()
        assert value() == 0


@pytest.mark.parametrize("app", ["sqlite"], indirect=True)
def test_sqlite_keeps_what_was_committed_and_checks_foreign_keys(app: Flask) -> None:
    with app.app_context():
        pragma = {
            name: db.session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous", "secure_delete")
        }
    assert pragma == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 2,
        "secure_delete": 1,
    }


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_urls_name_the_pinned_driver(scheme: str) -> None:
    assert driver_url(f"{scheme}://u@h/d") == "postgresql+psycopg://u@h/d"
