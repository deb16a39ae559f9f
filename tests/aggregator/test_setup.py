"""Setting role A up: secrets, tables, demonstration accounts, operators; what its queue sends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, inspect, select, text

from app.aggregator import init, operator_account
from app.aggregator.accounts.service import authenticate
from app.aggregator.factory import create_app, create_background_app
from app.aggregator.operator_account import OperatorNotMade, make_operator
from app.aggregator.queueing import Queue
from app.aggregator.secrets import AggregatorSecrets, SecretsMissing
from app.aggregator.tables import Account, AccountKind, db
from app.common.body_deadline import BodyDeadline
from app.common.migrate import CannotUpgrade, check, downgrade, upgrade
from app.common.secret_files import SecretFileError
from config import AggregatorConfig, ConfigurationError


@pytest.fixture
def fresh(tmp_path: Path) -> AggregatorConfig:
    return AggregatorConfig.from_environment({"HUSHBEAT_HOME": str(tmp_path / "fresh")})


def test_setting_up_twice_keeps_the_secrets(fresh: AggregatorConfig) -> None:
    init.initialise(fresh)
    before = {path.name: path.read_bytes() for path in fresh.secrets.iterdir()}
    init.initialise(fresh)
    assert {path.name: path.read_bytes() for path in fresh.secrets.iterdir()} == before
    assert set(before) == {"session-key", "statement-key", "storage-key"}
    public = json.loads((fresh.home / "public" / "aggregator.json").read_text())
    assert public == AggregatorSecrets.load(fresh).statement_key.public_jwk


def test_secrets_and_database_are_private(fresh: AggregatorConfig) -> None:
    init.initialise(fresh)
    assert fresh.secrets.stat().st_mode & 0o777 == 0o700
    assert fresh.secrets.parent.stat().st_mode & 0o777 == 0o700
    for path in fresh.secrets.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert repr(AggregatorSecrets.load(fresh)) == "AggregatorSecrets"


def test_a_database_of_the_first_layout_is_refused_and_stays_as_it_is(
    fresh: AggregatorConfig,
) -> None:
    """Its tallies have the rate counts elsewhere: opened as they are now, they would be wrong."""
    init.initialise(fresh)
    downgrade("aggregator", fresh.database_url, "0001")
    engine = create_engine(fresh.database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE recordings RENAME COLUMN findings TO sound"))
    tables = inspect(engine).get_table_names()
    with pytest.raises(CannotUpgrade, match="Nothing in it was changed"):
        init.initialise(fresh)
    assert inspect(engine).get_table_names() == tables
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
    engine.dispose()


def test_without_secrets_it_does_not_start(fresh: AggregatorConfig) -> None:
    with pytest.raises(SecretsMissing, match=r"app\.aggregator\.init"):
        create_background_app(fresh)
    init.initialise(fresh)
    (fresh.secrets / "session-key").chmod(0o640)
    with pytest.raises(SecretFileError):
        create_background_app(fresh)


@pytest.mark.usefixtures("keyholder")
def test_an_older_database_is_not_ready(config: AggregatorConfig) -> None:
    downgrade("aggregator", config.database_url)
    app = create_app(config)
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["checks"] == {"database": False, "blobs": True}
    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_migrations_up_down_and_up_again(
    kind: str, fresh: AggregatorConfig, request: pytest.FixtureRequest
) -> None:
    url = fresh.database_url
    if kind == "postgres":
        url = request.getfixturevalue("postgres").new_database()
    upgrade("aggregator", url)
    check("aggregator", url, db.metadata)
    downgrade("aggregator", url)
    upgrade("aggregator", url)
    check("aggregator", url, db.metadata)


@pytest.mark.usefixtures("keyholder")
def test_demonstration_accounts_are_made_once(config: AggregatorConfig) -> None:
    made = init.make_demo_accounts(config)
    assert [account.kind for account in made] == list(AccountKind)
    assert len({account.password for account in made}) == len(AccountKind)
    assert made[0].password not in repr(made)
    assert init.make_demo_accounts(config) == []
    app = create_app(config)
    with app.test_request_context():
        for account in made:
            assert authenticate(account.login, account.password).kind == account.kind
        for row in db.session.scalars(select(Account)):
            assert row.password_hash.startswith("$argon2id$")
        db.session.remove()
        db.engine.dispose()


def test_the_command_prints_the_accounts_the_first_time_only(fresh: AggregatorConfig) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "app.aggregator.init", *arguments],
            env={"HUSHBEAT_HOME": str(fresh.home), "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        ).stdout

    lines = [line.split() for line in run("--demo-accounts").splitlines()]
    assert [line[0] for line in lines] == ["patient", "doctor", "clinic", "operator"]
    assert all(len(line) == 3 for line in lines)
    assert run("--demo-accounts") == ""


@pytest.mark.usefixtures("keyholder")
def test_an_operator_is_made_by_command(config: AggregatorConfig) -> None:
    password = make_operator(config, "op-night")
    with pytest.raises(OperatorNotMade, match="already"):
        make_operator(config, "op-night")
    for login in ("", "Night", "a b", "-x-", "a" * 65, "../x"):
        with pytest.raises(OperatorNotMade):
            make_operator(config, login)
    app = create_app(config)
    with app.test_request_context():
        assert authenticate("op-night", password).kind == AccountKind.OPERATOR
        db.session.remove()
        db.engine.dispose()


def test_the_operator_command(
    config: AggregatorConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operator_account.AggregatorConfig, "from_environment", lambda: config)
    monkeypatch.setattr(sys, "argv", ["operator_account", "op-berta"])
    operator_account.main()
    assert capsys.readouterr().out.split()[0] == "op-berta"
    with pytest.raises(SystemExit, match="already"):
        operator_account.main()


def test_messages_hold_an_id_or_nothing(tmp_path: Path) -> None:
    queue = Queue(f"filesystem://{tmp_path / 'broker'}")
    assert queue.judge("a" * 32)
    assert queue.compare()
    messages = [json.loads(p.read_text()) for p in (tmp_path / "broker" / "queue").iterdir()]
    sent = {
        (
            m["properties"]["delivery_info"]["routing_key"],
            m["headers"]["task"],
            m["headers"]["argsrepr"],
        )
        for m in messages
    }
    assert sent == {
        ("inference", "hushbeat.inference.judge", f"['{'a' * 32}']"),
        ("aggregation", "hushbeat.aggregation.compare", "()"),
    }


def test_slow_bodies_end_in_this_role_too(app: Flask) -> None:
    assert isinstance(app.wsgi_app, BodyDeadline)


def test_a_broker_that_is_not_there_is_answered_quickly() -> None:
    began = time.monotonic()
    assert Queue("redis://127.0.0.1:1/0").judge("a" * 32) is False
    assert time.monotonic() - began < 2


def test_a_lease_cannot_be_shorter_than_its_workers_time_limit() -> None:
    with pytest.raises(ConfigurationError, match="from 60 to 3600"):
        AggregatorConfig.from_environment({"LEASE_SECONDS": "59"})
    assert AggregatorConfig.from_environment({"LEASE_SECONDS": "60"}).lease_seconds == 60
