"""A clinic's month through the pages: consent, roster, one figure, and what the patient reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from client import grants
from client.collector import Collector
from client.profile import Profile
from client.transfer import transfer
from crypto.cohorts import CohortTerms, blind_cohort, packed, recover_cohort
from crypto.errors import OpeningMismatch
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey
from crypto.random import SeededRandom
from deploy.local.system import LocalSystem
from tests.browser.browsers import PHONE, Complaints
from tests.browser.conftest import Window
from tests.browser.navigators import PASSWORD, Clinic, Patient
from tests.browser.recordings import Recordings
from tests.browser.test_browser_cryptography import run
from tests.support.small_keys import SMALL_BITS, small_keys

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
LEAST = 5


@pytest.fixture
def base(running_system: LocalSystem) -> str:
    return running_system.aggregator_url


@pytest.fixture
def two_months_ago() -> date:
    """A day of a month that is over everywhere."""
    today = datetime.now().astimezone().date()
    return (today.replace(day=1) - timedelta(days=40)).replace(day=15)


@pytest.fixture
def others(running_system: LocalSystem, tmp_path: Path) -> Iterator[Callable[[], Collector]]:
    """Further patients, without a browser."""
    made: list[Collector] = []
    fingerprint = (running_system.home / "public" / "keyholder-fingerprint").read_text().strip()

    def make() -> Collector:
        made.append(
            Collector.register(
                Profile(tmp_path / f"patient-{len(made)}"),
                running_system.keyholder_url,
                fingerprint,
                PASSWORD,
                display_name=f"Patient {len(made)}",
                kind="patient",
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def backdate(system: LocalSystem, clinic: str, month: str) -> None:
    """Lets a roster be of an earlier month: nobody waits for the end of this one."""
    databases = {
        "aggregator": [
            "UPDATE rosters SET month = :month WHERE clinic_id ="
            " (SELECT id FROM accounts WHERE login = :clinic)"
        ],
        "keyholder": [
            "UPDATE roster_members SET month = :month",
            "UPDATE rosters SET month = :month",
        ],
    }
    for role, statements in databases.items():
        path = system.home / role / f"{role}.sqlite3"
        with closing(sqlite3.connect(path, timeout=10)) as database, database:
            for statement in statements:
                database.execute(statement, {"month": month, "clinic": clinic})


def test_a_month_of_a_clinic(
    running_system: LocalSystem,
    window: Window,
    base: str,
    others: Callable[[], Collector],
    recordings: Recordings,
    complaints: Complaints,
    two_months_ago: date,
) -> None:
    clinic, patient = Clinic(window(), base), Patient(window(), base)
    clinic.register("Clinic C")
    code = clinic.code()
    expect(clinic.page.locator("#no-patients")).to_be_visible()
    patient.register("Patient A")
    patient.allow_clinic(code, "Clinic C")
    assert "clinic" in patient.page.locator("#consents .hint").first.inner_text()
    made = [recordings.healthy("one.wav"), recordings.murmur("two.wav")]
    patient.choose(made)
    for path in made:
        patient.date(path.name, two_months_ago.isoformat())
    patient.send()
    for path in made:
        patient.expect_card(path.name, "Counted")
    sounds = [recordings.fast("three.wav"), recordings.healthy("four.wav")]
    for i in range(LEAST - 1):
        other = others()
        grants.grant(other, grants.find_doctor(other, code))
        transfer(other, [sounds[i % 2]], two_months_ago)

    clinic.open("/clinic")
    expect(clinic.page.locator("#chosen")).to_have_text(
        "5 patients chosen; a roster has at least 5."
    )
    check_usable(clinic.page)
    clinic.page.get_by_label("Patient 1").uncheck()
    expect(clinic.page.get_by_role("button", name="Fix this roster")).to_be_disabled()
    clinic.fix_roster()
    expect(clinic.page.locator("#cohorts [data-part=state]")).to_contain_text("can be opened from")
    patient.open("/doctors")
    expect(patient.page.locator("#cohorts")).to_contain_text("on the list, not opened yet")

    backdate(running_system, clinic.login_name, f"{two_months_ago:%Y-%m}")
    figure = clinic.figure("Open once")
    assert figure == (
        "5 patients made 6 recordings. 1 of them sounded abnormal, and in 2 the heart rate was "
        "outside the healthy range."
    )
    assert clinic.figure("Show again") == figure
    check_usable(clinic.page)
    patient.open("/doctors")
    item = patient.page.locator("#cohorts .person")
    expect(item).to_contain_text("Clinic C")
    expect(item).to_contain_text("counted in, without noise")
    check_usable(patient.page)
    patient.open("/log")
    expect(
        patient.page.get_by_text("A cohort that counts in 2 recordings was opened")
    ).to_be_visible()
    patient.open("/doctors")
    patient.page.get_by_role("button", name="Take back the consent for Clinic C").click()
    patient.page.get_by_role("button", name="Yes, take back").click()
    expect(patient.page.locator("#consent-status")).to_have_text(
        "Clinic C no longer counts you in."
    )


def check_usable(page: Page) -> None:
    """What everybody needs: no finding of axe, and nothing wider than a phone."""
    page.evaluate(AXE)
    assert page.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)") == []
    desktop = page.viewport_size
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert desktop is not None
    page.set_viewport_size(desktop)


# The browser's half of the cryptography against Python's


@pytest.fixture(scope="module")
def key() -> Iterator[PublicKey]:
    with small_keys():
        yield PrivateKey.generate(SMALL_BITS).public


def sums(page: Page, key: PublicKey, value: bytes, blind: bytes, terms: CohortTerms) -> Any:
    return run(
        page,
        "cohorts",
        """const sums = m.recoverSums(new Uint8Array(v.value), new Uint8Array(v.blind), BigInt(v.n),
            { recordings: 7, epsilon: v.epsilon });
        return [sums.sound, sums.rate];""",
        value=list(value),
        blind=list(blind),
        n=str(key.n),
        epsilon=terms.epsilon,
    )


@pytest.mark.parametrize("terms", [CohortTerms(0, 0), CohortTerms(800, 10)], ids=str)
def test_sums_come_out_as_in_python(blank: Page, key: PublicKey, terms: CohortTerms) -> None:
    for seed in range(6):
        source = SeededRandom(bytes([seed]) * 32, b"A")
        _, blind = blind_cohort(key, [], terms, source)
        sound, rate = terms.noise(SeededRandom(bytes([seed]) * 32, b"A"))
        offset = 1 << 22 if terms.epsilon else 0
        number = int.from_bytes(blind, "big") + packed(key, 3 + sound + offset, 7 + rate + offset)
        value = (number % key.n).to_bytes(key.plaintext_bytes, "big")
        expected = recover_cohort(value, blind, key, 7, terms)
        assert sums(blank, key, value, blind, terms) == [
            expected.sound,
            expected.rate,
        ]


@pytest.mark.parametrize("terms", [CohortTerms(0, 0), CohortTerms(1500, 62)], ids=str)
def test_the_margin_is_that_of_python(blank: Page, terms: CohortTerms) -> None:
    margin = run(blank, "cohorts", "return m.marginOf(v);", epsilon=terms.epsilon, cap=terms.cap)
    assert margin == terms.margin


@pytest.mark.parametrize("terms", [CohortTerms(0, 0), CohortTerms(800, 10)], ids=str)
def test_what_is_no_sum_is_a_mismatch(blank: Page, key: PublicKey, terms: CohortTerms) -> None:
    blind = bytes(key.plaintext_bytes)
    for number in (packed(key, 1 << 24, 0), packed(key, 0, 1 << 24), key.n - 1):
        value = number.to_bytes(key.plaintext_bytes, "big")
        with pytest.raises(OpeningMismatch):
            recover_cohort(value, blind, key, 7, terms)
        with pytest.raises(Exception, match="opening-mismatch"):
            sums(blank, key, value, blind, terms)
