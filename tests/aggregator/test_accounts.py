"""Registering, tokens, collector keys."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from app.aggregator.accounts import service, throttle
from app.aggregator.tables import Account, ApiToken, db
from crypto.jws import CollectorKey, SigningKey, doctor_code
from crypto.messages import Enrolment
from tests.aggregator.cast import PASSWORD, Browser, Caller, Cast


def registration(**changes: Any) -> dict[str, Any]:
    return {"display_name": "Pätient A", "password": PASSWORD, "kind": "patient"} | changes


def test_registering_logging_in_and_asking_who_one_is(app: Flask) -> None:
    caller = Caller(app, None, "")
    answer = caller.post("/api/accounts", registration(age_band="infant"))
    assert answer.status_code == 201
    login = answer.get_json()["login"]
    assert re.fullmatch(r"patient-a-\d{5}", login)
    issued = caller.post("/api/tokens", {"login": login, "password": PASSWORD})
    assert issued.status_code == 201
    assert issued.get_json()["expires_at"] > time.time() + 3600
    caller.token = issued.get_json()["token"]
    account = caller.get("/api/account").get_json()
    assert account | {"collector": ""} == {
        "login": login,
        "display_name": "Pätient A",
        "kind": "patient",
        "collector": "",
        "enrolled": False,
        "thumbprint": None,
    }
    with app.app_context():
        row = db.session.scalar(select(Account).where(Account.login == login))
        assert row is not None
        assert row.age_band == "infant"
        assert PASSWORD not in row.password_hash


def test_the_same_name_is_never_taken(app: Flask) -> None:
    caller = Caller(app, None, "")
    logins = {caller.post("/api/accounts", registration()).get_json()["login"] for _ in range(3)}
    assert len(logins) == 3


def test_a_drawn_login_that_is_taken_is_drawn_again(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([7, 7, 7, 8])
    monkeypatch.setattr(service.secrets, "randbelow", lambda _: next(drawn))
    caller = Caller(app, None, "")
    logins = [caller.post("/api/accounts", registration()).get_json()["login"] for _ in range(2)]
    assert logins == ["patient-a-00007", "patient-a-00008"]


def test_a_crowded_name_gets_more_digits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every login of five and six digits were taken."""
    monkeypatch.setattr(service.secrets, "randbelow", lambda below: 7 if below <= 10**6 else 8)
    caller = Caller(app, None, "")
    answers = [
        caller.post("/api/accounts", registration(display_name="Some Name")) for _ in range(3)
    ]
    assert [answer.get_json()["login"] for answer in answers] == [
        "some-name-00007",
        "some-name-000007",
        "some-name-0000008",
    ]
    password = {"password": PASSWORD}
    for answer in answers:
        assert caller.post("/api/tokens", answer.get_json() | password).status_code == 201


def test_no_free_login_is_no_failure_of_the_server(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.secrets, "randbelow", lambda _: 7)
    caller = Caller(app, None, "")
    answers = [caller.post("/api/accounts", registration()) for _ in range(9)]
    assert [answer.status_code for answer in answers] == [201] * 8 + [503]
    assert answers[-1].get_json()["type"] == "urn:hushbeat:problem:logins-crowded"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("李雷", "patient"), ("  A--b  ", "a-b"), ("x" * 80, "x" * 40), ("'; --", "patient")],
)
def test_any_name_makes_a_plain_login(app: Flask, name: str, slug: str) -> None:
    login = Caller(app, None, "").post("/api/accounts", registration(display_name=name))
    assert re.fullmatch(rf"{slug}-\d{{5}}", login.get_json()["login"])


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"display_name": ""}, 422, "bad-display-name"),
        ({"display_name": "  "}, 422, "bad-display-name"),
        ({"display_name": "x" * 81}, 422, "bad-display-name"),
        ({"display_name": "a\u202eb"}, 422, "bad-display-name"),
        ({"password": "short"}, 422, "weak-password"),
        ({"password": "x" * 257}, 422, "weak-password"),
        ({"age_band": "old"}, 422, "unknown-age-band"),
        ({"kind": "operator"}, 400, "invalid-request"),
        ({"kind": "admin"}, 400, "invalid-request"),
        ({"kind": None}, 400, "invalid-request"),
        ({"display_name": 5}, 400, "invalid-request"),
        ({"display_name": "a\x00b"}, 400, "invalid-request"),
        ({"extra": 1}, 400, "invalid-request"),
    ],
)
def test_a_bad_registration_makes_nothing(
    app: Flask, change: dict[str, Any], status: int, slug: str
) -> None:
    answer = Caller(app, None, "").post("/api/accounts", registration(**change))
    assert answer.status_code == status
    assert answer.get_json()["type"] == f"urn:hushbeat:problem:{slug}"
    with app.app_context():
        assert db.session.scalar(select(Account)) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(app: Flask, body: bytes) -> None:
    client = app.test_client()
    for path in ("/api/accounts", "/api/tokens"):
        answer = client.post(path, data=body, content_type="application/json")
        assert answer.status_code == 400
        assert client.post(path, data={"login": "x"}).status_code == 400


