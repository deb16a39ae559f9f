"""The folder of sealed recordings."""

from __future__ import annotations

import errno
import io
import os
from contextlib import suppress
from pathlib import Path

import pytest

from app.aggregator.blobs import (
    BlobMissing,
    BlobName,
    BlobStoreUnavailable,
    FolderBlobStore,
    open_blob_store,
)
from config import ConfigurationError

NAME = BlobName("a" * 32, "b" * 64)


@pytest.fixture
def store(tmp_path: Path) -> FolderBlobStore:
    return FolderBlobStore(tmp_path / "blobs")


def keep(store: FolderBlobStore, data: bytes, name: BlobName = NAME) -> None:
    with store.writer() as writer:
        writer.write(data)
        writer.keep(name)


def files(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_blob_comes_back_until_it_is_deleted(store: FolderBlobStore, tmp_path: Path) -> None:
    keep(store, b"sealed")
    with store.open(NAME) as file:
        assert file.read() == b"sealed"
    assert [blob.name for blob in store.stored()] == [NAME]
    store.delete(NAME)
    store.delete(NAME)
    with pytest.raises(BlobMissing):
        store.open(NAME)
    assert files(tmp_path) == []


def test_only_the_owner_reads_blobs(store: FolderBlobStore, tmp_path: Path) -> None:
    keep(store, b"sealed")
    for path in (tmp_path / "blobs").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "blobs").stat().st_mode & 0o077 == 0


def test_what_is_not_kept_vanishes(store: FolderBlobStore, tmp_path: Path) -> None:
    with store.writer() as writer:
        writer.write(b"half")
    with suppress(RuntimeError), store.writer() as writer:
        writer.write(b"half")
        raise RuntimeError("the line broke")
    assert files(tmp_path) == []
    assert list(store.stored()) == []


@pytest.mark.parametrize(
    ("recording", "sha256"),
    [("../" + "a" * 29, "b" * 64), ("a" * 32, "../" + "b" * 61), ("A" * 32, "b" * 64), ("", "")],
)
def test_a_name_is_no_path(recording: str, sha256: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        BlobName(recording, sha256)


def test_what_killed_uploads_left_is_swept(store: FolderBlobStore, tmp_path: Path) -> None:
    old, new = (tmp_path / "blobs" / "incoming" / name for name in ("old", "new"))
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (1, 1))
    store.sweep(3600)
    assert files(tmp_path) == [new]


def test_strange_files_are_left_alone(store: FolderBlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "sealed" / "README").write_bytes(b"x")
    assert list(store.stored()) == []


def test_a_disk_that_takes_nothing_is_a_problem(store: FolderBlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "sealed").rmdir()
    with pytest.raises(BlobStoreUnavailable), store.writer() as writer:
        writer.keep(NAME)
    with pytest.raises(BlobStoreUnavailable):
        store.check()
    (tmp_path / "blobs" / "incoming").rmdir()
    with pytest.raises(BlobStoreUnavailable), store.writer():
        pass


def test_the_store_of_a_url(tmp_path: Path) -> None:
    open_blob_store(f"file://{tmp_path / 'other'}").check()
    with pytest.raises(ConfigurationError):
        open_blob_store("ftp://somewhere")


class FullDisk(io.RawIOBase):
    """Takes nothing, as a file on a disk without space."""

    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("size", [100, 1_000_000], ids=["at the final flush", "at a write"])
def test_a_full_disk_is_told_whenever_it_shows(
    store: FolderBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def full(descriptor: int, _mode: str) -> io.BufferedWriter:
        os.close(descriptor)
        return io.BufferedWriter(FullDisk())

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        with pytest.raises(BlobStoreUnavailable):
            keep(store, b"s" * size)
    assert files(tmp_path) == []
    keep(store, b"sealed")
