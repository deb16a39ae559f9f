"""Rotation of the Paillier key while uploads go on: nothing is lost or counted twice.

After each the outcome is held against the oracle as in `test_exactly_once`, and no tally, range in
force or waiting report is left under a key that was retired.
"""

from __future__ import annotations

import threading
import time
from datetime import date

import pytest

from app.keyholder.keys import KeyholderKeys
from app.keyholder.keys.bundle import passphrase
from app.keyholder.keys.paillier import rotate
from config import KeyholderConfig
from crypto.keyholder.private_key import PrivateKey
from deploy.local.system import LocalSystem
from tests.support import fault_points as at
from tests.support.fault_points import Faults
from tests.support.small_keys import SMALL_BITS
from tests.system.ward import Ward, mixed

STEPS = [
    (at.MOVE_CLOSED, "group"),
    (at.MOVE_REPLACING, "group"),
    *(
        pytest.param(point, who, marks=pytest.mark.slow)
        for point, who in (
            (at.MOVE_CHOSEN, "process"),
            (at.MOVE_KEPT, "group"),
            (at.MOVE_CLOSING, "process"),
            (at.MOVE_ANSWERED, "process"),
            (at.MOVE_IN_FORCE, "process"),
        )
    ),
]
"""`tests/workers/test_moving.py` kills at each step within one process."""
OTHER_DAY = date(2026, 3, 2)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = PrivateKey.generate.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(defaults, "__defaults__", (SMALL_BITS,))


def turn(system: LocalSystem) -> str:
    """Rotates; who moves starts anew, so that it need not wait for its manifest to age."""
    folder = KeyholderConfig.from_environment(system.environment_of("keyholder")).secrets
    rotate(folder, passphrase(folder))
    for name in ("aggregation", "sweeper"):
        system.kill(name)
    return KeyholderKeys.load(folder).paillier.public.key_id


def wait_moved(ward: Ward, key_id: str, seconds: float = 90.0) -> None:
    left = (
        f"SELECT count(*) FROM tallies WHERE key_id <> '{key_id}' OR moving"
        " UNION ALL SELECT count(*) FROM key_moves"
        " UNION ALL SELECT count(*) FROM recordings"
        f" WHERE key_id <> '{key_id}' AND state = 'reported'"
    )
    deadline = time.monotonic() + seconds
    while {row[0] for row in ward.rows(left)} != {0}:
        assert time.monotonic() < deadline, ward.rows(left)
        time.sleep(0.2)


@pytest.mark.parametrize(("point", "who"), STEPS)
def test_a_kill_at_every_step(ward: Ward, faults: Faults, point: str, who: str) -> None:
    ward.upload(mixed(2))
    ward.check()
    faults.arm(point, who)
    key_id = turn(ward.system)
    ward.upload(mixed(4)[2:])
    ward.upload(mixed(5)[4:], OTHER_DAY)
    faults.wait_struck(point, 60)
    ward.check()
    wait_moved(ward, key_id)
    ward.check_counts()


def test_uploads_that_go_on(ward: Ward) -> None:
    _rotate_amid_uploads(ward)


def test_uploads_that_go_on_with_redis_and_postgresql(servers_system: LocalSystem) -> None:
    servers_system.wait_ready()
    ward = Ward.open(servers_system)
    with ward.collector:
        _rotate_amid_uploads(ward)


def _rotate_amid_uploads(ward: Ward) -> None:
    keys: list[str] = []

    def twice() -> None:
        for _ in range(2):
            time.sleep(2)
            keys.append(turn(ward.system))

    rotating = threading.Thread(target=twice)
    rotating.start()
    for number, sample in enumerate(mixed(9)):
        ward.upload([sample], OTHER_DAY if number % 3 else date(2026, 3, 1))
    rotating.join()
    ward.check()
    wait_moved(ward, keys[-1])
    ward.check_counts()
