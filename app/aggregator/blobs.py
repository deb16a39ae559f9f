"""Where sealed recordings lie between upload and report: a folder, or another `BlobStore`.

A blob is written to the side, then moved to its name whole and durable; nobody ever sees a part.
Names carry the hash of the content, so that two uploads under one recording id never overwrite each
other whatever the order they end in.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from app.common.problems import Problem
from app.common.secret_files import private_folder
from config import ConfigurationError

_NAME = re.compile(r"(?P<recording>[0-9a-f]{32})-(?P<sha256>[0-9a-f]{64})")


class BlobStoreUnavailable(Problem):
    """The store cannot take or give a blob now: full, read-only or away."""

    slug = "storage-unavailable"
    title = "The store of recordings is not available"
    status = 503
    retry_after = 30


class BlobMissing(Problem):
    """No such blob: it was deleted after its report, or never stored."""

    slug = "blob-missing"
    title = "The sealed recording is no longer stored"
    status = 410


@dataclass(frozen=True, slots=True)
class BlobName:
    """A recording's id and the SHA-256 (hex) of its sealed bytes."""

    recording: str
    sha256: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(str(self)):
            raise ValueError("not the name of a blob")

    def __str__(self) -> str:
        return f"{self.recording}-{self.sha256}"


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob in the store, and since how many seconds it lies there."""

    name: BlobName
    age: float


class BlobWriter(Protocol):
    """A blob that is being written; it vanishes unless it is kept."""

    def write(self, chunk: bytes) -> None:
        """Adds bytes. Raises BlobStoreUnavailable."""

    def keep(self, name: BlobName) -> None:
        """Makes all that was written durable under `name`. Raises BlobStoreUnavailable."""


class BlobStore(Protocol):
    """A place for sealed recordings."""

    def writer(self) -> AbstractContextManager[BlobWriter]:
        """A new blob; leaving the context without `keep` leaves nothing behind."""

    def open(self, name: BlobName) -> BinaryIO:
        """The blob's bytes. Raises BlobMissing."""

    def delete(self, name: BlobName) -> None:
        """Removes the blob if it is there."""

    def stored(self) -> Iterator[StoredBlob]:
        """Everything that is kept."""

    def sweep(self, older_than: float) -> None:
        """Removes what killed uploads left behind more than that many seconds ago."""

    def check(self) -> None:
        """Raises BlobStoreUnavailable unless blobs can be written."""


def open_blob_store(url: str) -> BlobStore:
    """The store of a `BLOB_URL`. Raises ConfigurationError for one that is not known."""
    if url.startswith("file://"):
        return FolderBlobStore(Path(url.removeprefix("file://")))
    raise ConfigurationError(f"BLOB_URL must begin with file://, not {url.partition(':')[0]!r}.")


class FolderBlobStore:
    """Blobs as files of mode 0600 in `sealed`; beside it, `incoming` holds what is on its way."""

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "sealed"
        self._incoming = folder / "incoming"
        private_folder(folder)
        private_folder(self._kept)
        private_folder(self._incoming)

    @contextmanager
    def writer(self) -> Iterator[BlobWriter]:
        path = self._incoming / secrets.token_hex(16)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _unavailable(error) from error
        file = os.fdopen(descriptor, "wb")
        try:
            yield _FolderWriter(file, path, self._kept)
        finally:
            path.unlink(missing_ok=True)
            # What was kept was flushed; what was not need not fit on a full disk any more.
            with suppress(OSError):
                file.close()

    def open(self, name: BlobName) -> BinaryIO:
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            raise BlobMissing("It was deleted after its report.") from None

    def delete(self, name: BlobName) -> None:
        self._path(name).unlink(missing_ok=True)

    def stored(self) -> Iterator[StoredBlob]:
        now = time.time()
        for path in self._kept.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                try:
                    age = now - path.stat().st_mtime
                except FileNotFoundError:
                    continue
                yield StoredBlob(BlobName(match["recording"], match["sha256"]), age)

    def sweep(self, older_than: float) -> None:
        for path in self._incoming.iterdir():
            try:
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue

    def check(self) -> None:
        for folder in (self._kept, self._incoming):
            if not os.access(folder, os.W_OK):
                raise BlobStoreUnavailable(f"The folder {folder.name!r} cannot be written.")

    def _path(self, name: BlobName) -> Path:
        return self._kept / str(name)


class _FolderWriter:
    def __init__(self, file: BinaryIO, path: Path, kept: Path) -> None:
        self._file = file
        self._path = path
        self._kept = kept

    def write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _unavailable(error) from error

    def keep(self, name: BlobName) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.replace(self._kept / str(name))
            descriptor = os.open(self._kept, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unavailable(error) from error


def _unavailable(error: OSError) -> BlobStoreUnavailable:
    return BlobStoreUnavailable(f"The recording could not be stored: {error.strerror}.")
