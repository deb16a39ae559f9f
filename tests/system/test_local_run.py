"""`make run`: one command starts everything, shows what is needed, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from client.service import Service
from deploy.local import roles
from deploy.local.supervisor import ROOT, NotReady
from deploy.local.system import CannotStart, LocalSystem
from tests.support import fault_points
from tests.support.fixtures import make_system
from tests.support.servers import free_port

HOME_MARK = "HUSHBEAT_HOME="


def _processes_of(home: Path) -> list[int]:
    """Every process whose environment names this home."""
    mark = f"{HOME_MARK}{home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def _nothing_runs(home: Path, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while _processes_of(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class Run:
    """`python -m deploy.local.run` in a home of its own, with full-size keys."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = (free_port(), free_port())
        self.accounts: list[tuple[str, str, str]] = []
        self._output = home.parent / "output"

    def start(self) -> None:
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(*self.ports), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )

    def command(self, port: int, keyholder_port: int) -> list[str]:
        options = ["--home", str(self.home), "--port", str(port)]
        options += ["--keyholder-port", str(keyholder_port)]
        return [sys.executable, "-m", "deploy.local.run", *options]

    def second(self, home: Path, port: int) -> subprocess.CompletedProcess[str]:
        """Another one, which must not start."""
        command = self.command(port, free_port())
        command[command.index("--home") + 1] = str(home)
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_open(self) -> None:
        deadline = time.monotonic() + 90
        while "Ctrl-C stops everything" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    running = Run(tmp_path_factory.mktemp("run") / "home")
    running.start()
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(30)


def test_one_command_starts_everything_and_leaves_nothing_behind(run: Run) -> None:
    run.wait_open()
    url = f"http://127.0.0.1:{run.ports[0]}"
    assert f"Open {url}" in run.output
    assert httpx.get(f"{url}/").status_code == 200

    run.accounts = accounts = re.findall(
        r"^ +(patient|doctor|operator) +(\S+) +(\S+)$", run.output, re.M
    )
    assert [kind for kind, _, _ in accounts] == ["patient", "doctor", "operator"]
    with httpx.Client() as http:
        for kind, login, password in accounts:
            service = Service("aggregator", url, http)
            service.token = service.post("/api/tokens", login=login, password=password)["token"]
            assert service.get("/api/account")["kind"] == kind

    refused = run.second(run.home, free_port())
    assert refused.returncode == 1
    assert "already runs in" in refused.stderr
    assert str(run.process.pid) in refused.stderr
    refused = run.second(run.home.parent / "other", run.ports[0])
    assert refused.returncode == 1
    assert f"Port {run.ports[0]}" in refused.stderr

    # Ctrl-C, as a terminal sends it.
    stopped_at = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(30) == 0
    assert time.monotonic() - stopped_at < 15
    assert _processes_of(run.home) == []

    run.start()
    run.wait_open()
    assert "password" not in run.output
    run.process.kill()
    run.process.wait()
    assert _nothing_runs(run.home)

    # A start that is interrupted.
    run.start()
    time.sleep(1.5)
    run.process.send_signal(signal.SIGTERM)
    run.process.wait(30)
    assert _nothing_runs(run.home)


def test_every_log_is_readable_and_empty_of_secrets(run: Run) -> None:
    logs = {path.stem: path.read_text() for path in (run.home / "logs").iterdir()}
    assert set(logs) == {"aggregator", "keyholder", "inference", "aggregation", "sweeper"}
    assert len(run.accounts) == 3
    for text in logs.values():
        assert not any(secret in text for account in run.accounts for secret in account[1:])


def test_a_worker_without_models_stops_the_start_and_says_why(tmp_path: Path) -> None:
    system = make_system(tmp_path, **{fault_points.NO_MODELS: "1"})
    with pytest.raises(NotReady, match=r"inference does not start .*78.*inference\.log"):
        system.start()
    assert (
        "this worker cannot work and stops"
        in (tmp_path / "home" / "logs" / "inference.log").read_text()
    )
    assert _processes_of(tmp_path / "home") == []


def test_a_home_in_use_and_a_busy_port_are_refused_without_harm(
    running_system: LocalSystem, tmp_path: Path
) -> None:
    with pytest.raises(CannotStart, match="already runs"):
        LocalSystem(running_system.home).start()
    with pytest.raises(CannotStart, match="cannot be used"):
        LocalSystem(tmp_path / "home", port=int(running_system.aggregator_url[-5:])).start()
    assert httpx.get(f"{running_system.aggregator_url}/healthz").status_code == 200


def test_each_role_sees_its_own_settings_only(tmp_path: Path) -> None:
    settings = {
        "AGGREGATOR_DATABASE_URL": "postgresql://a",
        "KEYHOLDER_DATABASE_URL": "postgresql://b",
        "BROKER_URL": "redis://c",
        "BLOB_URL": "file:///d",
        "LEASE_SECONDS": "5",
        "OPENINGS_PER_HOUR": "7",
        "SOMETHING_ELSE": "x",
    }
    seen = {
        role: roles.environment(role, tmp_path, roles.Doors(1, 2), settings)
        for role in ("aggregator", "keyholder", "inference")
    }
    ours = {"DATABASE_URL", "BROKER_URL", "BLOB_URL", "LEASE_SECONDS", "OPENINGS_PER_HOUR"}
    assert {role: {n: e[n] for n in ours & set(e)} for role, e in seen.items()} == {
        "aggregator": {
            "DATABASE_URL": "postgresql://a",
            "BROKER_URL": "redis://c",
            "BLOB_URL": "file:///d",
            "LEASE_SECONDS": "5",
        },
        "keyholder": {"DATABASE_URL": "postgresql://b", "OPENINGS_PER_HOUR": "7"},
        "inference": {"BROKER_URL": "redis://c"},
    }
    for environment in seen.values():
        assert "AGGREGATOR_DATABASE_URL" not in environment
        assert environment["SOMETHING_ELSE"] == "x"
        assert environment["HUSHBEAT_HOME"] == str(tmp_path)
