"""Real Redis and PostgreSQL servers on free ports, in folders of their own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

STARTING_SECONDS = 30.0


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis without persistence; yields its redis:// URL."""
    port = free_port()
    log = folder / "redis.log"
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--dir", str(folder)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_listens(port, log)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL whose role `hushbeat` needs no password; yields its URL without a database."""
    programs = _postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="hushbeat-postgres-"))
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    port = free_port()
    log = folder / "postgres.log"
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "hushbeat", "-A", "trust", "-N"],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        command = [programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
        command += ["-h", "127.0.0.1", "-F", "-c", "max_connections=100"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, user=user, cwd=folder, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            url = f"postgresql://hushbeat@127.0.0.1:{port}"
            _wait_until_it_answers(f"{url}/postgres", log)
            yield url
        finally:
            # "Immediate shutdown": there is nothing to keep.
            process.send_signal(signal.SIGQUIT)
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server_url: str, name: str) -> str:
    """Make an empty database and return its URL."""
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{server_url}/{name}"


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: run deploy/prepare tests.")
    return found[-1].parent


def _wait_until_it_answers(url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"PostgreSQL does not start:\n{log.read_text()[-2000:]}"
                ) from None
            time.sleep(0.1)
        else:
            return


def _wait_until_it_listens(port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"Redis does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
