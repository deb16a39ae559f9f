"""A worker whose models do not load takes no task and stops; a slow one is waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import Celery

from config import celery_settings
from workers.readiness import EXIT_CANNOT_WORK, notify_ready

ROOT = Path(__file__).parents[2]


def _worker(broker: str, loading: str, log: Path, notify: str = "") -> subprocess.Popen[bytes]:
    command = ["celery", "--app=tests.workers.not_ready_app", "worker", "--queues=inference"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command, "--concurrency=1", "--without-mingle"],
            cwd=ROOT,
            env={**os.environ, "BROKER_URL": broker, "LOADING": loading, "NOTIFY_SOCKET": notify},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _send(broker: str, path: Path) -> None:
    sender = Celery("sender", set_as_current=False)
    sender.conf.update(celery_settings(broker))
    sender.send_task("touch", args=[str(path)], queue="inference")


@pytest.mark.parametrize("kind", ["filesystem", "redis"])
def test_a_worker_that_cannot_work_stops_without_a_task(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    redis = kind == "redis"
    broker = request.getfixturevalue("redis_url") if redis else f"filesystem://{tmp_path}/broker"
    done = tmp_path / "done"
    _send(broker, done)
    process = _worker(broker, "fails", tmp_path / "log")
    try:
        assert process.wait(60) == EXIT_CANNOT_WORK
    finally:
        process.kill()
        process.wait()
    assert not done.exists()
    log = (tmp_path / "log").read_text()
    assert "this worker cannot work and stops: a model is missing" in log


def test_a_slow_start_is_waited_for(tmp_path: Path, redis_url: str) -> None:
    """Redis: there Celery would kill a pool process that is not up after four seconds."""
    broker = redis_url.removesuffix("0") + "1"
    done = tmp_path / "done"
    _send(broker, done)
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        process = _worker(broker, "slowly", tmp_path / "log", address)
        try:
            started = time.monotonic()
            assert listener.recv(100) == b"READY=1\n"
            assert time.monotonic() - started > 5
            deadline = time.monotonic() + 30
            while not done.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    assert "Timed out waiting for UP" not in (tmp_path / "log").read_text()


def test_nobody_need_listen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_ready()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify_ready()
