"""Blinding factors made ahead: each used once, whatever thread, fork or restart."""

import gc
import multiprocessing
import os
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from crypto import blinding_pool
from crypto.blinding_pool import BlindingPool
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey
from crypto.random import KERNEL, RandomSource, SeededRandom


class Counting:
    """Makes 1, 2, 3, ... as a key makes factors, and remembers who asked at which priority."""

    def __init__(self) -> None:
        self.made = 0
        self.priorities: dict[str, int] = {}
        self._lock = threading.Lock()

    def blinding_factor(self, random: RandomSource = KERNEL) -> int:  # noqa: ARG002
        thread = threading.current_thread()
        self.priorities[thread.name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        with self._lock:
            self.made += 1
            return self.made


@pytest.fixture(autouse=True)
def _short_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blinding_pool, "QUIET_SECONDS", 0.01)


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def filled(size: int) -> tuple[BlindingPool, Counting]:
    key = Counting()
    pool = BlindingPool(key, size)
    pool.take()
    assert soon(lambda: len(pool) == size)
    return pool, key


def test_it_fills_while_nobody_takes_and_not_before() -> None:
    key = Counting()
    pool = BlindingPool(key, 5)
    time.sleep(0.03)
    assert (len(pool), key.made) == (0, 0)
    assert pool.take() == 1
    assert soon(lambda: len(pool) == 5)
    time.sleep(0.03)
    assert key.made == 6


def test_what_is_taken_is_gone() -> None:
    pool, _ = filled(20)
    taken = [pool.take() for _ in range(30)]
    assert len(set(taken)) == 30
    assert soon(lambda: len(pool) == 20)
    assert not {pool.take() for _ in range(20)} & set(taken)


def test_threads_never_share_a_factor() -> None:
    pool, _ = filled(50)
    taken: list[int] = []

    def work() -> None:
        for _ in range(100):
            taken.append(pool.take())
            time.sleep(0.0005)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 800


def test_making_stops_while_somebody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blinding_pool, "QUIET_SECONDS", 0.5)
    key = Counting()
    pool = BlindingPool(key, 5)
    pool.take()
    time.sleep(0.05)
    assert (len(pool), key.made) == (0, 1)


def test_the_thread_has_the_lowest_priority_and_ends_when_all_is_made() -> None:
    before = set(threading.enumerate())
    pool, key = filled(3)
    assert key.priorities["blinding"] == 19
    assert key.priorities[threading.current_thread().name] < 19
    assert soon(lambda: not set(threading.enumerate()) - before)
    pool.take()
    assert soon(lambda: len(pool) == 3)


def test_a_pool_that_is_gone_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blinding_pool, "QUIET_SECONDS", 0.05)
    key = Counting()
    pool = BlindingPool(key, 1_000)
    pool.take()
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert soon(lambda: gone() is None)
    time.sleep(0.1)
    assert key.made == 1


def _report(pool: BlindingPool, to: Connection) -> None:
    ready = len(pool)
    first = [pool.take() for _ in range(3)]
    to.send((ready, first, soon(lambda: len(pool) == 4)))
    to.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_empties_the_pool_of_the_child_alone(private_key: PrivateKey) -> None:
    """Real factors: a counting key would go on alike in both."""
    pool = BlindingPool(private_key, 4)
    pool.take()
    assert soon(lambda: len(pool) == 4)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(pool, there))
    child.start()
    assert here.poll(20)
    ready, of_child, refilled = here.recv()
    child.join()
    assert ready == 0
    assert refilled
    assert len(pool) == 4
    of_parent = [pool.take() for _ in range(4)]
    assert not set(of_child) & set(of_parent)


def test_it_cannot_be_written_anywhere(private_key: PrivateKey) -> None:
    import pickle

    pool = BlindingPool(private_key, 4)
    assert repr(pool) == "BlindingPool"
    with pytest.raises(TypeError):
        pickle.dumps(pool)


@pytest.mark.parametrize("half", ["public", "private"])
def test_factors_of_both_halves_blind(private_key: PrivateKey, half: str) -> None:
    source: PublicKey | PrivateKey = private_key if half == "private" else private_key.public
    pool = BlindingPool(source, 2)
    for m in (0, 7, private_key.public.n - 1):
        ciphertext = private_key.public.constant(m).blinded(pool.take())
        assert ciphertext.fresh
        assert private_key.decrypt(ciphertext) == m


def test_the_key_holder_encrypts_from_its_pool() -> None:
    private = PrivateKey.generate(512)
    private.keep_ready(4)
    assert private.decrypt(private.encrypt(5)) == 5
    assert soon(lambda: len(private._pool or ()) == 4)
    expected = list(private._pool._ready) if private._pool else []
    ciphertexts = [private.encrypt(m) for m in range(4)]
    constant = private.public.constant
    assert [int(c) for c in ciphertexts] == [
        int(constant(m).blinded(factor)) for m, factor in enumerate(expected)
    ]


def test_replayed_randomness_never_comes_from_the_pool() -> None:
    private = PrivateKey.generate(512)
    private.keep_ready(4)
    first, second = (private.encrypt(5, SeededRandom(bytes(32), b"")) for _ in range(2))
    assert int(first) == int(second)
    assert len(private._pool or ()) == 0
