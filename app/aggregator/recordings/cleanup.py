"""Removes sealed recordings that nobody needs any more; called by the sweeper."""

from __future__ import annotations

from sqlalchemy import select

from app.aggregator.blobs import BlobStore
from app.aggregator.recordings.lifecycle import WAITING_STATES
from app.aggregator.tables import Recording, db

ABANDONED_SECONDS = 3600
"""An upload that was begun so long ago was killed."""


def delete_unneeded_blobs(store: BlobStore, older_than: float = ABANDONED_SECONDS) -> int:
    """Deletes blobs whose recording is finished or unknown, for a crash can part row and blob.

    Args:
        older_than: seconds; younger blobs are left alone, their row may just be in the making.

    Returns:
        How many blobs were deleted.
    """
    deleted = 0
    for blob in store.stored():
        if blob.age >= older_than and not _needed(blob.name.recording, blob.name.sha256):
            store.delete(blob.name)
            deleted += 1
    db.session.rollback()
    store.sweep(older_than)
    return deleted


def _needed(recording_id: str, sealed_sha256: str) -> bool:
    return (
        db.session.scalar(
            select(Recording.id).where(
                Recording.id == recording_id,
                Recording.sealed_sha256 == sealed_sha256,
                Recording.state.in_(WAITING_STATES),
            )
        )
        is not None
    )
