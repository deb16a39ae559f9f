"""The embedded default's broker: a folder, one file a message, no server.

kombu's own filesystem transport, made safe for several readers and for kill -9: that one lets a
reader see a message, or the table of queues, that is not written to its end yet (then the worker
that reads it stops), and moves what it reads through the machine's shared temporary folder.
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem


class Channel(filesystem.Channel):
    """Messages appear whole, under a name that sorts by time; taking one is deleting its file."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020}_{uuid.uuid4()}.{queue}.msg"
        # Readers take names that begin with the time.
        unfinished = folder / f".{name}"
        unfinished.write_text(json.dumps(payload))
        unfinished.replace(folder / name)

    def _get(self, queue: str, timeout: Any = None) -> Any:  # noqa: ARG002 - kombu's signature
        for path in sorted(Path(self.data_folder_in).iterdir()):
            if path.name.partition(".")[2] != f"{queue}.msg":
                continue
            try:
                content = path.read_text()
                path.unlink()
            except FileNotFoundError:
                continue  # Another worker took it.
            try:
                return json.loads(content)
            except ValueError:
                continue  # Damaged by a full disk, say; the sweeper sends it again.
        raise Empty

    def get_table(self, exchange: str) -> list[filesystem.exchange_queue_t]:
        # Celery's direct exchanges: each has one queue, and both are called alike.
        return [filesystem.exchange_queue_t(exchange, "", exchange)]

    def _queue_bind(self, *_: Any) -> None:
        """Nothing to keep: see `get_table`."""


class Transport(filesystem.Transport):
    """Named in `config.celery_settings`."""

    Channel = Channel
