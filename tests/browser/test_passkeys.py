"""Passkeys through the pages: chosen at the first visit, used once a visit, synced elsewhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from deploy.local.system import LocalSystem
from tests.browser.accessibility import expect_usable
from tests.browser.browsers import Complaints
from tests.browser.conftest import Window
from tests.browser.navigators import Counts, Doctor, Patient, Person
from tests.browser.passkeys import WARNING, Authenticator
from tests.browser.recordings import Recordings

PASSKEY_HERE = "Your passkey is the key of your account."


@pytest.fixture
def base(named_system: LocalSystem, complaints: Complaints) -> str:
    complaints.allow(WARNING)
    return named_system.aggregator_url


def register_with_passkey(person: Person, name: str) -> Authenticator:
    authenticator = Authenticator(person.page)
    person.sign_up(name)
    person.page.get_by_role("button", name="Make a passkey").click()
    expect(person.page.locator("#key-state")).to_have_text(PASSKEY_HERE)
    person.login_name = person.page.locator("#login-name").inner_text()
    return authenticator


def signatures(authenticator: Authenticator) -> int:
    """How often the passkey has signed."""
    (credential,) = authenticator.credentials()
    count: int = credential["signCount"]
    return count


def test_a_passkey_signs_once_a_visit(window: Window, base: str, recordings: Recordings) -> None:
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    authenticators = [register_with_passkey(doctor, "Doctor B")]
    authenticators.append(register_with_passkey(patient, "Patient A"))
    before = [signatures(one) for one in authenticators]
    patient.allow(doctor.code(), "Doctor B")
    patient.choose([recordings.murmur("murmur.wav")])
    patient.send()
    patient.expect_card("murmur.wav", "Counted")
    patient.open("/recordings")
    assert patient.counts() == Counts(1, 1, 0)
    doctor.look_at("Patient A")
    assert doctor.counts() == Counts(1, 1, 0)
    doctor.set_range("Balanced", 50, 110)
    assert [signatures(one) for one in authenticators] == before

    patient.log_out()
    patient.log_in(patient.login_name)
    unlock = patient.page.get_by_role("button", name="Use passkey")
    expect(unlock).to_be_visible()
    expect_usable(patient.page)
    expect(patient.page.locator("#counts")).to_be_hidden()
    authenticators[1].recognise(person=False)
    unlock.click()
    expect(patient.page.locator("#unlock-problem")).to_contain_text("The passkey was not used.")
    authenticators[1].recognise(person=True)
    unlock.click()
    assert patient.counts() == Counts(1, 1, 0)
    patient.take_back("Doctor B")
    assert signatures(authenticators[1]) == before[1] + 1


def test_a_synced_passkey_opens_in_another_browser(
    window: Window, base: str, recordings: Recordings
) -> None:
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    authenticator = register_with_passkey(at_home, "Patient A")
    at_home.choose([recordings.fast("stairs.wav")])
    at_home.send()
    at_home.expect_card("stairs.wav", "Counted")

    synced = Authenticator(travelling.page)
    travelling.log_in(at_home.login_name)
    use = travelling.page.get_by_role("button", name="Use your passkey here")
    stranger = Patient(window(), base)
    synced.sync_from(register_with_passkey(stranger, "Stranger"))
    use.click()
    expect(travelling.page.locator("#use-problem")).to_have_text(
        "This passkey is not one of this account."
    )
    synced.forget()
    synced.sync_from(authenticator)
    use.click()
    assert travelling.counts() == Counts(1, 0, 1)
    expect(travelling.page.locator("#elsewhere")).to_be_hidden()


def test_who_wants_no_passkey_keeps_the_key_in_the_browser(window: Window, base: str) -> None:
    patient = Patient(window(), base)
    authenticator = Authenticator(patient.page)
    authenticator.recognise(person=False)
    patient.sign_up("Patient A")
    patient.page.get_by_role("button", name="Make a passkey").click()
    expect(patient.page.locator("#choose-problem")).to_contain_text("The passkey was not used.")
    expect_usable(patient.page)
    patient.page.get_by_role("button", name="Keep the key in this browser").click()
    patient.expect_key()
    expect(patient.page.locator("#choose-key")).to_be_hidden()
    assert authenticator.credentials() == []


def test_a_passkey_that_was_made_is_registered_at_the_next_visit(
    window: Window, base: str, named_system: LocalSystem, complaints: Complaints
) -> None:
    """It is not made twice when the key holder could not be reached at first."""
    complaints.allow("net::ERR_FAILED")
    patient = Patient(window(), base)
    authenticator = Authenticator(patient.page)
    keyholder = f"{named_system.keyholder_url}/**"
    patient.page.route(keyholder, lambda route: route.abort())
    patient.sign_up("Patient A")
    patient.page.get_by_role("button", name="Make a passkey").click()
    expect(patient.page.locator("#notice")).to_contain_text("The key holder cannot be reached")
    patient.page.unroute(keyholder)
    patient.open("/account")
    expect(patient.page.locator("#key-state")).to_have_text(PASSKEY_HERE)
    assert len(authenticator.credentials()) == 1


def test_a_passkey_that_is_gone_is_no_dead_end(window: Window, base: str) -> None:
    at_home, patient = Patient(window(), base), Patient(window(), base)
    authenticator = register_with_passkey(patient, "Patient A")
    at_home.log_in(patient.login_name)
    at_home.connect(patient)
    at_home.open("/about-privacy")  # a page that asks for nothing once its session has ended
    authenticator.forget()
    patient.log_out()
    patient.log_in(patient.login_name)
    gone = patient.page.get_by_role("button", name="I do not have it any more")
    patient.open("/doctors")
    expect(gone).to_be_hidden()
    patient.open("/log")
    patient.page.get_by_role("button", name="Use passkey").click()
    gone.click()
    expect(patient.page.locator("#elsewhere")).to_be_visible()
    at_home.log_in(patient.login_name)
    patient.connect(at_home)
    patient.open("/account")
    patient.expect_key()


def test_a_passkey_lets_another_browser_in(window: Window, base: str) -> None:
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    register_with_passkey(at_home, "Patient A")
    travelling.log_in(at_home.login_name)
    travelling.connect(at_home)
    travelling.open("/account")
    travelling.expect_key()
