"""Removes sealed recordings that nobody needs any more; called by the sweeper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from sqlalchemy import select

from app.aggregator.blobs import BlobStore, StoredBlob
from app.aggregator.recordings.lifecycle import WAITING_STATES
from app.aggregator.tables import Recording, db

ABANDONED_SECONDS = 3600
"""An upload that was begun so long ago and has no row was killed."""

_AT_ONCE = 500


def delete_unneeded_blobs(store: BlobStore) -> int:
    """Deletes the blobs of finished recordings, and what killed uploads left behind.

    A crash between the change of a row and the deletion of its blob leaves the first kind.

    Returns:
        How many blobs were deleted.
    """
    deleted = 0
    for blobs in _batches(store.stored()):
        for blob in _unneeded(blobs):
            store.delete(blob.name)
            deleted += 1
    store.sweep(ABANDONED_SECONDS)
    return deleted


def _unneeded(blobs: Sequence[StoredBlob]) -> list[StoredBlob]:
    ids = {blob.name.recording for blob in blobs}
    rows = db.session.execute(
        select(Recording.id, Recording.sealed_sha256, Recording.state).where(Recording.id.in_(ids))
    ).all()
    db.session.rollback()
    known = {row.id: row for row in rows}
    return [
        blob
        for blob in blobs
        if (
            known[blob.name.recording].state not in WAITING_STATES
            if blob.name.recording in known
            and known[blob.name.recording].sealed_sha256 == blob.name.sha256
            # Its row may just be in the making, or it lost against another upload of the same id.
            else blob.age >= ABANDONED_SECONDS
        )
    ]


def _batches(blobs: Iterator[StoredBlob]) -> Iterator[list[StoredBlob]]:
    while batch := list(islice(blobs, _AT_ONCE)):
        yield batch
