"""The comparison as it runs: role A in this process, role B's server in another, HTTP between.

A batch is 256 recordings of as many patients, each under a range of its own: read from A's
database, compared with B, added to 256 tallies, all committed. CPU time of both sides counts.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from itertools import pairwise

import httpx

from app.aggregator.services import services
from app.aggregator.tables import (
    Account,
    AccountKind,
    Range,
    RangeState,
    Recording,
    RecordingState,
    db,
)
from benchmarks.report import Figure, figure
from benchmarks.running import Running
from crypto.comparison.batches import decode_request
from crypto.comparison.fast import FastInitiator, Item
from crypto.comparison.parameters import MAX_ITEMS
from crypto.comparison.positions import RecordingPosition
from crypto.comparison.session import SessionOpener, accept_session
from crypto.encoding import new_id
from crypto.keyholder.fast import FastResponder
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import Ciphertext, PublicKey
from crypto.slots import ZONES, pack_range, pack_report
from workers.aggregation import counting

BATCHES = 7
DAY = "2026-01-01"
BOUNDS = (32_768, 500, 1_000)
HEALTHY = (20_000, 700)
ABNORMAL = (60_000, 1_200)
_WAIT_SECONDS = 300.0
_IDLE_SECONDS = 2.0
"""Between two batches, so that B has made ahead what it wants to."""


@dataclass(frozen=True)
class Comparisons:
    """What was measured of batches in the running system."""

    a_side: Figure
    b_side: Figure
    per_second: Figure
    latency: Figure
    bytes_per_recording: float
    round_trips: float

    @property
    def figures(self) -> list[Figure]:
        return [self.per_second, self.a_side, self.b_side, self.latency]


def measure_system(scene: Running) -> Comparisons:
    """Batches of 256 from end to end; the first, with its session's base transfers, counts not.

    What B makes ahead between two batches (`crypto.blinding_pool`) counts as B's: its time runs
    from the beginning of a batch to that of the next.
    """
    traffic = _Traffic()
    a_side: list[float] = []
    latency: list[float] = []
    clocks: list[float] = []
    with scene.aggregator.app_context():
        key = services().keyholder.manifest().active_key
        patients = _patients(key)
        traffic.watch(services().keyholder._http)
        for batch in range(BATCHES + 1):
            _report(key, patients)
            time.sleep(_IDLE_SECONDS)
            traffic.counts = batch > 0
            clocks.append(scene.cpu("keyholder"))
            a, begun = time.process_time(), time.monotonic()
            if counting.count_waiting(_WAIT_SECONDS):
                raise SystemExit("the batches were not counted in time")
            a_side.append(1_000 * (time.process_time() - a))
            latency.append(1_000 * (time.monotonic() - begun))
            if _counted() != (batch + 1) * MAX_ITEMS:
                raise SystemExit("a batch was not counted: see the lines above")
        time.sleep(_IDLE_SECONDS)
        clocks.append(scene.cpu("keyholder"))
    del a_side[0], latency[0], clocks[0]
    b_side = [1_000 * (after - before) for before, after in pairwise(clocks)]
    per_second = [1_000 * MAX_ITEMS / (a + b) for a, b in zip(a_side, b_side, strict=True)]
    return Comparisons(
        figure("A, a batch of 256 recordings", "ms CPU", a_side),
        figure("B, a batch of 256 recordings", "ms CPU", b_side),
        figure("recordings compared and counted, a second and core", "", per_second),
        figure("a batch of 256 recordings from end to end", "ms", latency),
        traffic.bytes / (BATCHES * MAX_ITEMS),
        traffic.requests / BATCHES,
    )


def measure_alone(private: PrivateKey) -> list[Figure]:
    """Comparisons a second and core without HTTP and databases, of healthy and abnormal values."""
    key = private.public
    opener = SessionOpener()
    garbler, answer = accept_session(opener.request())
    initiator = FastInitiator(key, opener.session(answer))
    responder = FastResponder(private, MaskKey(secrets.token_bytes(32)))
    names = {"comparisons of healthy values": HEALTHY, "of abnormal ones": ABNORMAL}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for batch in range(2 * (BATCHES + 1)):
        name, values = list(names.items())[batch % 2]
        items = _items(key, values)
        start = time.process_time()
        request = initiator.request(batch, items)
        served = responder.answer(garbler, decode_request(request))
        initiator.finish(request, served.answer)
        if batch >= 2:
            rates[name].append(ZONES * MAX_ITEMS / (time.process_time() - start))
    return [figure(f"{name}, a second and core", "", rate) for name, rate in rates.items()]


def _items(key: PublicKey, values: tuple[int, int]) -> list[Item]:
    minus_bounds = key.encrypt(pack_range(key.bits, *BOUNDS)).negated()
    return [
        Item(
            RecordingPosition(new_id(), DAY, 1),
            key.encrypt(pack_report(key.bits, *values)).add(minus_bounds),
        )
        for _ in range(MAX_ITEMS)
    ]


class _Traffic:
    """Requests to the key holder and the sizes of their bodies and answers, while it counts."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.counts = False

    def watch(self, client: httpx.Client) -> None:
        client.event_hooks = {"request": [self._sent], "response": [self._received]}

    def _sent(self, request: httpx.Request) -> None:
        if self.counts and request.method == "POST":
            self.requests += 1
            self.bytes += len(request.content)

    def _received(self, response: httpx.Response) -> None:
        if self.counts and response.request.method == "POST":
            self.bytes += len(response.read())


def _patients(key: PublicKey) -> list[Account]:
    """Each with a range of its own in force."""
    doctor = _account(AccountKind.DOCTOR)
    patients = [_account(AccountKind.PATIENT) for _ in range(MAX_ITEMS)]
    db.session.add_all([doctor, *patients])
    db.session.flush()
    for patient in patients:
        db.session.add(
            Range(
                id=new_id(),
                pseudonym=patient.collector,
                doctor_id=doctor.id,
                state=RangeState.ACTIVE,
                key_id=key.key_id,
                bounds=key.encrypt(pack_range(key.bits, *BOUNDS)).to_bytes(),
                proposal="",
                created_at=0,
            )
        )
    db.session.commit()
    return patients


def _account(kind: AccountKind) -> Account:
    name = new_id()
    return Account(
        login=name,
        display_name="Benchmark",
        password_hash="-",
        kind=kind,
        age_band="adult",
        collector=new_id(),
        session_id=new_id(),
        created_at=0,
    )


def _report(key: PublicKey, patients: list[Account]) -> None:
    """A recording of each patient whose report has arrived: any stored ciphertext."""
    for number, patient in enumerate(patients):
        values = ABNORMAL if number % 4 == 0 else HEALTHY
        findings: Ciphertext = key.encrypt(pack_report(key.bits, *values))
        db.session.add(
            Recording(
                id=new_id(),
                account_id=patient.id,
                pseudonym=patient.collector,
                day=DAY,
                state=RecordingState.REPORTED,
                sealed_sha256="0" * 64,
                sealed_bytes=1,
                uploaded_at=0,
                key_id=key.key_id,
                findings=findings.to_bytes(),
                model="benchmark",
                report_sha256="0" * 64,
            )
        )
    db.session.commit()


def _counted() -> int:
    query = db.select(db.func.count()).where(Recording.state == RecordingState.COUNTED)
    counted: int = db.session.execute(query).scalar_one()
    db.session.rollback()
    return counted
