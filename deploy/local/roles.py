"""What runs on this machine: each process, its command and the settings that it may see.

A process gets its own role's settings and nobody else's: the inference worker has no database URL,
the key holder no broker.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.certificates import CertificateFiles

_COHORT_SETTINGS = ("MIN_BATCH", "COHORT_EPSILON", "COHORT_CAP")
"""Both servers must agree on them."""

_ROLE_SETTINGS = {
    "aggregator": (
        "BROKER_URL",
        "BLOB_URL",
        "MAX_UPLOAD_BYTES",
        "MAX_WAITING_RECORDINGS",
        "MAX_WAITING_BYTES",
        "LEASE_SECONDS",
        "MAX_ATTEMPTS",
        "SWEEP_SECONDS",
        "SESSION_MINUTES",
        "LOGIN_ATTEMPTS_PER_MINUTE",
        "RATELIMIT_STORAGE_URL",
        "TRUSTED_PROXIES",
        *_COHORT_SETTINGS,
    ),
    "keyholder": ("OPENINGS_PER_HOUR", "TRUSTED_PROXIES", *_COHORT_SETTINGS),
    "inference": ("BROKER_URL", "MAX_UPLOAD_BYTES"),
}
_DATABASE_SETTING = {
    "aggregator": "AGGREGATOR_DATABASE_URL",
    "keyholder": "KEYHOLDER_DATABASE_URL",
}
_OURS = {name for names in _ROLE_SETTINGS.values() for name in names} | {
    *_DATABASE_SETTING.values(),
    "DATABASE_URL",
    "HUSHBEAT_HOME",
    "AGGREGATOR_URL",
    "KEYHOLDER_URL",
    "NOTIFY_SOCKET",
}

TLS_SETTINGS = "deploy.local.tls_server"
"""The module of gunicorn's settings under TLS."""

SETUP_STEPS = (
    ("aggregator", "app.aggregator.init"),
    ("inference", "workers.inference.init"),
    ("keyholder", "app.keyholder.init"),
)
"""The commands that make keys, public files and tables, in their order; each can be repeated."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the two roles are reached: on this machine only, or by TLS on its network."""

    port: int
    keyholder_port: int
    host: str = "127.0.0.1"
    """Name or address in the URLs."""
    certificates: CertificateFiles | None = None
    """With certificates both roles listen on every interface, by TLS."""

    @property
    def interface(self) -> str:
        """The address to listen on."""
        return "0.0.0.0" if self.certificates else "127.0.0.1"  # noqa: S104 - it was asked for

    @property
    def aggregator_url(self) -> str:
        return self._url(self.host, self.port)

    @property
    def keyholder_url(self) -> str:
        return self._url(self.host, self.keyholder_port)

    def ready_url(self, port: int) -> str:
        """Where the role at this port says whether it can serve."""
        return self._url("127.0.0.1", port) + "/readyz"

    def _url(self, host: str, port: int) -> str:
        return f"{'https' if self.certificates else 'http'}://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Program:
    """One long-running process: `python -m module *arguments` with the settings of `role`."""

    name: str
    role: str
    module: str
    arguments: tuple[str, ...]
    ready_url: str | None = None
    """Where it answers 200 once it can serve; without one it sends READY=1 to NOTIFY_SOCKET."""
    authority: Path | None = None
    """The certificate authority to check that answer with."""


def programs(doors: Doors) -> list[Program]:
    """Every process, in the order in which they are started; they are stopped the other way."""
    return [
        _web("keyholder", doors.keyholder_port, doors),
        _web("aggregator", doors.port, doors),
        _worker("inference", role="inference", processes=1),
        _worker("aggregation", role="aggregator", processes=2),
        Program("sweeper", "aggregator", "workers.aggregation.sweeper", ()),
    ]


def _web(role: str, port: int, doors: Doors) -> Program:
    files = doors.certificates
    tls = (f"--certfile={files.server}", f"--config=python:{TLS_SETTINGS}") if files else ()
    return Program(
        role,
        role,
        "gunicorn",
        (
            "--worker-class=gthread",
            "--threads=32",
            f"--bind={doors.interface}:{port}",
            *tls,
            "--graceful-timeout=2",
            "--no-control-socket",
            f"wsgi:{role}",
        ),
        ready_url=doors.ready_url(port),
        authority=files.authority if files else None,
    )


def _worker(kind: str, role: str, processes: int) -> Program:
    return Program(
        kind,
        role,
        "celery",
        (
            f"--app=workers.{kind}.celery",
            "worker",
            f"--queues={kind}",
            f"--concurrency={processes}",
            f"--hostname={kind}@%h",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=INFO",
        ),
    )


def environment(role: str, home: Path, doors: Doors, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of `role`: the machine's own, plus the settings of that role."""
    values = {name: value for name, value in os.environ.items() if name not in _OURS}
    values |= {name: settings[name] for name in _ROLE_SETTINGS[role] if settings.get(name)}
    database = _DATABASE_SETTING.get(role)
    if database and settings.get(database):
        values["DATABASE_URL"] = settings[database]
    values |= {name: value for name, value in settings.items() if name not in _OURS}
    if doors.certificates:
        around = values.get("no_proxy") or values.get("NO_PROXY")
        direct = f"{around},{doors.host}" if around else doors.host
        values |= {
            # httpx takes its authorities from here, and no others then.
            "SSL_CERT_FILE": str(doors.certificates.authority),
            "no_proxy": direct,
            "NO_PROXY": direct,
        }
    return values | {
        "HUSHBEAT_HOME": str(home),
        "AGGREGATOR_URL": doors.aggregator_url,
        "KEYHOLDER_URL": doors.keyholder_url,
        "PYTHONUNBUFFERED": "1",
    }
