"""The embedded broker: what is sent arrives once and whole, and damage stops nobody."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from config import celery_settings

MESSAGES = 300


def _connection(folder: Path) -> Connection:
    settings = celery_settings(f"filesystem://{folder}")
    return Connection(
        settings["broker_url"],
        transport=settings["broker_transport"],
        transport_options=settings["broker_transport_options"],
    )


def _produce(folder: Path, name: str) -> None:
    with _connection(folder) as connection:
        queue = connection.SimpleQueue("inference")
        for number in range(MESSAGES):
            queue.put(f"{name}-{number}")


def _consume(folder: Path, results: multiprocessing.Queue) -> None:
    got = []
    with _connection(folder) as connection:
        queue = connection.SimpleQueue("inference")
        last = time.monotonic()
        while time.monotonic() - last < 2:
            try:
                message = queue.get_nowait()
            except Empty:
                time.sleep(0.001)
            else:
                got.append(message.payload)
                message.ack()
                last = time.monotonic()
    results.put(got)


def test_several_readers_and_writers(tmp_path: Path) -> None:
    """kombu's own transport loses some three messages of a hundred here, and a reader with each."""
    fork = multiprocessing.get_context("spawn")
    results = fork.Queue()
    readers = [fork.Process(target=_consume, args=(tmp_path, results)) for _ in range(2)]
    writers = [fork.Process(target=_produce, args=(tmp_path, name)) for name in "ab"]
    for process in (*readers, *writers):
        process.start()
    got = Counter(payload for _ in readers for payload in results.get(timeout=60))
    for process in (*readers, *writers):
        process.join(30)
        assert process.exitcode == 0
    assert got == Counter(f"{name}-{number}" for name in "ab" for number in range(MESSAGES))
    assert list((tmp_path / "queue").iterdir()) == []


def test_messages_come_in_the_order_of_sending(tmp_path: Path) -> None:
    _produce(tmp_path, "a")
    with _connection(tmp_path) as connection:
        queue = connection.SimpleQueue("inference")
        got = [queue.get_nowait().payload for _ in range(MESSAGES)]
        assert got == [f"a-{number}" for number in range(MESSAGES)]
        with pytest.raises(Empty):
            queue.get_nowait()


def test_damaged_and_unfinished_files_are_passed_over(tmp_path: Path) -> None:
    with _connection(tmp_path) as connection:
        queue = connection.SimpleQueue("inference")
        for name in ("0_damaged.inference.msg", ".1_unfinished.inference.msg"):
            (tmp_path / "queue" / name).write_text('{"body": ')
        queue.put("whole")
        assert queue.get_nowait().payload == "whole"


def test_two_queues_do_not_mix(tmp_path: Path) -> None:
    with _connection(tmp_path) as connection:
        connection.SimpleQueue("inference").put("a recording")
        with pytest.raises(Empty):
            connection.SimpleQueue("aggregation").get_nowait()
        assert connection.SimpleQueue("inference").get_nowait().payload == "a recording"
