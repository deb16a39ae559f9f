"""Whatever is killed, lost or doubled, every recording is counted exactly once.

What must hold of every recording that an upload was acknowledged for (and `Ward.check` looks at):

1. It ends in exactly one final state: counted, unreadable or failed with its reason; the state is
   the one that its content calls for, whatever happened on the way.
2. The tally of its patient and day, opened by the patient, is the sum over the uploaded recordings,
   each once, and says over how many recordings it is.
3. Numbers of a tally have no gap and no recording has two.
4. Once it is over, neither its report's ciphertext nor the request of its batch is kept.

What is injected: SIGKILL to each process at each step from the upload to the tally (alone, and with
its whole group), messages lost and doubled, the same upload twice at once, a key holder that is
away, a recording that kills its worker, and a restart of everything in the middle.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from datetime import date

import pytest

from client.uploading import State, progress, recording_id, upload
from crypto.hpke import recording_info, seal
from deploy.local.system import LocalSystem
from tests.support import fault_points as at
from tests.support.fault_points import Faults
from tests.system.samples import BOTH, Sample, broken, counted, noise, unreadable
from tests.system.ward import TODAY, Ward, mixed

STEPS = [
    (at.UPLOAD_STORED, "process"),
    (at.UPLOAD_REGISTERED, "group"),
    (at.LEASED, "process"),
    (at.JUDGED, "group"),
    (at.REPORT_ARRIVED, "group"),
    (at.REPORT_ACCEPTED, "process"),
    (at.REPORT_SENT, "process"),
    (at.BATCH_ASSIGNED, "group"),
    (at.REQUEST_KEPT, "process"),
    (at.BATCH_COMPUTED, "process"),
    (at.BATCH_SERVING, "group"),
    (at.BATCH_SERVED, "group"),
    (at.BATCH_ANSWERED, "process"),
    (at.TALLIES_ADVANCING, "process"),
    (at.BATCH_SETTLED, "group"),
]


def test_every_kind_of_recording_ends_as_it_must(ward: Ward) -> None:
    ward.upload([*mixed(6), unreadable(), noise(), broken()])
    ward.upload(mixed(8)[6:], date(2026, 3, 2))
    ward.check()


@pytest.mark.parametrize(("point", "who"), STEPS, ids=[f"{p}-{w}" for p, w in STEPS])
def test_a_kill_at_every_step(ward: Ward, faults: Faults, point: str, who: str) -> None:
    faults.arm(point, who)
    ward.upload(mixed(3))
    faults.wait_struck(point)
    ward.check()


@pytest.mark.parametrize("name", ["aggregator", "keyholder", "inference", "aggregation", "sweeper"])
def test_a_kill_of_each_process_in_the_middle(ward: Ward, name: str) -> None:
    ward.upload(mixed(3))
    ward.system.kill(name)
    ward.upload(mixed(6)[3:])
    ward.check()


def test_messages_that_are_lost(ward: Ward) -> None:
    system = ward.system
    for name in ("inference", "sweeper"):
        system.halt(name)
    ward.upload(mixed(3))
    lost = list((system.home / "broker" / "queue").iterdir())
    assert len(lost) >= 3
    for message in lost:
        message.unlink()
    for name in ("inference", "sweeper"):
        system.resume(name)
    ward.check()


def test_messages_that_come_several_times(ward: Ward) -> None:
    system = ward.system
    system.halt("inference")
    ward.upload(mixed(3))
    _multiply(system)
    system.halt("aggregation")
    system.resume("inference")
    _wait(
        lambda: all(p.state is State.REPORTED for p in progress(ward.collector, [*ward.uploaded]))
    )
    _multiply(system)
    system.resume("aggregation")
    ward.check()


def test_the_same_upload_sent_twice_at_once(ward: Ward) -> None:
    sample = counted(BOTH, 0)
    recording = recording_id(ward.collector.identity.id_key, sample.data)
    info = recording_info(recording, ward.collector.pseudonym)
    sealed = seal(ward.collector.manifest.sealing.public, info, sample.data)
    path = f"/api/recordings/{recording}"
    failures: list[Exception] = []

    def send() -> None:
        try:
            ward.collector.aggregator.put(path, lambda: [sealed], len(sealed), day=str(TODAY))
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    # The file once more, sealed anew, as a second click makes it.
    assert upload(ward.collector, sample.data, TODAY) == recording
    ward.uploaded[recording] = (sample, TODAY)
    ward.check()


def test_a_key_holder_that_is_away_for_a_while(ward: Ward) -> None:
    ward.system.halt("keyholder")
    ward.upload(mixed(3))
    time.sleep(8)
    states = {p.state for p in progress(ward.collector, [*ward.uploaded])}
    assert states <= {State.QUEUED, State.LEASED, State.REPORTED}
    ward.system.resume("keyholder")
    ward.check()


def test_a_recording_that_kills_its_worker_is_quarantined_and_the_others_go_on(ward: Ward) -> None:
    poison = Sample(b"RIFF0000WAVE" + at.POISON, "failed", "quarantined")
    first = ward.upload([poison])
    ward.upload(mixed(3))
    _wait(
        lambda: all(
            p.state is State.COUNTED
            for p in progress(ward.collector, [r for r in ward.uploaded if r not in first])
        )
    )
    assert progress(ward.collector, first)[0].state in (State.QUEUED, State.LEASED)
    ward.check()
    assert ward.rows("SELECT attempts FROM recordings WHERE reason = 'quarantined'") == [(3,)]


def test_what_was_running_continues_at_the_next_start(ward: Ward) -> None:
    ward.upload(mixed(6))
    ward.system.stop()
    ward.system.start()
    ward.check()


def test_a_storm_on_redis_and_postgresql(servers_system: LocalSystem) -> None:
    _storm(servers_system, seed=1, recordings=9, kills=4)


def test_a_storm(system: LocalSystem) -> None:
    _storm(system, seed=2, recordings=9, kills=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 9))
def test_longer_storms(system: LocalSystem, seed: int) -> None:
    _storm(system, seed, recordings=24, kills=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9, 12))
def test_longer_storms_on_redis_and_postgresql(servers_system: LocalSystem, seed: int) -> None:
    _storm(servers_system, seed, recordings=24, kills=10)


@pytest.mark.slow
def test_a_recording_that_hangs_its_worker_is_quarantined(ward: Ward) -> None:
    ward.upload([Sample(b"RIFF0000WAVE" + at.HANG, "failed", "quarantined"), *mixed(3)])
    ward.check(seconds=280)


def _storm(system: LocalSystem, seed: int, recordings: int, kills: int) -> None:
    """Uploads of two patients, while faults strike and processes are killed at random."""
    chance = random.Random(seed)
    faults = Faults(system.home.parent / "faults")
    names = list(system.processes)
    wards = [Ward.open(system), Ward.open(system)]
    samples = [[*mixed(recordings), unreadable(), broken()] for _ in wards]
    for some in samples:
        chance.shuffle(some)
    done = threading.Event()

    def rage() -> None:
        for _ in range(kills):
            if chance.random() < 0.5:
                point, who = chance.choice(STEPS)
                faults.arm(point, who)
            else:
                system.kill(chance.choice(names))
            if done.wait(chance.uniform(0.3, 2.0)):
                return

    storm = threading.Thread(target=rage)
    storm.start()
    try:
        for ward, some in zip(wards, samples, strict=True):
            for sample in some:
                ward.upload([sample], chance.choice([TODAY, date(2026, 3, 2)]))
        storm.join()
    finally:
        done.set()
        storm.join()
        faults.disarm()
    for ward in wards:
        ward.check(seconds=150)
        ward.collector.close()


def _multiply(system: LocalSystem) -> None:
    """Every message that lies in the broker, four times more."""
    folder = system.home / "broker" / "queue"
    for message in list(folder.iterdir()):
        time_and_id, _, rest = message.name.partition(".")
        for copy in range(4):
            shutil.copy(message, folder / f"{time_and_id}-{copy}.{rest}")


def _wait(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.1)
