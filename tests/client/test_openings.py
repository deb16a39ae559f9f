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

from client import command_line, ranges
from client.collector import Collector
from client.errors import BadAnswer, NotAllowed, RangeRefused, WindowEmpty
from client.openings import (
    Opened,
    Scope,
    days_with_recordings,
    open_each_day,
    open_patients,
    open_range_check,
    open_scopes,
)
from crypto.encoding import b64u, new_id, sha256_hex, unb64u
from crypto.errors import BadSignature, Expired, InvalidEncoding, OpeningMismatch, SealBroken
from crypto.hpke import blind_info, seal, value_info
from crypto.jws import SigningKey
from crypto.messages import Cell, RangeCheckStatement, Statement, TallyStatement
from crypto.opening import blind_tallies, commit_digest
from crypto.slots import rate_count_offset
from tests.client.fake_servers import PSEUDONYM, FakeServers, answer, problem

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
        self.recordings = {DAY: RECORDINGS}
        self.not_compared: set[str] = set()
        self.revoked: set[str] = set()
        self.more: dict[str, str] = {}
        self.digest_of_a = self.digest_of_b = bytes(range(32))
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
        if asked["kind"] == "range_check":
            return self._range_half(asked)
        cells = asked["cells"]
        key = self.paillier.public
        tally = key.encrypt(self.counts)
        held = [[tally for day in cell["days"] if day in self.recordings] for cell in cells]
        blinded, blind = blind_tallies(key, held)
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
                    days=tuple((day, self.recordings.get(day, 0)) for day in cell["days"]),
                )
                for cell in cells
            ),
        )
        return answer(
            statement=self.change(statement).sign(self.signer),
            ciphertext=b64u(self.ciphertext(blinded.to_wire())),
            sealed_blind=b64u(seal(recipient, blind_info(statement.jti), blind)),
        )

    def _range_half(self, asked: dict[str, Any]) -> httpx.Response:
        recipient = unb64u(asked["recipient"])
        statement = RangeCheckStatement(
            collector=PSEUDONYM,
            thumbprint=self._thumbprint,
            recipient=recipient,
            key_id=self.paillier.public.key_id,
            jti=new_id(),
            iat=int(time.time()),
            exp=int(time.time()) + 300,
            range=asked["range"],
            pseudonym=new_id(),
        )
        commitment = commit_digest(self.digest_of_a)
        return answer(
            statement=self.change(statement).sign(self.signer),
            sealed_blind=b64u(seal(recipient, blind_info(statement.jti), commitment)),
            **self.more,
        )

    def _other_half(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        statement = Statement.claimed(sent["statement"])
        if isinstance(statement, RangeCheckStatement):
            assert set(sent) == {"statement", "opening"}
            info = value_info(statement.jti)
            return answer(sealed_value=b64u(seal(statement.recipient, info, self.digest_of_b)))
        assert isinstance(statement, TallyStatement)
        if denied := {cell.pseudonym for cell in statement.cells} & self.revoked:
            return problem(403, "not-granted", pseudonym=min(denied))
        if {day for cell in statement.cells for day, _ in cell.days} & self.not_compared:
            return problem(422, "not-served")
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
        for name in ("collector", "thumbprint", "recipient", "key_id")
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
    [(RECORDINGS + 1, 0), (0, RECORDINGS + 1), (1 << 24, 0), (1 << 48, 0), (0, 1 << 24)],
)
def test_more_findings_than_recordings_are_refused(
    servers: OpeningServers, collector: Collector, sound: int, rate: int
) -> None:
    servers.counts = servers.packed(sound, rate)
    with pytest.raises(OpeningMismatch):
        open_scopes(collector, SCOPE)


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


def days_back(number: int) -> tuple[str, ...]:
    """So many days until the one with recordings, oldest first."""
    last = date.fromisoformat(DAY)
    return tuple((last - timedelta(days=back)).isoformat() for back in reversed(range(number)))


def asked_days(servers: OpeningServers) -> list[list[int]]:
    """How many days of each cell were asked for, request by request."""
    return [
        [len(cell["days"]) for cell in json.loads(request.content)["cells"]]
        for request in servers.requests
        if request.url.path == "/api/openings"
    ]


def test_a_cell_that_is_too_long_for_a_statement_is_opened_in_parts(
    servers: OpeningServers, collector: Collector
) -> None:
    days = days_back(9_001)
    servers.recordings = {days[0]: 2, DAY: RECORDINGS}
    servers.counts = servers.packed(1, 2)
    assert open_scopes(collector, [Scope(PSEUDONYM, days)]) == [
        Opened(PSEUDONYM, days, 2 + RECORDINGS, 2, 4)
    ]
    assert asked_days(servers) == [[2_250], [2_250], [2_250], [2_251]]


def test_the_longest_cell_is_opened_at_once(servers: OpeningServers, collector: Collector) -> None:
    open_scopes(collector, [Scope(PSEUDONYM, days_back(4_096))])
    assert asked_days(servers) == [[4_096]]


def test_only_what_was_not_compared_stays_closed(
    servers: OpeningServers, collector: Collector
) -> None:
    days = days_back(7)
    servers.recordings = dict.fromkeys(days, RECORDINGS)
    servers.not_compared = {days[2]}
    other = Scope(new_id(), days[3:])
    (opened, whole) = open_scopes(collector, [Scope(PSEUDONYM, days), other])
    left = days[:2] + days[3:]
    assert (opened.days, opened.closed) == (left, (days[2],))
    assert (opened.recordings, opened.sound, opened.rate) == (6 * RECORDINGS, 6 * SOUND, 6 * RATE)
    assert (whole.pseudonym, whole.days, whole.closed) == (other.pseudonym, days[3:], ())
    assert (whole.recordings, whole.sound) == (4 * RECORDINGS, 4 * SOUND)


