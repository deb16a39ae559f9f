"""Both roles as running processes for a measurement, and the CPU time that each of them takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import DeclarativeBase

from app.aggregator.factory import create_background_app
from app.keyholder.keys import KeyholderKeys
from config import AggregatorConfig, KeyholderConfig
from deploy.local.system import LocalSystem, free_ports


@dataclass(frozen=True)
class Running:
    """A system whose two web roles run, and whose workers do not.

    `aggregator` is role A's application in this process, on the same database; `keys` are role B's.
    """

    folder: Path
    system: LocalSystem
    aggregator: Flask
    keyholder: KeyholderConfig
    keys: KeyholderKeys

    @property
    def fingerprint(self) -> str:
        return self.keyholder.fingerprint_file.read_text().strip()

    def cpu(self, name: str) -> float:
        """Seconds of CPU that a web role has taken since it was started."""
        return _cpu_with_children(self.system.processes[name].pid)

    def insert_at_keyholder(
        self, table: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Puts rows straight into role B's database."""
        engine = create_engine(self.keyholder.database_url)
        with engine.begin() as connection:
            connection.execute(insert(table), list(rows))
        engine.dispose()


@contextmanager
def running() -> Iterator[Running]:
    """Sets up and starts a system in a temporary folder, with keys of 3072 bits."""
    with tempfile.TemporaryDirectory(prefix="hushbeat-bench-") as name:
        port, keyholder_port = free_ports()
        system = LocalSystem(Path(name) / "home", port=port, keyholder_port=keyholder_port)
        with system:
            for worker in ("sweeper", "aggregation", "inference"):
                system.halt(worker)
            environment = system.environment_of("aggregator")
            keyholder = KeyholderConfig.from_environment(system.environment_of("keyholder"))
            aggregator = create_background_app(AggregatorConfig.from_environment(environment))
            yield Running(
                Path(name), system, aggregator, keyholder, KeyholderKeys.load(keyholder.secrets)
            )


def _cpu_with_children(process: int) -> float:
    """By each process's own clock (clock_getcpuclockid, Linux), which knows nanoseconds."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in (process, *map(int, children)))
