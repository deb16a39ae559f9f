"""A patient who lost every key: two people vouch, days go by, any key that is left can stop it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, expect

from crypto.encoding import new_id
from deploy.local.system import LocalSystem
from tests.browser.accessibility import expect_usable
from tests.browser.browsers import Complaints
from tests.browser.conftest import Window
from tests.browser.navigators import CODE, Counts, Doctor, Patient, Person
from tests.browser.recordings import Recordings


@dataclass
class Loss:
    """Everybody whom a recovery concerns."""

    system: LocalSystem
    lost: Patient
    anew: Patient
    doctor: Doctor
    operator: Person

    def ask(self) -> str:
        """The patient asks from a browser without a key; answers the new key's code."""
        self.anew.open("/keys")
        self.anew.page.get_by_role("button", name="Recover with a key in this browser").click()
        code = self.anew.page.locator("#recovery-code")
        expect(code).to_have_text(CODE)
        return code.inner_text()

    def vouch(self, person: Person, path: str, code: str) -> Locator:
        """Types the code; answers what the page then says."""
        person.open(path)
        item = person.page.locator("#approval-list li", has_text=self.lost.name)
        item.get_by_label(f"Code that {self.lost.name} tells you").fill(code.lower())
        item.get_by_role("button", name="Vouch for it").click()
        return item.locator("[data-part=state]")

    def both_vouch(self, code: str) -> None:
        for person, path in ((self.doctor, "/patients"), (self.operator, "/operator/recoveries")):
            expect(self.vouch(person, path, code)).to_have_text("You have vouched for it.")

    def look_again(self) -> Locator:
        """What the page then says of the recovery."""
        self.anew.page.get_by_role("button", name="Look again").click()
        return self.anew.page.locator("#recovery-state")

    def let_the_days_go_by(self) -> None:
        """As if the delay of every recovery were over."""
        path = self.system.home / "keyholder" / "keyholder.sqlite3"
        with sqlite3.connect(path, timeout=10) as database:
            database.execute(
                "UPDATE recoveries SET completes_at = ? WHERE completes_at IS NOT NULL",
                (int(time.time()) - 1,),
            )


@pytest.fixture
def loss(window: Window, running_system: LocalSystem, operator_password: str) -> Loss:
    base = running_system.aggregator_url
    lost, anew, doctor = Patient(window(), base), Patient(window(), base), Doctor(window(), base)
    operator = Person(window(), base)
    doctor.register("Doctor B")
    lost.register(f"Patient {new_id()[:8]}")
    lost.allow(doctor.code(), "Doctor B")
    anew.log_in(lost.login_name)
    operator.log_in("operator", operator_password)
    return Loss(running_system, lost, anew, doctor, operator)


def test_a_lost_key_is_recovered_and_past_counts_open(loss: Loss, recordings: Recordings) -> None:
    loss.anew.choose([recordings.murmur("before.wav")])
    loss.anew.send()
    loss.anew.expect_card("before.wav", "Counted")
    code = loss.ask()
    expect(loss.look_again()).to_contain_text("Operator: not yet. Doctors who vouched: 0.")
    loss.both_vouch(code)
    expect(loss.look_again()).to_contain_text("Enough people have vouched")
    expect(loss.anew.page.get_by_role("button", name="Finish the recovery")).to_be_hidden()
    loss.let_the_days_go_by()
    loss.anew.page.reload()
    loss.anew.page.get_by_role("button", name="Finish the recovery").click()
    expect(loss.anew.page.locator("#key-list")).to_contain_text("This browser.")
    expect(loss.anew.page.locator("#key-list li")).to_have_count(1)
    loss.anew.open("/recordings")
    assert loss.anew.counts() == Counts(1, 1, 0)
    loss.doctor.look_at(loss.lost.name)
    assert loss.doctor.counts() == Counts(1, 1, 0)
    loss.lost.page.reload()
    expect(loss.lost.page.locator("#elsewhere")).to_be_visible()


def test_a_key_that_is_left_stops_it(loss: Loss, complaints: Complaints) -> None:
    complaints.allow("409")
    code = loss.ask()
    loss.both_vouch(code)
    expect(loss.look_again()).to_contain_text("Enough people have vouched")
    loss.lost.page.evaluate("sessionStorage.clear()")
    loss.lost.page.reload()
    alarm = loss.lost.page.get_by_role("alert")
    expect(alarm).to_contain_text("Somebody asks to put a new key in the place of yours")
    expect(alarm).to_contain_text(code)
    expect_usable(loss.lost.page)
    alarm.get_by_role("button", name="Stop the recovery").click()
    expect(loss.lost.page.locator("#notice")).to_contain_text("The recovery was stopped")
    expect(alarm).to_have_count(0)
    loss.let_the_days_go_by()
    loss.anew.open("/keys")
    expect(loss.anew.page.locator("#keys-status")).to_contain_text(
        "was stopped by one of your keys"
    )
    loss.anew.page.get_by_role("button", name="Give up").click()
    expect(loss.anew.page.get_by_label("What you call this device")).to_be_visible()


def test_the_operator_alone_recovers_nobody(loss: Loss) -> None:
    said = loss.vouch(loss.operator, "/operator/recoveries", loss.ask())
    expect(said).to_have_text("You have vouched for it.")
    expect(loss.look_again()).to_contain_text("Operator: has vouched. Doctors who vouched: 0.")
    loss.let_the_days_go_by()
    expect(loss.look_again()).to_contain_text("Operator: has vouched. Doctors who vouched: 0.")
    expect(loss.anew.page.get_by_role("button", name="Finish the recovery")).to_be_hidden()


def test_nobody_vouches_by_mistake(loss: Loss) -> None:
    loss.ask()
    for person, path in ((loss.doctor, "/patients"), (loss.operator, "/operator/recoveries")):
        for wrong in ("", "AAAA-BBBB-CCCC-DDDD"):
            expect(loss.vouch(person, path, wrong)).to_contain_text("That is not the code")
        expect_usable(person.page)
    expect_usable(loss.anew.page)
    expect(loss.look_again()).to_contain_text("Operator: not yet. Doctors who vouched: 0.")


def test_another_doctor_and_another_patient_see_nothing(loss: Loss, window: Window) -> None:
    loss.ask()
    colleague = Doctor(window(), loss.doctor.base)
    colleague.register("Colleague")
    colleague.open("/patients")
    expect(colleague.page.locator("#no-patients")).to_be_visible()
    expect(colleague.page.locator("#approvals")).to_be_hidden()
    asked = colleague.page.request.get(f"{colleague.base}/api/recoveries").json()
    assert asked == {"recoveries": []}
    other = Patient(window(), loss.doctor.base)
    other.register("Patient B")
    assert other.page.request.get(f"{other.base}/api/recoveries").json() == {"recoveries": []}
    stranger = window().request.get(f"{other.base}/api/recoveries")
    assert stranger.status == 401
