from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from app.common.secret_files import SecretFileError, publish, read_or_create, read_secret


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    assert read_or_create(path, lambda: b"first") == b"first"
    assert read_or_create(path, lambda: b"second") == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_starting_together_ends_with_one_secret(tmp_path: Path) -> None:
    path, together, seen = tmp_path / "key", threading.Barrier(4), set()

    def make() -> bytes:
        together.wait(timeout=10)
        return os.urandom(32)

    def start() -> None:
        seen.add(read_or_create(path, make))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {path.read_bytes()}


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    read_or_create(path, lambda: b"secret")
    path.chmod(0o640)
    with pytest.raises(SecretFileError, match="chmod 600"):
        read_secret(path)


def test_a_missing_secret_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_secret(tmp_path / "key")


def test_a_public_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "public" / "key.json"
    publish(path, b"old")
    with path.open("rb") as reader:
        publish(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["key.json"]
