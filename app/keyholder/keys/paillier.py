"""The Paillier keys of a folder: a file each, and one file that says which state each is in.

    PENDING: made and published, used by nobody yet.
    ACTIVE: new values are encrypted under it; exactly one.
    RETIRED: what is still under it is opened, finished or moved to the active one.

The file of states is replaced whole, so whatever is killed, the folder is as it was before or as
it is after. Without it, as `KeyholderKeys.save` leaves it, there is one key and that is ACTIVE.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from crypto.at_rest import write_private_file
from crypto.encoding import json_bytes, json_object
from crypto.errors import InvalidEncoding, KeyFileError
from crypto.keyholder.key_file import load_private_key, save_private_key
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import KeyState
from crypto.wire import Hash, from_record, one_of, record, sequence, text, to_record

FIRST = "paillier.key"
STATES = "paillier.json"
MOST_KEYS = 16
"""A manifest lists no more."""

Stamp = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class KeyFile:
    """A Paillier key of the folder."""

    key_id: Hash
    file: Annotated[str, text(64)]
    state: Annotated[KeyState, one_of(KeyState)]


@dataclass(frozen=True, kw_only=True)
class _States:
    keys: Annotated[tuple[KeyFile, ...], sequence(record(KeyFile), MOST_KEYS)]

    def __post_init__(self) -> None:
        if sum(one.state is KeyState.ACTIVE for one in self.keys) != 1:
            raise InvalidEncoding("exactly one key is active")
        if any(Path(one.file).name != one.file for one in self.keys):
            raise InvalidEncoding("a key's file lies in the same folder")


@dataclass(frozen=True, repr=False)
class PaillierKey:
    """A Paillier key and its state."""

    private: PrivateKey
    state: KeyState

    def __repr__(self) -> str:
        return type(self).__name__


def load_keys(
    folder: Path, passphrase: bytes, known: Mapping[str, PrivateKey] | None = None
) -> list[PaillierKey]:
    """Every Paillier key of the folder; those in `known`, by key id, are not read again.

    Raises:
        KeyFileError: a file is missing, altered, or sealed under another passphrase.
    """
    if not (folder / STATES).exists():
        return [PaillierKey(load_private_key(folder / FIRST, passphrase), KeyState.ACTIVE)]
    keys = []
    for one in _read(folder):
        private = (known or {}).get(one.key_id) or load_private_key(folder / one.file, passphrase)
        if private.public.key_id != one.key_id:
            raise KeyFileError(f"{folder / one.file} is another key than {STATES} says")
        keys.append(PaillierKey(private, one.state))
    return keys


def stamp(folder: Path) -> Stamp | None:
    """Changes whenever the states do."""
    try:
        status = (folder / STATES).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def list_keys(folder: Path, passphrase: bytes) -> list[KeyFile]:
    """The keys with their states, the oldest first; raises as `load_keys`."""
    if (folder / STATES).exists():
        return list(_read(folder))
    only = load_private_key(folder / FIRST, passphrase)
    return [KeyFile(key_id=only.public.key_id, file=FIRST, state=KeyState.ACTIVE)]


def add_pending(folder: Path, passphrase: bytes) -> KeyFile:
    """Makes a PENDING key, unless there is one.

    Raises:
        KeyFileError: too many keys: prune retired ones first.
    """
    with _alone(folder):
        return _add_pending(folder, passphrase)


def rotate(folder: Path, passphrase: bytes) -> tuple[KeyFile, KeyFile]:
    """The PENDING key, made if there is none, becomes ACTIVE, and the ACTIVE one RETIRED.

    Returns:
        The key that was active, and the one that is.
    """
    with _alone(folder):
        new = _add_pending(folder, passphrase)
        keys = list_keys(folder, passphrase)
        old = next(one for one in keys if one.state is KeyState.ACTIVE)
        states = {old.key_id: KeyState.RETIRED, new.key_id: KeyState.ACTIVE}
        _write(folder, [replace(one, state=states.get(one.key_id, one.state)) for one in keys])
    return old, new


def remove_retired(folder: Path, passphrase: bytes, key_id: str) -> None:
    """Deletes a RETIRED key for good: nothing under it can be opened any more.

    Raises:
        KeyFileError: there is no such key, or it is in use.
    """
    with _alone(folder):
        keys = list_keys(folder, passphrase)
        gone = [one for one in keys if one.key_id == key_id and one.state is KeyState.RETIRED]
        if not gone:
            raise KeyFileError(f"{key_id} is no retired key of {folder}")
        _write(folder, [one for one in keys if one.key_id != key_id])
        (folder / gone[0].file).unlink(missing_ok=True)


def _add_pending(folder: Path, passphrase: bytes) -> KeyFile:
    keys = list_keys(folder, passphrase)
    pending = [one for one in keys if one.state is KeyState.PENDING]
    if pending:
        return pending[0]
    if len(keys) >= MOST_KEYS:
        raise KeyFileError(f"{folder} holds {len(keys)} keys: prune retired ones first")
    private = PrivateKey.generate()
    key_id = private.public.key_id
    new = KeyFile(key_id=key_id, file=f"paillier-{key_id[:16]}.key", state=KeyState.PENDING)
    save_private_key(folder / new.file, private, passphrase)
    _write(folder, [*keys, new])
    return new


def _read(folder: Path) -> tuple[KeyFile, ...]:
    try:
        return from_record(_States, json_object((folder / STATES).read_bytes())).keys
    except (OSError, InvalidEncoding) as error:
        raise KeyFileError(f"cannot read {folder / STATES}: {error}") from error


def _write(folder: Path, keys: list[KeyFile]) -> None:
    write_private_file(folder / STATES, json_bytes(to_record(_States(keys=tuple(keys)))))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No two commands change the folder at the same time."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
