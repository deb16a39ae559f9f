"""The whole of Hushbeat on this machine as one object: set up, start, watch, stop."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from app.common.secret_files import SecretFileError
from deploy.local import network, roles
from deploy.local.certificates import CertificateFiles, CertificateProblem
from deploy.local.network import NotThisMachine
from deploy.local.setup import set_up
from deploy.local.supervisor import Child, Supervisor

START_SECONDS = 90.0


class CannotStart(Exception):
    """The system cannot be started here; the message says why and what to do."""


class LocalSystem:
    """Both web roles, both workers and the sweeper, in one home folder.

    Use as a context manager: leaving it stops everything. `processes[name]` has `pid`, `running`
    and `ready`; the names are keyholder, aggregator, inference, aggregation and sweeper.

    Parameters
    ----------
    home : folder of databases, blobs, broker, secrets and logs; made when missing.
    port, keyholder_port : ports on 127.0.0.1, or with `lan` on every interface.
    host : what the URLs name this machine without `lan`: passkeys need a name, as `localhost`.
    lan : name or IPv4 address of this machine on its network: both roles are then served there by
        TLS, with certificates of the home's own authority. Default: on this machine only.
    environment : settings as in docs/configuration.md, each handed only to the roles that use it;
        AGGREGATOR_DATABASE_URL and KEYHOLDER_DATABASE_URL become each role's DATABASE_URL. Other
        names reach every process. Default: this process's own environment.
    python : the command that runs a module when `-m module` is appended.
    say : gets one line when a process dies and is started again.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int = 8000,
        keyholder_port: int = 8001,
        host: str = "127.0.0.1",
        lan: str | None = None,
        environment: Mapping[str, str] | None = None,
        python: Sequence[str] = (sys.executable,),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = home.resolve()
        self.certificates = None if lan is None else CertificateFiles(self.home)
        """The files of the certificates, when it serves by TLS."""
        self._doors = roles.Doors(port, keyholder_port, host)
        if lan is not None:
            self._doors = roles.Doors(port, keyholder_port, lan.strip().lower(), self.certificates)
        self._settings = os.environ if environment is None else environment
        self._python = tuple(python)
        self._say = say
        self._lock: IO[str] | None = None
        self._supervisor: Supervisor | None = None
        self.newly_set_up = False
        """Whether `start` made or upgraded the keys and tables of this home."""

    @property
    def aggregator_url(self) -> str:
        return self._doors.aggregator_url

    @property
    def keyholder_url(self) -> str:
        return self._doors.keyholder_url

    @property
    def processes(self) -> dict[str, Child]:
        return self._running().children

    def environment_of(self, role: str) -> dict[str, str]:
        """The environment of a process of `role`: aggregator, keyholder or inference."""
        return roles.environment(role, self.home, self._doors, self._settings)

    def start(
        self, timeout: float = START_SECONDS, cancelled: threading.Event | None = None
    ) -> None:
        """Set up what is missing, start every process and wait until all are ready.

        Setting `cancelled` ends the waiting early; the system must then be stopped.

        Raises CannotStart (home in use, port busy, no certificate), SetupFailed or NotReady; then
        nothing is left running.
        """
        self._take_home()
        try:
            for port in (self._doors.port, self._doors.keyholder_port):
                _check_free(self._doors.interface, port)
            if self.certificates:
                _certify(self.certificates, self._doors.host)
            self.newly_set_up = set_up(self.home, self._python, self.environment_of)
            self._supervisor = Supervisor(
                roles.programs(self._doors),
                self._python,
                self.environment_of,
                self.home / "logs",
                self._say,
            )
            self._supervisor.start()
            self._supervisor.wait_ready(timeout, cancelled=cancelled)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process, within a few seconds; does nothing when none runs."""
        if self._supervisor:
            self._supervisor.stop()
            self._supervisor = None
        if self._lock:
            self._lock.close()
            self._lock = None

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to one process; one that dies is started again after a short pause."""
        self._running().send(name, number)

    def halt(self, name: str) -> None:
        """End one process and leave it down until `resume`."""
        self._running().halt(name)

    def resume(self, name: str) -> None:
        """Start a halted process again; `wait_ready` waits for it."""
        self._running().resume(name)

    def wait_ready(self, timeout: float = START_SECONDS) -> None:
        """Wait until every process is ready, for instance after a kill."""
        self._running().wait_ready(timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise CannotStart("The system is not running; call start() first.")
        return self._supervisor

    def _take_home(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.home / "running.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise CannotStart(
                f"Hushbeat already runs in {self.home} (process {holder}). "
                "Stop it first, or use another folder: --home DIR."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock


def _check_free(interface: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((interface, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} on {interface} cannot be used ({error.strerror}). Stop what listens "
                "there, or choose another: --port N, --keyholder-port N."
            ) from None


def _certify(files: CertificateFiles, host: str) -> None:
    try:
        network.require_own(host)
        files.provide(host, network.host_names(), network.addresses())
    except (NotThisMachine, CertificateProblem, SecretFileError) as error:
        raise CannotStart(f"No TLS for {host}: {error}") from error


def free_ports() -> tuple[int, int]:
    """Two ports on 127.0.0.1 that were free a moment ago."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
