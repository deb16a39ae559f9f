"""Real Redis and PostgreSQL servers on free ports, in folders of their own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with _running([*command, "--dir", str(folder)], folder / "redis.log"):
        _wait(lambda: _listens(port), folder / "redis.log")
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """A PostgreSQL with role and password-less local access; yields the URL without a database."""
    programs = _postgres_programs()
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    data, as_postgres = folder / "data", _as_postgres(folder)
    subprocess.run(
        [*as_postgres, programs / "initdb", "-D", data, "-U", "hushbeat", "-A", "trust", "-N"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    command = [*as_postgres, programs / "postgres", "-D", data, "-p", str(port)]
    command += ["-k", folder, "-h", "127.0.0.1", "-c", "fsync=off"]
    with _running([str(part) for part in command], folder / "postgres.log"):
        _wait(lambda: _accepts(programs, port), folder / "postgres.log")
        yield f"postgresql://hushbeat@127.0.0.1:{port}"


def create_database(server_url: str, name: str) -> str:
    """Make an empty database and return its URL."""
    import psycopg

    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server_url}/{name}"


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if on_path is None:
        raise RuntimeError("PostgreSQL is not installed: run deploy/prepare tests.")
    return Path(on_path).parent


def _as_postgres(folder: Path) -> list[str | Path]:
    """PostgreSQL refuses to run as root: then its own user runs it and owns the folder."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _accepts(programs: Path, port: int) -> bool:
    command = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0
