"""The log: every change of keys and grants and every opening, hash-chained, append-only."""

from app.keyholder.log.chain import Event, append

__all__ = ["Event", "append"]
