"""What an opening costs both servers: client, HTTP, signatures, seals, databases, decryption.

The tallies are put into both databases as counting leaves them; then collectors open them through
the Python client. CPU time of both web roles' processes, by their own clocks.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from app.aggregator.tables import Tally, db
from app.keyholder.tables import ServedTally
from benchmarks.report import Figure, figure
from benchmarks.running import Running
from client.collector import Collector
from client.openings import Scope, open_scopes
from client.profile import Profile
from crypto.slots import max_cells, rate_count_offset

WARM_UP = 20
"""Both roles make their tables by then."""

RUNS = 30
DAYS = tuple(f"2026-01-{day:02}" for day in range(1, 31))
FEW, MANY = 10, 100_000
LISTED_PATIENTS = 60


@dataclass(frozen=True)
class Openings:
    """Milliseconds of CPU of both servers together, each opening of 30 days and two findings."""

    few: Figure
    many: Figure
    a_side: Figure
    b_side: Figure
    decryptions_for_list: int

    @property
    def figures(self) -> list[Figure]:
        return [self.few, self.many, self.a_side, self.b_side]


def measure(scene: Running) -> Openings:
    """Openings of one patient with 10 and of one with 100,000 recordings, in turns."""
    collectors = {total: _patient(scene, total) for total in (FEW, MANY)}
    spent: dict[int, list[tuple[float, float]]] = {FEW: [], MANY: []}
    for run in range(WARM_UP + RUNS):
        for total, collector in collectors.items():
            a, b = scene.cpu("aggregator"), scene.cpu("keyholder")
            opened = open_scopes(collector, [Scope(collector.pseudonym, (day,)) for day in DAYS])
            used = 1_000 * (scene.cpu("aggregator") - a), 1_000 * (scene.cpu("keyholder") - b)
            if sum(one.recordings for one in opened) != total:
                raise SystemExit("an opening shows other recordings than were put there")
            if run >= WARM_UP:
                spent[total].append(used)
    for collector in collectors.values():
        collector.close()
    few, many = spent[FEW], spent[MANY]
    cells = max_cells(scene.keys.paillier.public.bits)
    return Openings(
        few=figure(f"opening of 30 days, {FEW} recordings", "ms CPU", [a + b for a, b in few]),
        many=figure(f"opening of 30 days, {MANY:,} recordings", "ms CPU", [a + b for a, b in many]),
        a_side=figure("of that at A", "ms CPU", [a for a, _ in many]),
        b_side=figure("of that at B", "ms CPU", [b for _, b in many]),
        decryptions_for_list=-(-LISTED_PATIENTS // cells),
    )


def _patient(scene: Running, recordings: int) -> Collector:
    """A patient whose recordings are spread over all the days."""
    collector = Collector.register(
        Profile(scene.folder / f"patient-{recordings}"),
        scene.system.keyholder_url,
        scene.fingerprint,
        secrets.token_urlsafe(18),
        display_name="Benchmark",
        kind="patient",
        age_band="adult",
    )
    pseudonym, key = collector.pseudonym, scene.keys.paillier.public
    served = []
    for number, day in enumerate(DAYS):
        held = recordings * (number + 1) // len(DAYS) - recordings * number // len(DAYS)
        counts = held // 2 + (held // 3 << rate_count_offset(key.bits))
        mask = scene.keys.masks.total(key, pseudonym, day, held)
        ciphertext = key.encrypt((counts + mask) % key.n).to_bytes()
        row = {"pseudonym": pseudonym, "day": day, "key_id": key.key_id}
        served.append(row | {"served": held})
        with scene.aggregator.app_context():
            db.session.add(Tally(**row, recordings=held, ciphertext=ciphertext))
            db.session.commit()
    scene.insert_at_keyholder(ServedTally, served)
    return collector
