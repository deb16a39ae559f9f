"""Secrets: files of mode 0600 in folders of 0700, made once. What is public is published whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


class SecretFileError(Exception):
    """A secret is missing, or others on this machine could read it; the message says what to do."""


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """The secret at `path`; `make` gives its content if there is none yet.

    Two processes that start together end with the same secret: the first file to appear wins.
    """
    try:
        return read_secret(path)
    except FileNotFoundError:
        pass
    private_folder(path.parent)
    temporary = _write_beside(path, make(), 0o600)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """The secret at `path`.

    Raises:
        FileNotFoundError: it was never made: the role's init command makes it.
        SecretFileError: its mode lets others read it.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise SecretFileError(f"{path} is readable by others: chmod 600 it, or replace it.")
        return file.read()


def publish(path: Path, content: bytes) -> None:
    """Writes a public file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_beside(path, content, 0o644).replace(path)


def private_folder(path: Path) -> None:
    """Makes the folder, readable by its owner only; one that exists keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
