"""A patient of the system under test, whose outcome is held against the oracle."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from app.common.database import driver_url
from client.collector import Collector
from client.openings import open_each_day
from client.profile import Profile
from client.uploading import Progress, upload, wait_until_finished
from deploy.local.system import LocalSystem
from tests.system.samples import BOTH, RATE_ONLY, SOUND_ONLY, Sample, counted

TODAY = date(2026, 3, 1)
PASSWORD = "a long enough password"
MIXED = (BOTH, SOUND_ONLY, RATE_ONLY)


def collector(system: LocalSystem, kind: str = "patient") -> Collector:
    """A new account with its own keys."""
    return Collector.register(
        Profile(Path(tempfile.mkdtemp(prefix="hushbeat-profile-"))),
        system.keyholder_url,
        (system.home / "public" / "keyholder-fingerprint").read_text().strip(),
        PASSWORD,
        display_name="Test",
        kind=kind,
        age_band="adult" if kind == "patient" else None,
    )


def mixed(number: int) -> list[Sample]:
    """`number` different recordings, by turns of the three kinds."""
    return [counted(MIXED[i % 3], i // 3) for i in range(number)]


@dataclass
class Ward:
    """One patient, and what was uploaded on which day."""

    system: LocalSystem
    collector: Collector
    uploaded: dict[str, tuple[Sample, date]] = field(default_factory=dict)

    @classmethod
    def open(cls, system: LocalSystem) -> Ward:
        return cls(system, collector(system))

    def upload(self, samples: Sequence[Sample], day: date = TODAY) -> list[str]:
        ids = []
        for sample in samples:
            recording = upload(self.collector, sample.data, day)
            self.uploaded[recording] = (sample, day)
            ids.append(recording)
        return ids

    def wait(self, seconds: float = 90.0) -> list[Progress]:
        return wait_until_finished(self.collector, list(self.uploaded), seconds)

    def check(self, seconds: float = 90.0) -> None:
        """Wait for the end and hold everything against the oracle."""
        self.check_ends(self.wait(seconds))
        self.check_counts()
        self.check_rows()

    def check_ends(self, ends: Sequence[Progress]) -> None:
        """Every recording ended as its sample must."""
        expected = {r: (sample.state, sample.reason) for r, (sample, _) in self.uploaded.items()}
        assert {e.recording: (e.state.value, e.reason) for e in ends} == expected

    def check_counts(self) -> None:
        """The opened tallies are the sums of the oracle's bits, day by day."""
        expected: dict[str, tuple[int, int, int]] = {}
        for sample, day in self.uploaded.values():
            if sample.bits:
                n, sound, rate = expected.get(day.isoformat(), (0, 0, 0))
                expected[day.isoformat()] = (n + 1, sound + sample.bits[0], rate + sample.bits[1])
        opened = open_each_day(self.collector, date(2026, 1, 1), date(2026, 12, 31))
        assert {one.days[0]: (one.recordings, one.sound, one.rate) for one in opened} == expected

    def check_rows(self) -> None:
        """No ciphertext is kept, and every counted recording has a number of its own."""
        left = self.rows(
            "SELECT count(*) FROM recordings WHERE state IN ('counted', 'unreadable', 'failed')"
            " AND (findings IS NOT NULL OR lease IS NOT NULL)"
            " AND pseudonym = :pseudonym"
        )
        assert left == [(0,)]
        numbers = self.rows(
            "SELECT day, number FROM comparisons WHERE pseudonym = :pseudonym ORDER BY day, number"
        )
        days = sorted({day.isoformat() for sample, day in self.uploaded.values() if sample.bits})
        assert numbers == [
            (day, number)
            for day in days
            for number in range(
                1, 1 + sum(bool(s.bits) and d.isoformat() == day for s, d in self.uploaded.values())
            )
        ]
        under_way = self.rows(
            "SELECT count(*) FROM comparisons c LEFT JOIN comparison_batches b"
            " ON b.session = c.session AND b.number = c.batch WHERE c.pseudonym = :pseudonym"
            " AND (c.session IS NULL OR b.request IS NOT NULL OR NOT b.settled)"
        )
        assert under_way == [(0,)]

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """A look into role A's database."""
        home = self.system.home
        url = self.system.environment_of("aggregator").get(
            "DATABASE_URL", f"sqlite:///{home / 'aggregator' / 'aggregator.sqlite3'}"
        )
        engine = create_engine(driver_url(url), poolclass=NullPool)
        with engine.connect() as connection:
            found = connection.execute(
                text(statement), {"pseudonym": self.collector.pseudonym}
            ).all()
        engine.dispose()
        return [tuple(row) for row in found]
