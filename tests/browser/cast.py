"""People who have been with Hushbeat for a while, for tests of how the pages look and behave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, Page, expect

from tests.browser.browsers import Complaints, private_window
from tests.browser.navigators import Doctor, Patient, Person
from tests.browser.recordings import Recordings


@dataclass(frozen=True)
class Cast:
    """Everybody is logged in, in a browser of their own."""

    base: str
    stranger: Page
    patient: Patient
    doctor: Doctor
    operator: Person
    complaints: Complaints


@contextmanager
def gather(
    browser: Browser, base: str, recordings: Recordings, operator_password: str
) -> Iterator[Cast]:
    """Doctor and patient register; the patient consents and has three recordings counted."""
    complaints = Complaints()
    with (
        private_window(browser, complaints) as stranger,
        private_window(browser, complaints) as patients,
        private_window(browser, complaints) as doctors,
        private_window(browser, complaints) as operators,
    ):
        cast = Cast(
            base,
            stranger.new_page(),
            Patient(patients.new_page(), base),
            Doctor(doctors.new_page(), base),
            Person(operators.new_page(), base),
            complaints,
        )
        cast.doctor.register("Doctor B")
        cast.patient.register("Patient A")
        cast.patient.allow(cast.doctor.code(), "Doctor B")
        made = [
            recordings.healthy("monday.wav"),
            recordings.murmur("tuesday.wav"),
            recordings.fast("wednesday.wav"),
        ]
        cast.patient.choose(made)
        cast.patient.send()
        for path in made:
            cast.patient.expect_card(path.name, "Counted")
        cast.operator.log_in("operator", operator_password)
        expect(cast.operator.page.get_by_role("heading", level=1)).to_have_text("Operation")
        yield cast
