"""A Celery child that cannot work takes no tasks, and a worker that can says so.

Celery only logs an exception of `worker_process_init` and lets the child go on. `load_in_children`
ends such a child itself, and the worker with it: nothing can be judged or counted there, and
whoever runs the worker sees it stop with a clear error instead of failing every task.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from celery import signals

EXIT_CANNOT_WORK = os.EX_CONFIG
"""The worker's exit status when its children cannot be made ready (78)."""

_log = logging.getLogger(__name__)


def load_in_children(load: Callable[[], None]) -> None:
    """Run `load` once in every pool process, after the fork and before its first task."""
    # One byte of memory shared with the children: a child says here why it stopped the worker.
    failed = mmap.mmap(-1, 1)

    def on_child(**_: Any) -> None:
        try:
            load()
        except Exception as error:  # noqa: BLE001 - whatever it was, no task may come here
            _log.critical("this worker cannot work and stops: %s", error, exc_info=True)
            failed[0] = 1
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(EXIT_CANNOT_WORK)
        notify_ready()

    def on_shutdown(sender: Any, **_: Any) -> None:
        if failed[0]:
            sender.exitcode = EXIT_CANNOT_WORK

    signals.worker_process_init.connect(on_child, weak=False)
    signals.worker_shutdown.connect(on_shutdown, weak=False)


def notify_ready() -> None:
    """Tell who started this process that it can work (sd_notify(3)); nothing without a listener."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            # A leading @ means Linux's abstract namespace, as systemd uses it.
            sender.sendto(b"READY=1\n", "\0" + address[1:] if address[0] == "@" else address)
        except OSError as error:
            _log.warning("nobody listens at NOTIFY_SOCKET: %s", error.strerror)
