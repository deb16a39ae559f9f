"""The whole system as processes, with faults to arm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crypto.encoding import new_id
from deploy.local.system import LocalSystem
from tests.support.fault_points import Faults
from tests.support.fixtures import make_system
from tests.support.servers import create_database
from tests.support.small_keys import small_keys
from tests.system.ward import Ward


@pytest.fixture(autouse=True, scope="session")
def _small_keys() -> Iterator[None]:
    with small_keys():
        yield


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    """The embedded default, with processes that a test may kill."""
    with make_system(tmp_path_factory.mktemp("embedded")) as running:
        yield running


@pytest.fixture(scope="module")
def servers_system(
    tmp_path_factory: pytest.TempPathFactory,
    redis_url: str,
    postgres_url: str,
) -> Iterator[LocalSystem]:
    """The same program on Redis and PostgreSQL."""
    with make_system(
        tmp_path_factory.mktemp("servers"),
        BROKER_URL=redis_url,
        AGGREGATOR_DATABASE_URL=create_database(postgres_url, f"aggregator_{new_id()}"),
        KEYHOLDER_DATABASE_URL=create_database(postgres_url, f"keyholder_{new_id()}"),
    ) as running:
        yield running


@pytest.fixture
def faults(system: LocalSystem) -> Iterator[Faults]:
    armed = Faults(system.home.parent / "faults")
    yield armed
    armed.disarm()


@pytest.fixture
def ward(system: LocalSystem) -> Iterator[Ward]:
    system.wait_ready()
    opened = Ward.open(system)
    with opened.collector:
        yield opened