def test_a_body_that_is_too_large(app: Flask) -> None:
    answer = app.test_client().post(
        "/api/tokens", data=b"x" * 300_000, content_type="application/json"
    )
    assert answer.status_code == 413


def test_an_unknown_login_and_a_wrong_password_look_the_same(app: Flask, cast: Cast) -> None:
    wrong = [
        {"login": cast.patient.login, "password": "wrong" * 4},
        {"login": "nobody-12345", "password": PASSWORD},
        {"login": "x" * 1_000, "password": "y" * 10_000},
        {"login": "", "password": ""},
    ]
    answers = [cast.stranger.post("/api/tokens", body) for body in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_an_unknown_login_takes_a_hash_as_well(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    hasher = service._hasher

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            verified.append(stored)
            return hasher.verify(stored, password)

        def check_needs_rehash(self, _stored: str) -> bool:
            return False

    monkeypatch.setattr(service, "_hasher", Counting())
    for login in (cast.patient.login, "nobody-12345"):
        cast.stranger.post("/api/tokens", {"login": login, "password": "wrong" * 4})
    assert len(verified) == 2
    assert all(stored.startswith("$argon2id$") for stored in verified)


def test_an_old_hash_is_renewed_at_login(app: Flask, cast: Cast) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD)
    with app.app_context():
        db.session.execute(update(Account).values(password_hash=weak))
        db.session.commit()
    body = {"login": cast.patient.login, "password": PASSWORD}
    assert cast.stranger.post("/api/tokens", body).status_code == 201
    with app.app_context():
        assert cast.patient.account().password_hash != weak
    assert cast.stranger.post("/api/tokens", body).status_code == 201


def test_tokens_are_kept_as_hashes_and_end(app: Flask, cast: Cast) -> None:
    with app.app_context():
        for row in db.session.scalars(select(ApiToken)):
            assert cast.patient.token != row.token_hash
        db.session.execute(update(ApiToken).values(expires_at=int(time.time())))
        db.session.commit()
    assert cast.patient.get("/api/account").status_code == 401


def test_a_token_ends_itself_and_no_other(app: Flask, cast: Cast) -> None:
    with app.app_context():
        other = service.issue_token(cast.patient.account()).token
    assert cast.stranger.call("DELETE", "/api/tokens").status_code == 401
    assert cast.patient.call("DELETE", "/api/tokens").status_code == 204
    assert cast.patient.get("/api/account").status_code == 401
    assert cast.patient.call("DELETE", "/api/tokens").status_code == 401
    assert cast.colleague.get("/api/account").status_code == 200
    cast.patient.token = other
    assert cast.patient.get("/api/account").status_code == 200


def test_a_session_has_no_token_to_end(app: Flask, cast: Cast) -> None:
    browser = Browser(app, cast.patient.id)
    answer = browser.client.delete("/api/tokens", headers={"X-CSRFToken": browser.csrf})
    assert answer.status_code == 400
    assert browser.client.delete("/api/tokens").status_code == 400
    assert cast.patient.get("/api/account").status_code == 200


def test_logging_out_of_pages_leaves_programs_logged_in(app: Flask, cast: Cast) -> None:
    browser = Browser(app, cast.patient.id)
    browser.client.post("/logout", data={"csrf_token": browser.csrf})
    assert cast.patient.get("/api/account").status_code == 200


NEW_PASSWORD = "another quiet beat"


def changed(browser: Browser, **fields: str) -> TestResponse:
    filled = {"present": PASSWORD, "password": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    sent = filled | {"csrf_token": browser.csrf} | fields
    return browser.client.post("/account", data=sent)


def test_another_password_ends_what_the_old_one_began(app: Flask, cast: Cast) -> None:
    browser, elsewhere = Browser(app, cast.patient.id), Browser(app, cast.patient.id)
    colleague = Browser(app, cast.colleague.id)
    answer = changed(browser)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/account")
    assert browser.client.get("/api/account").status_code == 200, "this browser stays logged in"
    assert elsewhere.client.get("/api/account").status_code == 401
    assert cast.patient.get("/api/account").status_code == 401, "its tokens end"
    for caller in (cast.colleague, colleague.client):
        assert caller.get("/api/account").status_code == 200
    for password, status in ((PASSWORD, 401), (NEW_PASSWORD, 201)):
        body = {"login": cast.patient.login, "password": password}
        assert cast.stranger.post("/api/tokens", body).status_code == status


@pytest.mark.parametrize(
    "wrong",
    [
        {"present": "not the password"},
        {"present": ""},
        {"present": "x" * 10_000},
        {"password": "short", "repeated": "short"},
        {"repeated": "yet another one"},
        {"password": "", "repeated": ""},
    ],
)
def test_a_password_that_is_not_changed_ends_nothing(
    app: Flask, cast: Cast, wrong: dict[str, str]
) -> None:
    browser = Browser(app, cast.patient.id)
    assert changed(browser, **wrong).status_code == 422
    assert browser.client.get("/api/account").status_code == 200
    assert cast.patient.get("/api/account").status_code == 200
    body = {"login": cast.patient.login, "password": PASSWORD}
    assert cast.stranger.post("/api/tokens", body).status_code == 201


def test_logging_out_everywhere_ends_browsers_and_programs(app: Flask, cast: Cast) -> None:
    browser, elsewhere = Browser(app, cast.patient.id), Browser(app, cast.patient.id)
    form = {"csrf_token": browser.csrf}
    answer = browser.client.post("/account/log-out-everywhere", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    for caller in (browser.client, elsewhere.client, cast.patient):
        assert caller.get("/api/account").status_code == 401
    assert cast.colleague.get("/api/account").status_code == 200


@pytest.mark.parametrize("path", ["/account", "/account/log-out-everywhere"])
def test_strangers_and_foreign_pages_change_no_account(app: Flask, cast: Cast, path: str) -> None:
    fields = {"present": PASSWORD, "password": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    stranger = Browser(app)
    answer = stranger.client.post(path, data=fields | {"csrf_token": stranger.csrf})
    assert answer.status_code == 401
    assert Browser(app, cast.patient.id).client.post(path, data=fields).status_code == 400
    assert cast.patient.get("/api/account").status_code == 200
    body = {"login": cast.patient.login, "password": PASSWORD}
    assert cast.stranger.post("/api/tokens", body).status_code == 201


def test_an_account_has_only_so_many_tokens(
    either_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, clock = either_app, itertools.count(int(time.time()) + 10)
    cast = Cast(app)
    monkeypatch.setattr(service.time, "time", lambda: next(clock))
    with app.app_context():
        account = cast.patient.account()
        for _ in range(service.MAX_TOKENS - 1):
            newest = service.issue_token(account).token
    assert cast.patient.get("/api/account").status_code == 200, "the first of twenty"
    with app.app_context():
        service.issue_token(cast.patient.account())
    assert cast.patient.get("/api/account").status_code == 401, "the oldest goes"
    with app.app_context():
        own = select(func.count()).where(ApiToken.account_id == cast.patient.id)
        assert db.session.scalar(own) == service.MAX_TOKENS
    cast.patient.token = newest
    assert cast.patient.get("/api/account").status_code == 200
    assert cast.colleague.get("/api/account").status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "Basic eDp4", "bearer\tx"])
def test_a_wrong_token_is_nobody(app: Flask, cast: Cast, header: str) -> None:
    answer = cast.stranger.get("/api/account", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.get_json()["type"] == "urn:hushbeat:problem:not-authenticated"


class TestThrottling:
    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"LOGIN_ATTEMPTS_PER_MINUTE": "2"}

    def test_a_login_is_tried_so_often_from_an_address(self, cast: Cast) -> None:
        def attempt(password: str, address: str = "192.0.2.1") -> int:
            body = {"login": cast.patient.login, "password": password}
            environ = {"REMOTE_ADDR": address}
            return cast.stranger.post("/api/tokens", body, environ_overrides=environ).status_code

        assert [attempt("x" * 12) for _ in range(3)] == [401, 401, 429]
        assert attempt(PASSWORD) == 429, "the right password is no way around"
        assert attempt(PASSWORD, "192.0.2.2") == 201, "the owner is not locked out elsewhere"
        later = [attempt("x" * 12, f"198.51.100.{n}") for n in range(12)]
        assert later[-1] == 429, "a login is not tried from everywhere either"

    @staticmethod
    def attempt(cast: Cast, password: str, address: str, **more: str) -> TestResponse:
        body = {"login": cast.patient.login, "password": password} | more
        return cast.stranger.post("/api/tokens", body, environ_overrides={"REMOTE_ADDR": address})

    def test_only_failures_count_for_a_login(self, cast: Cast) -> None:
        for n in range(15):
            assert self.attempt(cast, PASSWORD, f"198.51.100.{n}").status_code == 201

    def test_strangers_do_not_lock_out_a_device_that_is_known(self, cast: Cast) -> None:
        device = self.attempt(cast, PASSWORD, "192.0.2.1").get_json()["device"]
        failed = [self.attempt(cast, "x" * 12, f"198.51.100.{n}") for n in range(11)]
        assert [answer.status_code for answer in failed] == [401] * 10 + [429]
        assert self.attempt(cast, PASSWORD, "192.0.2.2").status_code == 429
        assert self.attempt(cast, PASSWORD, "192.0.2.2", device=device).status_code == 201

    def test_a_known_device_guesses_no_more_often(self, cast: Cast) -> None:
        device = self.attempt(cast, PASSWORD, "192.0.2.1").get_json()["device"]
        guesses = [
            self.attempt(cast, "x" * 12, f"198.51.100.{n}", device=device).status_code
            for n in range(3)
        ]
        assert guesses == [401, 401, 429]

    def test_a_device_is_known_to_one_account(self, cast: Cast) -> None:
        body = {"login": cast.colleague.login, "password": PASSWORD}
        foreign = cast.stranger.post("/api/tokens", body).get_json()["device"]
        own = self.attempt(cast, PASSWORD, "192.0.2.1").get_json()["device"]
        for n in range(10):
            self.attempt(cast, "x" * 12, f"198.51.100.{n}")
        for n, device in enumerate((foreign, own[:-2], "x", "", "é", "W10.x.y")):
            answer = self.attempt(cast, PASSWORD, f"192.0.2.{n + 10}", device=device)
            assert answer.status_code == 429, device

    def test_a_device_is_forgotten_after_a_year(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = self.attempt(cast, PASSWORD, "192.0.2.1").get_json()["device"]
        for n in range(10):
            self.attempt(cast, "x" * 12, f"198.51.100.{n}")
        monkeypatch.setattr(throttle, "VOUCHER_SECONDS", -1)
        assert self.attempt(cast, PASSWORD, "192.0.2.2", device=device).status_code == 429

    def test_a_browser_keeps_being_known(self, app: Flask, cast: Cast) -> None:
        browser = Browser(app)
        form = {"csrf_token": browser.csrf, "login": cast.patient.login, "password": PASSWORD}
        answer = browser.client.post("/login", data=form)
        assert answer.status_code == 302
        (cookie,) = (c for c in answer.headers.getlist("Set-Cookie") if "hushbeat-device" in c)
        assert {"HttpOnly", "SameSite=Lax", "Path=/login"} <= set(cookie.split("; "))
        value = cookie.partition("=")[2].partition(";")[0]
        for n in range(11):
            self.attempt(cast, "x" * 12, f"198.51.100.{n}")
        later, unknown = Browser(app), Browser(app)
        later.client.set_cookie("hushbeat-device", value, path="/login")
        for one, status in ((unknown, 429), (later, 302)):
            sent = form | {"csrf_token": one.csrf}
            assert one.client.post("/login", data=sent).status_code == status

    def test_an_ipv6_network_is_one_address(self, cast: Cast) -> None:
        tries = [
            self.attempt(cast, "x" * 12, address).status_code
            for address in ("2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3", "2001:db8:0:1::1")
        ]
        assert tries == [401, 401, 429, 401]
        mapped = [
            self.attempt(cast, "x" * 12, address).status_code
            for address in ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.8")
        ]
        assert mapped == [401, 401, 429, 401]

    @pytest.mark.parametrize("address", ["", "unix:", "fe80::1%eth0", "x" * 200])
    def test_an_address_that_is_none_ends_in_no_failure(self, cast: Cast, address: str) -> None:
        assert self.attempt(cast, "x" * 12, address).status_code == 401

    def test_many_logins_from_one_address(self, cast: Cast) -> None:
        answers = [
            cast.stranger.post("/api/tokens", {"login": f"x-{n}", "password": "x" * 12})
            for n in range(11)
        ]
        assert [a.status_code for a in answers] == [401] * 10 + [429]
        assert answers[-1].headers["Retry-After"] == "60"

    def test_the_present_password_is_no_place_to_guess(self, app: Flask, cast: Cast) -> None:
        for n in range(11):
            self.attempt(cast, "x" * 12, f"198.51.100.{n}")
        browser = Browser(app, cast.patient.id)
        guesses = [changed(browser, present="x" * 12).status_code for _ in range(2)]
        assert guesses == [422, 422], "strangers' guesses do not count here"
        assert changed(browser).status_code == 429

    def test_registrations(self, cast: Cast) -> None:
        answers = [cast.stranger.post("/api/accounts", registration()) for _ in range(11)]
        assert [a.status_code for a in answers] == [201] * 10 + [429]


class TestBehindAProxy:
    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"LOGIN_ATTEMPTS_PER_MINUTE": "1", "TRUSTED_PROXIES": "1"}

    def test_the_address_is_the_one_that_the_proxy_saw(self, cast: Cast) -> None:
        def attempt(forwarded: str) -> int:
            body = {"login": "x-1", "password": "x" * 12}
            headers = {"X-Forwarded-For": forwarded}
            return cast.stranger.post("/api/tokens", body, headers=headers).status_code

        assert attempt("192.0.2.1") == 401
        assert attempt("192.0.2.2") == 401
        assert attempt("198.51.100.9, 192.0.2.1") == 429, "what the client claims does not count"


class TestEnrolment:
    def test_a_key_is_pinned_and_stated(self, cast: Cast, statement_jwk: dict[str, str]) -> None:
        for caller, kind in ((cast.patient, "patient"), (cast.doctor, "doctor")):
            answer = caller.post("/api/enrolments", {"key": caller.key.public_jwk})
            assert answer.status_code == 200
            stated = Enrolment.verify(answer.get_json()["statement"], statement_jwk, time.time())
            assert (stated.collector, stated.kind) == (caller.collector, kind)
            assert stated.thumbprint == caller.key.thumbprint
            account = caller.get("/api/account").get_json()
            assert account["enrolled"] is True
            assert account["thumbprint"] == caller.key.thumbprint
        assert account["doctor_code"] == doctor_code(cast.doctor.key.thumbprint)

    def test_what_webcrypto_adds_to_a_key_is_dropped(self, cast: Cast) -> None:
        key = cast.patient.key.public_jwk | {"ext": True, "key_ops": ["verify"]}
        assert cast.patient.post("/api/enrolments", {"key": key}).status_code == 200

    def test_another_key_is_refused(self, app: Flask, cast: Cast) -> None:
        for key in (CollectorKey.generate(), cast.colleague.key):
            answer = cast.patient.post("/api/enrolments", {"key": key.public_jwk})
            assert answer.status_code == 409
        with app.app_context():
            assert cast.patient.account().thumbprint == cast.patient.key.thumbprint

    def test_a_key_of_another_account_is_refused(self, app: Flask, cast: Cast) -> None:
        with app.app_context():
            cast.colleague.account().thumbprint = None
            db.session.commit()
        answer = cast.colleague.post("/api/enrolments", {"key": cast.patient.key.public_jwk})
        assert answer.status_code == 409

    def test_only_public_p256_keys_are_pinned(self, cast: Cast) -> None:
        good = cast.patient.key.public_jwk
        bad: list[object] = [
            {},
            SigningKey.generate().public_jwk,
            good | {"d": "AAAA"},
            good | {"x": good["y"]},
            good | {"crv": "P-384"},
            good | {"x": 5},
            {"kty": "oct", "k": "AAAA"},
        ]
        for key in bad:
            assert cast.patient.post("/api/enrolments", {"key": key}).status_code == 400
        assert cast.patient.post("/api/enrolments", {"key": "x"}).status_code == 400

    def test_strangers_and_operators_have_no_key(self, cast: Cast) -> None:
        body = {"key": CollectorKey.generate().public_jwk}
        assert cast.stranger.post("/api/enrolments", body).status_code == 401
        assert cast.operator.post("/api/enrolments", body).status_code == 403
