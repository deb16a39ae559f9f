"""Every setting of every process: a frozen dataclass a role, read from the environment.

Each process reads only its own settings. Secrets come from files below `HUSHBEAT_HOME`, made by the
role's `init` command with mode 0600; their places follow from the home and the role. The
documentation of each setting is docs/configuration.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Self

from crypto.cohorts import CohortTerms

LEAST_LEASE_SECONDS = 60
"""A lease must outlast its worker, which is killed after 50 s (workers/inference/tasks.py): one
that ran out under it would give the recording to a second worker and count two attempts."""


class ConfigurationError(Exception):
    """A setting is missing or cannot be used; the message names it and says what it takes."""


class _Environment:
    """Typed reading of one mapping of settings."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str) -> str:
        return self._values.get(name, "").strip() or default

    def number(self, name: str, default: int, low: int, high: int) -> int:
        raw = self.text(name, str(default))
        try:
            value = int(raw)
        except ValueError:
            raise ConfigurationError(f"{name} must be a whole number, not {raw!r}.") from None
        if not low <= value <= high:
            raise ConfigurationError(f"{name} must be from {low} to {high}, not {value}.")
        return value

    def url(self, name: str, default: str) -> str:
        value = self.text(name, default).rstrip("/")
        if not value.startswith(("http://", "https://")):
            raise ConfigurationError(f"{name} must begin with http:// or https://, not {value!r}.")
        return value

    def aggregator_url(self) -> str:
        return self.url("AGGREGATOR_URL", "http://127.0.0.1:8000")

    def keyholder_url(self) -> str:
        return self.url("KEYHOLDER_URL", "http://127.0.0.1:8001")

    def max_upload_bytes(self) -> int:
        return self.number("MAX_UPLOAD_BYTES", 20_000_000, 1_000, 1_000_000_000)

    def home(self) -> Path:
        return Path(self.text("HUSHBEAT_HOME", "var")).resolve()

    def min_batch(self) -> int:
        return self.number("MIN_BATCH", 20, 5, 2_000)

    def cohort_terms(self) -> CohortTerms:
        """Epsilon in units, to the thousandth; the cap keeps the noise far inside its slot."""
        raw = self.text("COHORT_EPSILON", "0")
        try:
            epsilon = Decimal(raw)
        except InvalidOperation:
            epsilon = Decimal(-1)
        known = epsilon.is_finite() and (epsilon == 0 or Decimal("0.1") <= epsilon <= 10)
        if not known or epsilon * 1000 % 1:
            raise ConfigurationError(
                f"COHORT_EPSILON must be 0 or from 0.1 to 10, in thousandths, not {raw!r}."
            )
        return CohortTerms.of(int(epsilon * 1000), self.number("COHORT_CAP", 62, 1, 500))


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


def _fingerprint_file(home: Path) -> Path:
    return home / "public" / "keyholder-fingerprint"


def _broker(env: _Environment, home: Path) -> str:
    return env.text("BROKER_URL", f"filesystem://{home / 'broker'}")


@dataclass(frozen=True, slots=True)
class AggregatorConfig:
    """Role A, its aggregation workers and its sweeper."""

    home: Path
    database_url: str
    broker_url: str
    blob_url: str
    public_url: str
    keyholder_url: str
    max_upload_bytes: int
    max_waiting_recordings: int
    max_waiting_bytes: int
    lease_seconds: int
    max_attempts: int
    sweep_seconds: int
    session_minutes: int
    login_attempts_per_minute: int
    ratelimit_storage_url: str
    trusted_proxies: int
    min_batch: int
    cohort_terms: CohortTerms

    @classmethod
    def from_environment(cls, values: Mapping[str, str] = os.environ) -> Self:
        env = _Environment(values)
        home = env.home()
        return cls(
            home=home,
            database_url=env.text(
                "DATABASE_URL", _sqlite(home / "aggregator" / "aggregator.sqlite3")
            ),
            broker_url=_broker(env, home),
            blob_url=env.text("BLOB_URL", f"file://{home / 'blobs'}"),
            public_url=env.aggregator_url(),
            keyholder_url=env.keyholder_url(),
            max_upload_bytes=env.max_upload_bytes(),
            max_waiting_recordings=env.number("MAX_WAITING_RECORDINGS", 200, 1, 1_000_000),
            max_waiting_bytes=env.number(
                "MAX_WAITING_BYTES", 500_000_000, 1_000, 1_000_000_000_000
            ),
            lease_seconds=env.number("LEASE_SECONDS", 60, LEAST_LEASE_SECONDS, 3600),
            max_attempts=env.number("MAX_ATTEMPTS", 3, 1, 20),
            sweep_seconds=env.number("SWEEP_SECONDS", 5, 1, 600),
            session_minutes=env.number("SESSION_MINUTES", 60, 5, 1440),
            login_attempts_per_minute=env.number("LOGIN_ATTEMPTS_PER_MINUTE", 10, 1, 10_000),
            ratelimit_storage_url=env.text("RATELIMIT_STORAGE_URL", "memory://"),
            trusted_proxies=env.number("TRUSTED_PROXIES", 0, 0, 5),
            min_batch=env.min_batch(),
            cohort_terms=env.cohort_terms(),
        )

    @property
    def secrets(self) -> Path:
        """Folder of role A's own secrets: session key, statement-signing key, storage key."""
        return self.home / "aggregator" / "secrets"

    @property
    def fingerprint_file(self) -> Path:
        """The pinned fingerprint of the key holder's manifest key."""
        return _fingerprint_file(self.home)

    @property
    def secure_cookies(self) -> bool:
        return self.public_url.startswith("https://")


