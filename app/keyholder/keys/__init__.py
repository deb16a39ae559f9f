"""Role B's own keys: in files, in a running process, and by command (`python -m ...keys`)."""

from app.keyholder.keys.bundle import KeyholderKeys, renew_storage_key

__all__ = ["KeyholderKeys", "renew_storage_key"]
