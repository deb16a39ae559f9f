"""Small Paillier keys, for tests only: a key of 1024 bits computes some fifteen times faster.

Nothing in the program has a setting for this; the tests change the constant in their own processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import crypto.paillier

SMALL_BITS = 1024


def allow_small_keys() -> None:
    """From now on this process takes keys of SMALL_BITS."""
    crypto.paillier.MIN_KEY_BITS = SMALL_BITS


def make_small_keys() -> None:
    """From now on this process, the key holder's, makes keys of SMALL_BITS."""
    from crypto.keyholder.private_key import PrivateKey

    allow_small_keys()
    defaults = PrivateKey.generate.__func__  # type: ignore[attr-defined]
    defaults.__defaults__ = (SMALL_BITS,)


@contextmanager
def small_keys(bits: int = SMALL_BITS) -> Iterator[None]:
    """Keys of `bits` are allowed inside."""
    before = crypto.paillier.MIN_KEY_BITS
    crypto.paillier.MIN_KEY_BITS = bits
    try:
        yield
    finally:
        crypto.paillier.MIN_KEY_BITS = before
