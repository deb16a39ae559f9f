"""Further devices: let in by one that has a key, each with a key of its own, removed again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from crypto.jws import CollectorKey
from deploy.local.system import LocalSystem
from tests.browser.accessibility import expect_usable
from tests.browser.browsers import Complaints
from tests.browser.conftest import Window
from tests.browser.navigators import Doctor, Patient


@pytest.fixture
def base(running_system: LocalSystem) -> str:
    return running_system.aggregator_url


def test_a_second_browser_does_what_the_first_one_does(window: Window, base: str) -> None:
    doctor, at_home, travelling = (
        Doctor(window(), base),
        Patient(window(), base),
        Patient(window(), base),
    )
    doctor.register("Doctor B")
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    expect(travelling.page.locator("#elsewhere")).to_be_visible()
    travelling.connect(at_home)
    travelling.open("/account")
    travelling.expect_key()
    travelling.allow(doctor.code(), "Doctor B")
    at_home.take_back("Doctor B")


def test_a_doctors_second_browser_has_the_same_code(window: Window, base: str) -> None:
    at_work, at_home, patient = (
        Doctor(window(), base),
        Doctor(window(), base),
        Patient(window(), base),
    )
    at_work.register("Doctor B")
    code = at_work.code()
    at_home.log_in(at_work.login_name)
    at_home.connect(at_work)
    assert at_home.code() == code
    patient.register("Patient A")
    patient.allow(code, "Doctor B")
    at_home.look_at("Patient A")
    at_home.counts()
    at_home.set_range("Balanced", 50, 110)


def test_a_browser_that_is_refused_is_told_so(
    window: Window, base: str, complaints: Complaints
) -> None:
    complaints.allow("404")
    at_home, thief = Patient(window(), base), Patient(window(), base)
    at_home.register("Patient A")
    thief.log_in(at_home.login_name)
    thief.code_of_this_browser()
    expect_usable(thief.page)
    at_home.open("/keys")
    expect(at_home.page.locator("#requests")).to_be_visible()
    expect_usable(at_home.page)
    at_home.page.get_by_role("button", name="No, refuse").click()
    expect(at_home.page.locator("#keys-status")).to_contain_text("was refused")
    expect(thief.page.locator("#keys-status")).to_contain_text("was not let in")
    expect(thief.page.get_by_label("What you call this device")).to_be_visible()
    expect_usable(thief.page)


def test_whoever_asked_can_withdraw(window: Window, base: str) -> None:
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    travelling.code_of_this_browser()
    travelling.page.get_by_role("button", name="Do not connect").click()
    expect(travelling.page.get_by_label("What you call this device")).to_be_visible()
    at_home.open("/keys")
    expect(at_home.page.locator("#key-list li")).to_have_count(1)
    expect(at_home.page.locator("#requests")).to_be_hidden()


def test_a_removed_browser_opens_nothing(window: Window, base: str) -> None:
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    travelling.connect(at_home)
    at_home.open("/keys")
    expect(at_home.page.locator("#key-list li")).to_have_count(2)
    at_home.page.get_by_role("button", name="Remove the key of Travelling").click()
    at_home.page.get_by_role("button", name="Yes, remove").click()
    expect(at_home.page.locator("#keys-status")).to_contain_text("opens nothing any more")
    expect(at_home.page.locator("#key-list li")).to_have_count(1)
    expect(at_home.page.get_by_role("button", name=re.compile("^Remove"))).to_have_count(0)
    travelling.open("/recordings")
    expect(travelling.page.locator("#elsewhere")).to_be_visible()
    expect(travelling.page.locator("#findings")).to_be_hidden()


def test_the_code_is_of_the_key_and_not_the_aggregators_word(window: Window, base: str) -> None:
    """An aggregator that puts its own key into a request cannot show the device's code."""
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    code = travelling.code_of_this_browser()

    def exchange(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        for asked in told["requests"]:
            asked["key"] = CollectorKey.generate().public_jwk
        route.fulfill(response=answer, json=told)

    at_home.page.route("**/api/devices", exchange)
    at_home.open("/keys")
    shown = at_home.page.locator("#request-list [data-part=code]").first
    expect(shown).to_be_visible()
    assert shown.inner_text() != code


def test_a_connection_that_was_cut_off_is_finished_later(
    window: Window, base: str, complaints: Complaints
) -> None:
    """The key holder has the new key, the aggregator not."""
    complaints.allow("net::ERR_FAILED")
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    cut = re.compile("/api/devices$")
    travelling.page.route(
        cut, lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    code = travelling.code_of_this_browser()
    at_home.let_in(code)
    expect(travelling.page.locator("#keys-status")).to_contain_text("cannot be reached")
    travelling.page.unroute(cut)
    expect(travelling.page.locator("#key-list")).to_contain_text("This browser.")
    travelling.open("/account")
    travelling.expect_key()


def test_the_log_tells_what_was_done(window: Window, base: str) -> None:
    doctor, at_home, travelling = (
        Doctor(window(), base),
        Patient(window(), base),
        Patient(window(), base),
    )
    doctor.register("Doctor B")
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    travelling.connect(at_home)
    travelling.allow(doctor.code(), "Doctor B")
    travelling.take_back("Doctor B")
    travelling.open("/log")
    expect(travelling.page.locator("#log-status")).to_contain_text("4 entries.")
    rows = travelling.page.locator("#entries tr")
    assert [row.locator("td").all_inner_texts() for row in rows.all()] == [
        ["A consent was taken back", "you, with this browser's key"],
        ["A consent was given", "you, with this browser's key"],
        ["A further key was taken in", "you, with another key"],
        ["The account's first key was taken in", "you, with another key"],
    ]


def test_a_log_that_was_rewritten_is_said_loudly(window: Window, base: str) -> None:
    patient = Patient(window(), base)
    patient.register("Patient A")
    patient.open("/log")
    expect(patient.page.locator("#log-status")).to_contain_text("1 entry.")
    patient.page.evaluate(
        """async (login) => {
            const store = await import("/static/js/store.js");
            const { seq } = await store.read("logs", login);
            await store.write("logs", login, { seq, hash: "1".repeat(64) });
            sessionStorage.clear();
        }""",
        patient.login_name,
    )
    patient.page.reload()
    expect(patient.page.locator("#log-status")).to_contain_text("Stop: the key holder's log")
    expect(patient.page.locator("#notice")).to_contain_text("Stop: the key holder's log")
    patient.open("/recordings")
    expect(patient.page.locator("#notice")).to_contain_text("Stop: the key holder's log")
