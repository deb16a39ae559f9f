"""Slow bodies against a real gunicorn with two threads."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.common.body_deadline import BodyDeadline
from tests.common.body_app import GRACE_SECONDS
from tests.support.servers import free_port

THREADS = 2
# One look of the guard, and a busy machine.
SLACK_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    command = ["gunicorn", "--worker-class=gthread", f"--threads={THREADS}", "--log-level=error"]
    command += [f"--bind=127.0.0.1:{port}", "--no-control-socket", "--graceful-timeout=1"]
    server = subprocess.Popen(
        [sys.executable, "-m", *command, "tests.common.body_app:application"], cwd=ROOT
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                connect(port).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def head(path: str = "/read", length: int | str = 1_000) -> bytes:
    size = "Transfer-Encoding: chunked" if length == "chunked" else f"Content-Length: {length}"
    return f"POST {path} HTTP/1.1\r\nHost: here\r\n{size}\r\n\r\n".encode()


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """One answer; the connection may stay open."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(4096)
        assert more, "closed without an answer"
        data += more
    headers, _, body = data.partition(b"\r\n\r\n")
    [length] = [x.split(b":")[1] for x in headers.lower().split(b"\r\n") if b"content-length" in x]
    while len(body) < int(length):
        body += connection.recv(4096)
    return int(headers.split()[1]), json.loads(body)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("length", [1_000, "chunked"])
def test_bodies_that_do_not_come_hold_no_thread_for_long(port: int, length: int | str) -> None:
    slow = [connect(port) for _ in range(2 * THREADS)]
    start = b"3\r\nabc\r\n" if length == "chunked" else b"abc"
    for connection in slow:
        connection.sendall(head(length=length) + start)
    begun = time.monotonic()
    with closing(connect(port)) as other:
        other.sendall(head(length=5) + b"12345")
        assert answer(other) == (200, {"bytes": 5})
    assert time.monotonic() - begun < 2 * GRACE_SECONDS + SLACK_SECONDS
    for connection in slow:
        with closing(connection):
            status, problem = answer(connection)
            assert (status, problem["type"]) == (408, "urn:hushbeat:problem:request-timeout")
            assert is_closed(connection)


@pytest.mark.parametrize("path", ["/read", "/unread"])
def test_a_trickle_ends_too(port: int, path: str) -> None:
    """Each byte comes well within the grace, also while gunicorn takes what nobody read."""
    begun = time.monotonic()
    with closing(connect(port)) as connection:
        connection.sendall(head(path))
        try:
            while time.monotonic() - begun < 30:
                connection.sendall(b"a")
                time.sleep(0.05)
        except OSError:
            pass
    assert time.monotonic() - begun < 2 * GRACE_SECONDS + SLACK_SECONDS


def test_a_steady_body_may_take_longer_than_the_grace(port: int) -> None:
    pieces = 40
    begun = time.monotonic()
    with closing(connect(port)) as connection:
        connection.sendall(head(length=pieces * 8_192))
        for _ in range(pieces):
            connection.sendall(b"a" * 8_192)
            time.sleep(0.04)
        assert answer(connection) == (200, {"bytes": pieces * 8_192})
    assert time.monotonic() - begun > 2 * GRACE_SECONDS


def test_the_connection_goes_on_after_a_body_that_came(port: int) -> None:
    with closing(connect(port)) as connection:
        for _ in range(3):
            connection.sendall(head(length=5) + b"12345")
            assert answer(connection) == (200, {"bytes": 5})
            # Nobody reads it; the deadline set for the rest ends with the next request.
            connection.sendall(head("/unread", length=5) + b"12345")
            assert answer(connection) == (200, {"bytes": 0})
        connection.sendall(head(length=5) + b"1")
        time.sleep(GRACE_SECONDS / 3)
        connection.sendall(b"2345")
        assert answer(connection) == (200, {"bytes": 5})


def test_a_client_that_goes_away_is_no_timeout(port: int) -> None:
    with closing(connect(port)) as connection:
        connection.sendall(head() + b"abc")
        connection.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        # What the application makes of a short body is its own business.
        assert answer(connection)[0] == 200
        assert time.monotonic() - begun < GRACE_SECONDS


def test_many_at_once(port: int) -> None:
    failures: list[object] = []

    def send() -> None:
        with closing(connect(port)) as connection:
            for _ in range(5):
                connection.sendall(head(length=50_000) + b"a" * 50_000)
                if answer(connection) != (200, {"bytes": 50_000}):
                    failures.append(connection)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_without_gunicorn_nothing_changes() -> None:
    seen = SimpleNamespace()

    def application(environ: Any, _start: Any) -> list[bytes]:
        seen.body = environ["wsgi.input"]
        return [b"x"]

    body = object()
    environ = {"wsgi.input": body, "CONTENT_LENGTH": "5"}
    assert BodyDeadline(application)(environ, lambda *_: None) == [b"x"]  # type: ignore[arg-type,return-value]
    assert seen.body is body
