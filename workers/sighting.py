"""Every few seconds a worker lets the aggregator know that it is there (the operator's page)."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from billiard.process import current_process

EVERY_SECONDS = 10.0

_log = logging.getLogger(__name__)


def worker_name(kind: str) -> str:
    """Kind, host and number in its pool of this process: the same again after a restart."""
    process: Any = current_process()
    return f"{kind}@{socket.gethostname()}/{getattr(process, 'index', 0)}"


def keep_sighted(tell: Callable[[], None]) -> None:
    """Call `tell` now and every few seconds from a thread that ends with the process.

    A failure is of no consequence: the next call is soon.
    """

    def run() -> None:
        pause = threading.Event()
        while True:
            try:
                tell()
            except Exception:  # noqa: BLE001 - whatever it was, the work goes on without it
                _log.debug("the aggregator was not told", exc_info=True)
            pause.wait(EVERY_SECONDS)

    threading.Thread(target=run, name="sighting", daemon=True).start()