@dataclass(frozen=True, slots=True)
class KeyholderConfig:
    """Role B."""

    home: Path
    database_url: str
    public_url: str
    aggregator_url: str
    openings_per_hour: int
    recovery_delay_hours: int
    min_batch: int
    cohort_terms: CohortTerms

    @classmethod
    def from_environment(cls, values: Mapping[str, str] = os.environ) -> Self:
        env = _Environment(values)
        home = env.home()
        return cls(
            home=home,
            database_url=env.text(
                "DATABASE_URL", _sqlite(home / "keyholder" / "keyholder.sqlite3")
            ),
            public_url=env.keyholder_url(),
            aggregator_url=env.aggregator_url(),
            openings_per_hour=env.number("OPENINGS_PER_HOUR", 600, 1, 1_000_000),
            recovery_delay_hours=env.number("RECOVERY_DELAY_HOURS", 72, 1, 8760),
            min_batch=env.min_batch(),
            cohort_terms=env.cohort_terms(),
        )

    @property
    def secrets(self) -> Path:
        """Folder of role B's secrets: sealed Paillier key, passphrase, mask key, manifest key."""
        return self.home / "keyholder" / "secrets"

    @property
    def aggregator_public_file(self) -> Path:
        """JWK of role A's statement-signing key, brought here when the roles are set up."""
        return self.home / "public" / "aggregator.json"

    @property
    def worker_public_file(self) -> Path:
        """`{sealing: {key_id, public}, report_key: JWK}` of the inference workers."""
        return self.home / "public" / "inference.json"

    @property
    def fingerprint_file(self) -> Path:
        """Where `init` writes the fingerprint that everybody else pins."""
        return _fingerprint_file(self.home)


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """The inference worker: no database, no blob store, only its broker and the two URLs."""

    home: Path
    broker_url: str
    aggregator_url: str
    keyholder_url: str
    max_upload_bytes: int

    @classmethod
    def from_environment(cls, values: Mapping[str, str] = os.environ) -> Self:
        env = _Environment(values)
        home = env.home()
        return cls(
            home=home,
            broker_url=_broker(env, home),
            aggregator_url=env.aggregator_url(),
            keyholder_url=env.keyholder_url(),
            max_upload_bytes=env.max_upload_bytes(),
        )

    @property
    def secrets(self) -> Path:
        """Folder of the worker's secrets: recordings' private key, report-signing key."""
        return self.home / "inference" / "secrets"

    @property
    def public_file(self) -> Path:
        return self.home / "public" / "inference.json"

    @property
    def fingerprint_file(self) -> Path:
        return _fingerprint_file(self.home)


def celery_settings(broker_url: str) -> dict[str, object]:
    """Settings that every sender and worker shares. Messages carry ids only and are hints.

    kombu's filesystem transport polls; at its default of one second it would take one message a
    second. A lost message costs nothing but time: the row is the truth, the sweeper queues again.
    """
    settings: dict[str, object] = {
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": False,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "task_default_queue": "hushbeat",
    }
    if broker_url.startswith("filesystem://"):
        folder = Path(broker_url.removeprefix("filesystem://"))
        (folder / "queue").mkdir(parents=True, exist_ok=True, mode=0o700)
        settings |= {
            "broker_url": "filesystem://",
            "broker_transport": "workers.folder_broker:Transport",
            "broker_transport_options": {
                "data_folder_in": str(folder / "queue"),
                "data_folder_out": str(folder / "queue"),
                "polling_interval": 0.05,
            },
        }
    else:
        settings["broker_url"] = broker_url
    return settings
