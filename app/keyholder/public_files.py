"""What role B must know of the others: public keys in files, read again when they change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from app.common.problems import Problem
from config import KeyholderConfig
from crypto.encoding import json_object
from crypto.errors import CryptoError, InvalidEncoding
from crypto.jws import check_public_jwk
from crypto.messages import SealingEntry
from crypto.wire import from_record

T = TypeVar("T")
_Stamp = tuple[int, int, int]


class NotSetUp(Problem):
    """A public key of another party has not been brought here, or cannot be used."""

    slug = "not-set-up"
    title = "The key holder is not set up yet"
    status = 503
    retry_after = 5


class PublicFile(Generic[T]):
    """The parsed content of a file that an operator may replace while this process runs."""

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], T]) -> None:
        self._path = path
        self._parse = parse
        self._read: tuple[_Stamp, T] | None = None

    def current(self) -> T:
        """The content as it is now; the same object as before if the file did not change.

        Raises NotSetUp: there is no such file, or it does not hold what it should.
        """
        try:
            # One tuple, replaced at once: threads see the old file or the new one.
            read = self._read
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if read is None or read[0] != stamp:
                    read = self._read = (stamp, self._parse(json_object(file.read())))
        except OSError as error:
            raise NotSetUp(f"{self._path.name}: {error.strerror}.") from None
        except CryptoError as error:
            raise NotSetUp(f"{self._path.name}: {error}.") from None
        return read[1]


def statement_key_file(config: KeyholderConfig) -> PublicFile[dict[str, str]]:
    """The key with which A signs its statements and requests."""
    return PublicFile(config.aggregator_public_file, _server_key)


def worker_keys_file(config: KeyholderConfig) -> PublicFile[tuple[SealingEntry, dict[str, str]]]:
    """The inference worker's sealing key and the key with which it signs reports."""
    return PublicFile(config.worker_public_file, _worker_keys)


def _worker_keys(content: dict[str, Any]) -> tuple[SealingEntry, dict[str, str]]:
    if set(content) != {"sealing", "report_key"}:
        raise InvalidEncoding("expected exactly sealing and report_key")
    return from_record(SealingEntry, content["sealing"]), _server_key(content["report_key"])


def _server_key(content: object) -> dict[str, str]:
    jwk = check_public_jwk(content)
    if jwk["kty"] != "OKP":
        raise InvalidEncoding("a server signs with Ed25519")
    return jwk