def test_the_key_holder_is_not_asked_for_ever(
    servers: OpeningServers, collector: Collector
) -> None:
    days = days_back(200)
    servers.recordings = dict.fromkeys(days, RECORDINGS)
    servers.not_compared = set(days)
    scopes = [Scope(PSEUDONYM, (day,)) for day in days]
    opened = open_scopes(collector, scopes)
    assert [(one.days, one.closed, one.recordings) for one in opened] == [
        ((), (day,), 0) for day in days
    ]
    groups = -(-len(days) // 21)  # cells under a key of 1024 bits; each is asked for once at least
    assert servers.openings() <= 32 + groups


def test_who_took_the_consent_back_closes_nobody_else(
    servers: OpeningServers, collector: Collector
) -> None:
    """The key holder may know of it before the aggregator does."""
    gone, other, last = (Scope(new_id(), (DAY,)) for _ in range(3))
    servers.revoked = {gone.pseudonym, last.pseudonym}
    opened = open_scopes(collector, [gone, other, last])
    assert [(one.pseudonym, one.closed, one.denied) for one in opened] == [
        (gone.pseudonym, (DAY,), True),
        (other.pseudonym, (), False),
        (last.pseudonym, (DAY,), True),
    ]
    assert (opened[1].recordings, opened[1].sound, opened[1].rate) == (RECORDINGS, SOUND, RATE)


def test_another_refusal_is_no_closed_day(servers: OpeningServers, collector: Collector) -> None:
    servers.on["POST /v1/openings"] = lambda _: problem(403, "not-granted")
    with pytest.raises(NotAllowed):
        open_scopes(collector, SCOPE)
    assert servers.openings() == 1


def test_the_command_line_says_what_stays_closed(
    servers: OpeningServers,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, day = days_back(2)
    servers.recordings = {before: RECORDINGS, day: RECORDINGS}
    servers.not_compared = {before}
    servers.on["GET /api/tallies"] = lambda _: answer(days=[[d, RECORDINGS] for d in (before, day)])
    collector = servers.connect(tmp_path)
    assert [one.closed for one in open_each_day(collector, date.min, date.max)] == [(before,), ()]
    monkeypatch.setattr(command_line, "Collector", lambda _: collector)
    assert command_line.main(["--folder", str(tmp_path), "--profile", "profile", "counts"]) == 0
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()[1:]] == [
        [before, "?", "?", "?"],
        [day, "5", "3", "1"],
        ["total", "5", "3", "1"],
    ]
    assert said.err.startswith("1 day cannot be opened now")


class TestRangeCheck:
    """Both servers' digests of a range meet at its doctor."""

    def test_equal_digests_are_a_valid_range(
        self, servers: OpeningServers, collector: Collector
    ) -> None:
        assert open_range_check(collector, new_id()) == servers.digest_of_b

    def test_others_are_not(self, servers: OpeningServers, collector: Collector) -> None:
        servers.digest_of_b = bytes(32)
        assert open_range_check(collector, new_id()) is None

    @pytest.mark.parametrize("length", [0, 31, 33, 128])
    def test_a_digest_of_another_length_is_refused(
        self, servers: OpeningServers, collector: Collector, length: int
    ) -> None:
        servers.digest_of_b = bytes(length)
        with pytest.raises(InvalidEncoding):
            open_range_check(collector, new_id())

    @pytest.mark.parametrize("name", ["range", "collector", "thumbprint"])
    def test_a_statement_about_something_else_goes_nowhere(
        self, servers: OpeningServers, collector: Collector, name: str
    ) -> None:
        other = "A" * 43 if name == "thumbprint" else new_id()
        servers.change = lambda s: replace(s, **{name: other})
        with pytest.raises(BadAnswer):
            open_range_check(collector, new_id())
        assert servers.openings() == 0

    def test_it_comes_without_a_ciphertext(
        self, servers: OpeningServers, collector: Collector
    ) -> None:
        servers.more = {"ciphertext": "AAAA"}
        with pytest.raises(BadAnswer):
            open_range_check(collector, new_id())
        assert servers.openings() == 0

    @pytest.mark.parametrize("valid", [True, False])
    def test_a_range_is_decided_by_what_both_say(
        self, servers: OpeningServers, collector: Collector, valid: bool
    ) -> None:
        decided: list[Any] = []

        def decide(request: httpx.Request) -> httpx.Response:
            decided.append(json.loads(request.content))
            return answer(state="active" if decided[-1]["accept"] else "refused")

        range_id = new_id()
        servers.on[f"POST /api/ranges/{range_id}/decision"] = decide
        servers.digest_of_b = servers.digest_of_a if valid else bytes(32)
        digest = open_range_check(collector, range_id)
        assert ranges.decide(collector, range_id, digest) == ("active" if valid else "refused")
        accepted = {"accept": True, "digest": b64u(servers.digest_of_a)}
        assert decided == [accepted if valid else {"accept": False}]

    def test_a_range_that_the_servers_refuse_is_refused(
        self, servers: OpeningServers, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that could not be compared at all is REFUSED before anybody opens its check."""
        range_id = new_id()
        monkeypatch.setattr(ranges, "propose", lambda *_: range_id)
        servers.on[f"GET /api/ranges/{range_id}"] = lambda _: answer(state="refused")
        with pytest.raises(RangeRefused, match="out of order or out of range"):
            ranges.set_range(collector, PSEUDONYM, ranges.HealthyRange(500, 1_000))
        assert servers.openings() == 0


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
