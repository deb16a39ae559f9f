"""What is checked before anything is sent."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import httpx
import pytest

from client import command_line, grants
from client.collector import Collector
from client.errors import (
    DoctorCodeMismatch,
    NotFound,
    NotLoggedIn,
    RangeRefused,
    Refused,
    Unreachable,
)
from client.grants import Doctor, normalised_code
from client.ranges import HealthyRange
from crypto.encoding import new_id
from crypto.jws import CollectorKey
from crypto.messages import Grant, GrantUse, Revocation
from tests.client.fake_servers import FakeServers, answer, problem


@pytest.mark.parametrize(
    "typed", ["ABCD-EFGH-IJKL-MN23", "abcdefghijklmn23", " abcd efgh\tijkl-mn23\n"]
)
def test_a_code_may_be_typed_as_one_likes(typed: str) -> None:
    assert normalised_code(typed) == "ABCD-EFGH-IJKL-MN23"


@pytest.mark.parametrize(
    "typed", ["", "ABCD-EFGH-IJKL", "ABCD-EFGH-IJKL-MN01", "ABCD/EFGH/IJKL/MN23", "É" * 16]
)
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(DoctorCodeMismatch, match="16 letters"):
        normalised_code(typed)


@pytest.mark.parametrize(
    ("lo", "hi", "threshold"),
    [(1_001, 1_000, 1), (-1, 1_000, 1), (0, 65_535, 1), (0, 65_536, 1), (0, 1, -1), (0, 1, 65_536)],
)
def test_a_range_that_makes_no_sense_is_refused(lo: int, hi: int, threshold: int) -> None:
    with pytest.raises(RangeRefused):
        HealthyRange(lo, hi, threshold)


@pytest.mark.parametrize(("lo", "hi"), [(0, 0), (0, 65_534), (65_534, 65_534)])
def test_the_widest_and_narrowest_ranges_pass(lo: int, hi: int) -> None:
    assert HealthyRange(lo, hi, 65_535).threshold == 65_535


def test_limits_do_not_show_in_messages() -> None:
    assert repr(HealthyRange(500, 1_000)) == "HealthyRange"


class GrantServers(FakeServers):
    """Both servers as they keep grants; `down` and `refuse` answer in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, set[str]] = {"B": set(), "A": set()}
        self.ended: set[str] = set()
        self.down: set[str] = set()
        self.refuse: dict[str, httpx.Response] = {}
        self.on["POST /v1/grants"] = lambda request: self._take("B", request)
        self.on["POST /api/consents"] = lambda request: self._take("A", request)
        self.on["POST /v1/revocations"] = lambda request: self._end("B", request)
        self.on["DELETE /api/consents"] = lambda request: self._end("A", request)

    def _take(self, server: str, request: httpx.Request) -> httpx.Response:
        self._check(server, request)
        if server in self.refuse:
            return self.refuse[server]
        grant = Grant.claimed(json.loads(request.content)["grant"]).grant
        if in_force := self.at[server] - {grant}:
            content = {"type": "urn:hushbeat:problem:grant-exists", "grant": in_force.pop()}
            return httpx.Response(409, json=content)
        if server == "B" and grant in self.ended:
            return problem(409, "grant-conflict")
        self.at[server].add(grant)
        return answer(201, grant=grant)

    def _end(self, server: str, request: httpx.Request) -> httpx.Response:
        self._check(server, request)
        grant = Revocation.claimed(json.loads(request.content)["revocation"]).grant
        if grant not in self.at[server] and (server == "A" or grant not in self.ended):
            return problem(404, "not-found")
        self.at[server].discard(grant)
        if server == "B":
            self.ended.add(grant)
            return answer(grant=grant)
        return httpx.Response(204)

    def _check(self, server: str, request: httpx.Request) -> None:
        if server in self.down:
            raise httpx.ConnectError("down", request=request)


