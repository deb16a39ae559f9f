"""Blinding factors made ahead, while nothing else is to be done.

A factor is used once. Taking one removes it for good, whatever thread asks; a child of a fork
starts with an empty pool, for its parent has the same factors; nothing is written anywhere, so a
process that starts anew has none either.
"""

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from typing import Protocol

from crypto.random import KERNEL, RandomSource

QUIET_SECONDS = 0.2
"""How long nobody must have taken a factor before more are made."""

_LOWEST_PRIORITY = 19


class BlindingKey(Protocol):
    """What makes blinding factors: `PublicKey` or `PrivateKey`."""

    def blinding_factor(self, random: RandomSource = KERNEL) -> int:
        """A new factor."""


class BlindingPool:
    """Up to `size` factors of one key, refilled by a thread of the lowest priority.

    The thread starts with the first `take` of a process, works while nobody takes, and rests after
    the factor in hand as soon as somebody does. It ends when the pool is full or gone.
    """

    def __init__(self, key: BlindingKey, size: int) -> None:
        self._key = key
        self._size = size
        self._reset()
        _POOLS.add(self)

    def take(self) -> int:
        """A factor that nobody else gets: one made ahead, or a new one if there is none."""
        self._taken_at = time.monotonic()
        try:
            factor = self._ready.popleft()
        except IndexError:
            factor = self._key.blinding_factor()
        self._refill()
        return factor

    def __len__(self) -> int:
        """How many are ready."""
        return len(self._ready)

    def __repr__(self) -> str:
        return "BlindingPool"

    def _reset(self) -> None:
        self._ready: deque[int] = deque()
        self._working = threading.Lock()
        self._taken_at = time.monotonic()

    def _refill(self) -> None:
        if len(self._ready) < self._size and self._working.acquire(blocking=False):
            pool = weakref.ref(self)
            threading.Thread(
                target=_work, args=(pool, self._working), name="blinding", daemon=True
            ).start()

    def _rest(self) -> float | None:
        """Makes one factor if it is time; seconds until the next, None when the pool is full."""
        if len(self._ready) >= self._size:
            return None
        wait = self._taken_at + QUIET_SECONDS - time.monotonic()
        if wait > 0:
            return wait
        self._ready.append(self._key.blinding_factor())
        return 0.0


def _work(pool: "weakref.ref[BlindingPool]", working: threading.Lock) -> None:
    try:
        with contextlib.suppress(OSError):  # where threads have no priority of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        while (alive := pool()) is not None and (wait := alive._rest()) is not None:
            del alive
            time.sleep(wait)
    finally:
        working.release()


_POOLS: "weakref.WeakSet[BlindingPool]" = weakref.WeakSet()


def _empty_all() -> None:
    for pool in list(_POOLS):
        pool._reset()


os.register_at_fork(after_in_child=_empty_all)
