"""Fixtures of real servers and of the whole system; `tests/conftest.py` makes them known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.system import LocalSystem
from tests.support import fault_points
from tests.support.launch import LAUNCHER
from tests.support.servers import free_port, postgres_server, redis_server

FAST = {
    "LEASE_SECONDS": "4",
    "SWEEP_SECONDS": "1",
    "LOGIN_ATTEMPTS_PER_MINUTE": "10000",
    "OPENINGS_PER_HOUR": "1000000",
    "MIN_BATCH": "5",
}
"""Settings under which a test need not wait a minute for a lease, nor enrol twenty patients."""


def make_system(folder: Path, host: str = "127.0.0.1", **settings: str) -> LocalSystem:
    """A system in `folder/home` on free ports with small keys; faults go to `folder/faults`."""
    return LocalSystem(
        folder / "home",
        port=free_port(),
        keyholder_port=free_port(),
        host=host,
        environment=FAST | settings | {fault_points.FOLDER: str(folder / "faults")},
        python=LAUNCHER,
    )


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server; `create_database` makes a database on it."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    """The whole embedded system, shared by all tests of a run: leave it as you found it."""
    with make_system(tmp_path_factory.mktemp("system")) as system:
        yield system
