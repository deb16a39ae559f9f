"""What the client checks of both halves of an opening, with servers that lie."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import command_line
from client.collector import Collector
from client.errors import BadAnswer, WindowEmpty
from client.openings import Scope, days_with_recordings, open_patients, open_scopes
from crypto.encoding import b64u, new_id, sha256_hex, unb64u
from crypto.errors import BadSignature, Expired, OpeningMismatch, SealBroken
from crypto.hpke import blind_info, seal, value_info
from crypto.jws import SigningKey
from crypto.messages import Cell, RangeCheckStatement, Statement, TallyStatement
from crypto.opening import blind_tallies
from crypto.slots import rate_count_offset
from tests.client.fake_servers import PSEUDONYM, FakeServers, answer

DAY = "2026-03-14"
RECORDINGS, SOUND, RATE = 5, 3, 1
SCOPE = [Scope(PSEUDONYM, (DAY,))]

Change = Callable[[Any], Statement]


class OpeningServers(FakeServers):
    """Both halves as an honest A and B would answer, but for what a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.change: Change = lambda statement: statement
        self.signer = self.statement_key
        self.ciphertext: Callable[[bytes], bytes] = lambda ciphertext: ciphertext
        self.counts = self.packed(SOUND, RATE)
        self.value_jti: str | None = None
        self.on["POST /api/openings"] = self._first_half
        self.on["POST /v1/openings"] = self._other_half

    def packed(self, sound: int, rate: int) -> int:
        """The counts of a tally, laid out for this key."""
        return sound + (rate << rate_count_offset(self.paillier.public.bits))

    def connect(self, folder: Path) -> Collector:
        collector = self.collector(folder)
        self._thumbprint = collector.identity.key.thumbprint
        return collector

    def openings(self) -> int:
        return sum(request.url.path == "/v1/openings" for request in self.requests)

    def _first_half(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        cells = asked["cells"]
        key = self.paillier.public
        tally = key.encrypt(self.counts)
        blinded, blind = blind_tallies(key, [[tally] for _ in cells])
        recipient = unb64u(asked["recipient"])
        statement = TallyStatement(
            collector=PSEUDONYM,
            thumbprint=self._thumbprint,
            recipient=recipient,
            key_id=key.key_id,
            ciphertext_sha256=sha256_hex(blinded.to_wire()),
            jti=new_id(),
            iat=int(time.time()),
            exp=int(time.time()) + 300,
            cells=tuple(
                Cell(
                    pseudonym=cell["pseudonym"],
                    days=tuple((day, RECORDINGS * (day == DAY)) for day in cell["days"]),
                )
                for cell in cells
            ),
        )
        return answer(
            statement=self.change(statement).sign(self.signer),
            ciphertext=b64u(self.ciphertext(blinded.to_wire())),
            sealed_blind=b64u(seal(recipient, blind_info(statement.jti), blind)),
        )

    def _other_half(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        statement = Statement.claimed(sent["statement"])
        number = self.paillier.decrypt(self.paillier.public.parse(unb64u(sent["ciphertext"])))
        value = number.to_bytes(self.paillier.public.plaintext_bytes, "big")
        info = value_info(self.value_jti or statement.jti)
        return answer(sealed_value=b64u(seal(statement.recipient, info, value)))


@pytest.fixture
def servers() -> OpeningServers:
    return OpeningServers()


@pytest.fixture
def collector(servers: OpeningServers, tmp_path: Path) -> Collector:
    return servers.connect(tmp_path)


def test_honest_halves_open(collector: Collector) -> None:
    (opened,) = open_scopes(collector, SCOPE)
    assert (opened.recordings, opened.sound, opened.rate) == (RECORDINGS, SOUND, RATE)
    assert repr(opened) == "Opened"


def _other_kind(statement: TallyStatement) -> Statement:
    fields = {
        name: getattr(statement, name)
        for name in ("collector", "thumbprint", "recipient", "key_id", "ciphertext_sha256")
    }
    times = {name: getattr(statement, name) for name in ("jti", "iat", "exp")}
    return RangeCheckStatement(range=new_id(), pseudonym=PSEUDONYM, **fields, **times)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, collector=new_id()),
        lambda s: replace(s, thumbprint="A" * 43),
        lambda s: replace(s, recipient=SigningKey.generate().to_bytes()),
        lambda s: replace(s, ciphertext_sha256="0" * 64),
        lambda s: replace(s, key_id="0" * 64),
    ],
    ids=["collector", "key", "recipient", "ciphertext", "Paillier key"],
)
def test_a_statement_for_somebody_else_goes_nowhere(
    servers: OpeningServers, collector: Collector, change: Change
) -> None:
    servers.change = change
    with pytest.raises(BadAnswer):
        open_scopes(collector, SCOPE)
    assert servers.openings() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, cells=(replace(s.cells[0], pseudonym=new_id()),)),
        lambda s: replace(s, cells=(replace(s.cells[0], days=(("2026-03-13", 5),)),)),
        lambda s: replace(s, cells=(replace(s.cells[0], days=((DAY, 5), ("2026-03-13", 5))),)),
        lambda s: replace(s, cells=(*s.cells, Cell(pseudonym=new_id(), days=((DAY, 1),)))),
        _other_kind,
    ],
    ids=["patient", "day", "more days", "more patients", "kind"],
)
def test_a_statement_about_something_else_is_refused(
    servers: OpeningServers, collector: Collector, change: Change
) -> None:
    servers.change = change
    with pytest.raises(BadAnswer, match="something else than was asked for"):
        open_scopes(collector, SCOPE)
    assert servers.openings() == 0