class TestDelivery:
    """A grant or a revocation that reached one server reaches the other one, or is undone."""

    DOCTOR = Doctor(new_id(), "Dr Distant", CollectorKey.generate().thumbprint, GrantUse.COUNTS)

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(grants, "_RESEND_SECONDS", 0.0)

    @pytest.fixture
    def servers(self) -> GrantServers:
        return GrantServers()

    @pytest.fixture
    def collector(self, servers: GrantServers, tmp_path: Path) -> Collector:
        return servers.collector(tmp_path)

    @staticmethod
    def kept(collector: Collector) -> list[str]:
        return [kind for kind in ("grant", "revocation") if collector.profile.unconfirmed(kind)]

    def test_a_grant_reaches_both_and_nothing_is_kept(
        self, servers: GrantServers, collector: Collector
    ) -> None:
        given = grants.grant(collector, self.DOCTOR)
        assert servers.at == {"B": {given}, "A": {given}}
        grants.revoke(collector, given)
        assert servers.at == {"B": set(), "A": set()}
        assert self.kept(collector) == []

    @pytest.mark.parametrize("down", ["A", "B"])
    def test_a_grant_that_was_cut_off_is_finished_by_the_next_one(
        self, servers: GrantServers, collector: Collector, down: str
    ) -> None:
        servers.down = {down}
        with pytest.raises(Unreachable):
            grants.grant(collector, self.DOCTOR)
        assert self.kept(collector) == ["grant"]
        servers.down = set()
        given = grants.grant(collector, self.DOCTOR)
        assert servers.at == {"B": {given}, "A": {given}}
        assert self.kept(collector) == []

    def test_any_command_finishes_it(
        self, servers: GrantServers, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        servers.down = {"A"}
        with pytest.raises(Unreachable):
            grants.grant(collector, self.DOCTOR)
        servers.down = set()
        monkeypatch.setattr(command_line, "Collector", lambda _: collector)
        folder = collector.profile.folder.parent
        assert command_line.main(["--folder", str(folder), "--profile", "profile", "account"]) == 0
        assert servers.at["A"] == servers.at["B"] != set()

    def test_a_command_goes_on_though_it_cannot_be_finished(
        self,
        servers: GrantServers,
        collector: Collector,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        servers.down = {"A"}
        with pytest.raises(Unreachable):
            grants.grant(collector, self.DOCTOR)
        monkeypatch.setattr(command_line, "Collector", lambda _: collector)
        folder = collector.profile.folder.parent
        assert command_line.main(["--folder", str(folder), "--profile", "profile", "account"]) == 0
        assert "has not reached both servers yet" in capsys.readouterr().err
        assert self.kept(collector) == ["grant"]

    def test_what_the_aggregator_refuses_is_taken_back_at_the_key_holder(
        self, servers: GrantServers, collector: Collector
    ) -> None:
        servers.refuse["A"] = problem(404, "not-found")
        with pytest.raises(NotFound):
            grants.grant(collector, self.DOCTOR)
        assert servers.at == {"B": set(), "A": set()}
        assert self.kept(collector) == []

    def test_also_if_the_key_holder_was_away_by_then(
        self, servers: GrantServers, collector: Collector
    ) -> None:
        def refuse_and_break(_: httpx.Request) -> httpx.Response:
            servers.down = {"B"}
            return problem(404, "not-found")

        servers.on["POST /api/consents"] = refuse_and_break
        with pytest.raises(Unreachable):
            grants.grant(collector, self.DOCTOR)
        assert servers.at["B"]
        servers.down = set()
        servers.on["POST /api/consents"] = lambda _: problem(404, "not-found")
        assert grants.finish_unconfirmed(collector) > 0
        assert (servers.at["B"], self.kept(collector)) == (set(), [])

    def test_after_logging_in_again_it_goes_on(
        self, servers: GrantServers, collector: Collector
    ) -> None:
        servers.refuse["A"] = problem(401, "not-authenticated")
        with pytest.raises(NotLoggedIn):
            grants.grant(collector, self.DOCTOR)
        assert (len(servers.at["B"]), self.kept(collector)) == (1, ["grant"])
        del servers.refuse["A"]
        assert grants.finish_unconfirmed(collector) == 1
        assert servers.at["A"] == servers.at["B"]

    @pytest.mark.parametrize("also_at", ["B", "AB"])
    def test_a_grant_that_is_in_force_is_gone_on_with(
        self, servers: GrantServers, collector: Collector, also_at: str
    ) -> None:
        before = new_id()
        for server in also_at:
            servers.at[server].add(before)
        assert grants.grant(collector, self.DOCTOR) == before
        assert servers.at == {"B": {before}, "A": {before}}
        assert self.kept(collector) == []

    def test_the_key_holders_grant_replaces_another_one_of_the_aggregator(
        self, servers: GrantServers, collector: Collector
    ) -> None:
        servers.at["A"].add(new_id())
        given = grants.grant(collector, self.DOCTOR)
        assert servers.at == {"B": {given}, "A": {given}}

    @pytest.mark.parametrize("down", ["A", "B"])
    def test_a_revocation_that_was_cut_off_is_finished(
        self, servers: GrantServers, collector: Collector, down: str
    ) -> None:
        given = grants.grant(collector, self.DOCTOR)
        servers.down = {down}
        with pytest.raises(Unreachable):
            grants.revoke(collector, given)
        assert self.kept(collector) == ["revocation"]
        servers.down = set()
        assert grants.finish_unconfirmed(collector) == 1
        assert servers.at == {"B": set(), "A": set()}
        assert self.kept(collector) == []

    @pytest.mark.parametrize("only_at", ["A", "B"])
    def test_a_grant_that_only_one_server_has_can_be_taken_back(
        self, servers: GrantServers, collector: Collector, only_at: str
    ) -> None:
        stray = new_id()
        servers.at[only_at].add(stray)
        grants.revoke(collector, stray)
        assert servers.at[only_at] == set()
        with pytest.raises(NotFound):
            grants.revoke(collector, new_id())
        assert self.kept(collector) == []

    def test_what_is_refused_for_good_is_not_kept(
        self, servers: GrantServers, collector: Collector
    ) -> None:
        servers.refuse["B"] = problem(422, "unknown-doctor")
        with pytest.raises(Refused):
            grants.grant(collector, self.DOCTOR)
        assert self.kept(collector) == []

    def test_what_is_kept_is_private(self, servers: GrantServers, collector: Collector) -> None:
        servers.down = {"B"}
        with pytest.raises(Unreachable):
            grants.grant(collector, self.DOCTOR)
        folder = collector.profile.folder / "unconfirmed"
        (file,) = folder.iterdir()
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)]
        assert modes == [0o700, 0o600]
