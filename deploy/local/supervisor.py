"""Keeps a set of programs running: each in a process group of its own, restarted when it dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from deploy.local import watchdog
from deploy.local.roles import Program

ROOT = Path(__file__).resolve().parents[2]
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
STABLE_SECONDS = 10.0
WORKER_GRACE_SECONDS = 3.0
WEB_GRACE_SECONDS = 3.0


class NotReady(Exception):
    """A process did not become ready; the message names it and its log file."""


class Child:
    """One program: its present process, whether it is ready, when it may be started again."""

    def __init__(self, program: Program, log: Path, notify: Path) -> None:
        self.program = program
        self.log = log
        self.notify = notify
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = True
        self.ready = False
        self.exits = 0
        self.last_status: int | None = None
        self._pause = FIRST_PAUSE
        self._started_at = 0.0
        self._next_start = 0.0
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Process id (and group id) of the running process; 0 when none runs."""
        return self.process.pid if self.process else 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def due(self) -> bool:
        """Whether it should run, does not, and has waited long enough since it died."""
        return self.wanted and self.process is None and time.monotonic() >= self._next_start

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._open_notify_socket()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment, "NOTIFY_SOCKET": str(self.notify)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.ready = False
        self._started_at = time.monotonic()

    def collect(self) -> bool:
        """Take note of a death, and end what it left in its group; True if it just died."""
        if self.process is None or self.process.poll() is None:
            return False
        watchdog.send(self.process.pid, signal.SIGKILL)
        self.last_status = self.process.returncode
        if time.monotonic() - self._started_at > STABLE_SECONDS:
            self._pause = FIRST_PAUSE
        self._next_start = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.process = None
        self.ready = False
        self.exits += 1
        return True

    def check_ready(self) -> None:
        """Ask (or listen) whether the process can serve by now."""
        if self.ready or not self.running:
            return
        if self.program.ready_url:
            self.ready = _answers(self.program.ready_url, self.program.authority)
        elif self._socket:
            with contextlib.suppress(BlockingIOError):
                while not self.ready:
                    self.ready = b"READY=1" in self._socket.recv(4096).splitlines()

    def _open_notify_socket(self) -> None:
        if self._socket:
            self._socket.close()
        self.notify.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self.notify))

    def close(self) -> None:
        if self._socket:
            self._socket.close()


def _answers(url: str, authority: Path | None) -> bool:
    ways: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if authority:
        context = ssl.create_default_context(cafile=str(authority))
        ways.append(urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*ways).open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


class Supervisor:
    """Starts children, restarts those that die with growing pauses, and ends them all together."""

    def __init__(
        self,
        programs: Iterable[Program],
        python: Sequence[str],
        environment: Callable[[str], Mapping[str, str]],
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        self._python = list(python)
        self._environment = environment
        self._say = say
        # Socket paths are limited to about 100 bytes, which a deep home would exceed.
        self._notify_folder = Path(tempfile.mkdtemp(prefix="hushbeat-"))
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.children = {
            program.name: Child(
                program, logs / f"{program.name}.log", self._notify_folder / program.name
            )
            for program in programs
        }
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._watchdog: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.watchdog"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with self._lock:
            self._start_due()
        self._thread.start()

    def wait_ready(
        self, timeout: float, attempts: int = 3, cancelled: threading.Event | None = None
    ) -> None:
        """Wait until every wanted child is ready, or until `cancelled` is set.

        Raises NotReady when one died `attempts` times meanwhile, when one said that it cannot
        work as it is set up (EX_CONFIG), or after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        exits = {name: child.exits for name, child in self.children.items()}
        while not (cancelled and cancelled.is_set()):
            missing = [c for c in self.children.values() if c.wanted and not c.ready]
            if not missing:
                return
            for child in missing:
                deaths = child.exits - exits[child.program.name]
                # EX_CONFIG: it said itself that another try is of no use.
                if deaths >= attempts or (deaths and child.last_status == os.EX_CONFIG):
                    raise NotReady(
                        f"{child.program.name} does not start (exit status {child.last_status}); "
                        f"see {child.log}."
                    )
            if time.monotonic() > deadline:
                names = ", ".join(child.program.name for child in missing)
                raise NotReady(
                    f"Not ready after {timeout:.0f} s: {names}; see {missing[0].log.parent}."
                )
            time.sleep(0.05)

    def send(self, name: str, number: int) -> None:
        """Send a signal to the leading process of a child."""
        with self._lock:
            child = self.children[name]
            if child.process:
                child.process.send_signal(number)
                if number == signal.SIGKILL:
                    # So that `wait_ready` waits for the next one.
                    child.ready = False

    def halt(self, name: str) -> None:
        """End one child (SIGTERM, then SIGKILL) and leave it down until `resume`."""
        child = self.children[name]
        child.wanted = False
        self._end([child], WORKER_GRACE_SECONDS)

    def resume(self, name: str) -> None:
        """Start a halted child again."""
        self.children[name].wanted = True

    def stop(self) -> None:
        """End every child: workers first, so that they can still hand back what they hold."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        children = list(self.children.values())
        for child in children:
            child.wanted = False
        self._end([c for c in children if not c.program.ready_url], WORKER_GRACE_SECONDS)
        self._end([c for c in children if c.program.ready_url], WEB_GRACE_SECONDS)
        for child in children:
            child.close()
        shutil.rmtree(self._notify_folder, ignore_errors=True)
        if self._watchdog:
            if self._watchdog.stdin:
                self._watchdog.stdin.close()
            self._watchdog.wait()

    def _end(self, children: Sequence[Child], grace: float) -> None:
        for child in children:
            self.send(child.program.name, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(child.running for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._lock:
            for child in children:
                if child.process:
                    group = child.process.pid
                    watchdog.send(group, signal.SIGKILL)
                    child.process.wait()
                    child.collect()
                    self._tell_watchdog(f"-{group}")

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            with self._lock:
                for child in self.children.values():
                    group = child.pid
                    if child.collect():
                        self._tell_watchdog(f"-{group}")
                        if child.wanted:
                            self._say(
                                f"{child.program.name} ended (status {child.last_status}); "
                                f"starting it again. Its log: {child.log}"
                            )
                self._start_due()
            for child in self.children.values():
                child.check_ready()

    def _start_due(self) -> None:
        for child in self.children.values():
            if child.due():
                program = child.program
                child.start(
                    [*self._python, "-m", program.module, *program.arguments],
                    self._environment(program.role),
                )
                self._tell_watchdog(f"+{child.pid}")

    def _tell_watchdog(self, line: str) -> None:
        if self._watchdog and self._watchdog.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(line + "\n")
                self._watchdog.stdin.flush()