def test_a_statement_of_another_signer_is_refused(
    servers: OpeningServers, collector: Collector
) -> None:
    servers.signer = SigningKey.generate()
    with pytest.raises(BadSignature):
        open_scopes(collector, SCOPE)
    assert servers.openings() == 0


def test_an_old_statement_is_refused(servers: OpeningServers, collector: Collector) -> None:
    servers.change = lambda s: replace(s, iat=s.iat - 1_000, exp=s.exp - 1_000)
    with pytest.raises(Expired):
        open_scopes(collector, SCOPE)


def test_another_ciphertext_than_stated_is_refused(
    servers: OpeningServers, collector: Collector
) -> None:
    servers.ciphertext = lambda _: servers.paillier.public.encrypt(0).to_wire()
    with pytest.raises(BadAnswer):
        open_scopes(collector, SCOPE)


def test_a_value_sealed_for_another_opening_is_refused(
    servers: OpeningServers, collector: Collector
) -> None:
    servers.value_jti = new_id()
    with pytest.raises(SealBroken):
        open_scopes(collector, SCOPE)


@pytest.mark.parametrize(
    ("sound", "rate"),
    [(RECORDINGS + 1, 0), (0, 2 * RECORDINGS + 1), (1 << 24, 0), (1 << 48, 0), (0, 1 << 24)],
)
def test_more_findings_than_recordings_are_refused(
    servers: OpeningServers, collector: Collector, sound: int, rate: int
) -> None:
    servers.counts = servers.packed(sound, rate)
    with pytest.raises(OpeningMismatch):
        open_scopes(collector, SCOPE)


@pytest.mark.parametrize(
    ("rate", "inconsistent"), [(RECORDINGS, False), (RECORDINGS + 1, True), (2 * RECORDINGS, True)]
)
def test_a_rate_above_the_recordings_shows_a_range_that_was_inconsistent(
    servers: OpeningServers, collector: Collector, rate: int, inconsistent: bool
) -> None:
    servers.counts = servers.packed(SOUND, rate)
    (opened,) = open_scopes(collector, SCOPE)
    assert (opened.sound, opened.rate, opened.range_inconsistent) == (SOUND, rate, inconsistent)


@pytest.mark.parametrize("rate", [RECORDINGS, 2 * RECORDINGS])
def test_the_command_line_says_that_a_range_was_inconsistent(
    servers: OpeningServers,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rate: int,
) -> None:
    servers.counts = servers.packed(SOUND, rate)
    servers.on["GET /api/tallies"] = lambda _: answer(days=[[DAY, RECORDINGS]])
    collector = servers.connect(tmp_path)
    monkeypatch.setattr(command_line, "Collector", lambda _: collector)
    assert command_line.main(["--folder", str(tmp_path), "--profile", "profile", "counts"]) == 0
    said = capsys.readouterr()
    day, total = (line.split() for line in said.out.splitlines()[1:])
    if rate > RECORDINGS:
        assert "lower limit above the upper one" in said.err
        assert (day[1:], total[1:]) == (["5", "3", "?"], ["5", "3", "0"])
    else:
        assert said.err == ""
        assert day[1:] == total[1:] == ["5", "3", "5"]


def test_a_long_list_is_opened_in_parts_and_in_order(
    servers: OpeningServers, collector: Collector
) -> None:
    names = [f"{number:032x}" for number in range(50)]
    week = date(2026, 3, 10), date(2026, 3, 16)
    opened = open_patients(collector, names, *week)
    assert list(opened) == names
    assert {(one.recordings, one.sound, one.rate) for one in opened.values()} == {
        (RECORDINGS, SOUND, RATE)
    }
    assert servers.openings() == 3  # 21 cells under a key of 1024 bits


def test_a_long_window_stays_below_what_a_server_reads(
    servers: OpeningServers, collector: Collector
) -> None:
    names = [f"{number:032x}" for number in range(12)]
    last = date(2026, 3, 16)
    open_patients(collector, names, last - timedelta(days=1_999), last)
    assert servers.openings() == 2
    asked = [len(r.content) for r in servers.requests if r.url.path == "/api/openings"]
    assert max(asked) < 256 << 10


def test_an_empty_list_asks_nobody(servers: OpeningServers, collector: Collector) -> None:
    assert open_patients(collector, [], date(2026, 3, 1), date(2026, 3, 2)) == {}
    assert servers.openings() == 0


def test_a_window_that_ends_before_it_begins(collector: Collector) -> None:
    with pytest.raises(WindowEmpty):
        open_patients(collector, [PSEUDONYM], date(2026, 3, 2), date(2026, 3, 1))


@pytest.mark.parametrize("rows", [[1], [["2026-03-32", 1]], [[DAY, "1"]], [[DAY, True]], {}])
def test_a_list_of_days_that_makes_no_sense_is_refused(
    servers: OpeningServers, collector: Collector, rows: object
) -> None:
    servers.on["GET /api/tallies"] = lambda _: answer(days=rows)
    with pytest.raises(BadAnswer):
        days_with_recordings(collector, date(2026, 3, 1), date(2026, 3, 31))
