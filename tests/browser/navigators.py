"""People in front of a browser: what they do on the pages, in their own words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect

PASSWORD = "a quiet beat at night"
PATIENCE_MS = 60_000
CODE = re.compile("^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$")


@dataclass(frozen=True)
class Counts:
    """What a page shows: findings of each kind, of so many recordings."""

    recordings: int
    sound: int
    rate: int


class Person:
    """Somebody with a browser of their own."""

    kind: str

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.login_name = ""
        self.name = ""

    def register(self, name: str) -> None:
        """Fills in the form and waits until this browser holds the enrolled key."""
        self.sign_up(name)
        self.expect_key()
        self.login_name = self.page.locator("#login-name").inner_text()

    def code_of_this_browser(self) -> str:
        """Asks to be let in from another device; answers the code that is to be compared."""
        self.open("/keys")
        self.page.get_by_label("What you call this device").fill("Travelling")
        self.page.get_by_role("button", name="Keep the key in this browser").click()
        code = self.page.locator("#waiting-code")
        expect(code).to_have_text(CODE)
        return code.inner_text()

    def let_in(self, code: str) -> None:
        """Lets the device that shows this code in."""
        self.open("/keys")
        asking = self.page.locator("#request-list li", has_text=code)
        asking.get_by_role("button", name="Yes, let it in").click()
        expect(self.page.locator("#keys-status")).to_contain_text("may go in")

    def connect(self, other: Person) -> None:
        """Gives this browser a key, with the help of one that has one."""
        other.let_in(self.code_of_this_browser())
        expect(self.page.locator("#key-list")).to_contain_text("This browser.")

    def expect_key(self) -> None:
        expect(self.page.locator("#key-state")).to_have_text(
            "This browser holds the key of your account."
        )

    def sign_up(self, name: str) -> None:
        """Fills in the form and sends it."""
        self.name = name
        self.page.goto(f"{self.base}/register")
        self.page.get_by_label("a " + self.kind).check()
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_label("Password again").fill(PASSWORD)
        self.page.get_by_role("button", name="Register").click()

    def log_in(self, login_name: str, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.base}/login")
        self.page.get_by_label("Login name").fill(login_name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.login_name = login_name

    def log_out(self) -> None:
        self.page.get_by_role("button", name="Log out").click()
        expect(self.page.get_by_role("heading", level=1)).to_contain_text("Heart sounds go in")

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def counts(self) -> Counts:
        """The counts that the page has opened, once it has."""
        expect(self.page.locator("#counts-status")).to_have_text(
            re.compile("^Opened"), timeout=PATIENCE_MS
        )
        if self.page.locator("#counts").is_hidden():
            return Counts(0, 0, 0)
        recordings = self.page.locator("#total-sound [data-part=of]").inner_text()
        return Counts(
            recordings=int(re.sub(r"\D", "", recordings)),
            sound=int(self.page.locator("#total-sound [data-part=count]").inner_text()),
            rate=int(self.page.locator("#total-rate [data-part=count]").inner_text()),
        )


class Patient(Person):
    """Records and sends, reads the counts, decides who else may."""

    kind = "patient"

    def choose(self, files: Sequence[Path]) -> None:
        self.open("/recordings")
        self.page.locator("#files:enabled").wait_for()
        self.page.set_input_files("#files", files)

    def send(self) -> None:
        self.page.get_by_role("button", name="Seal and send").click()

    def date(self, name: str, day: str) -> None:
        """Says on which day a chosen file was recorded."""
        field = self.page.locator(".upload", has_text=name).get_by_label("Recorded on")
        expect(field).to_be_enabled()
        field.fill(day)

    def card(self, name: str) -> str:
        """What the card of a chosen file says."""
        card = self.page.locator(".upload", has_text=name)
        return " ".join(card.locator(".upload-state").inner_text().split())

    def expect_card(self, name: str, text: str) -> None:
        card = self.page.locator(".upload", has_text=name)
        expect(card.locator(".upload-state")).to_contain_text(text, timeout=PATIENCE_MS)

    def allow_clinic(self, code: str, clinic: str) -> None:
        self.find(code, clinic)
        expect(self.page.get_by_text("one figure for the whole list")).to_be_visible()
        expect(self.page.get_by_text("open your counts by day")).to_be_hidden()
        self.page.get_by_role("button", name="Allow this clinic").click()
        expect(self.page.locator("#consent-status")).to_have_text(f"{clinic} can now count you in.")

    def allow(self, code: str, doctor: str) -> None:
        self.try_to_allow(code, doctor)
        expect(self.page.locator("#consent-status")).to_have_text(
            f"{doctor} can now open your counts."
        )

    def try_to_allow(self, code: str, doctor: str) -> None:
        self.find(code, doctor)
        self.page.get_by_role("button", name="Allow this doctor").click()

    def find(self, code: str, doctor: str) -> None:
        self.open("/doctors")
        self.page.get_by_label("Doctor code").fill(code.lower().replace("-", " "))
        self.page.get_by_role("button", name="Find doctor").click()
        expect(self.page.locator("#doctor-name")).to_have_text(doctor)

    def take_back(self, doctor: str) -> None:
        self.open("/doctors")
        self.page.get_by_role("button", name=f"Take back the consent for {doctor}").click()
        self.page.get_by_role("button", name="Yes, take back").click()
        expect(self.page.locator("#consent-status")).to_have_text(
            f"{doctor} can no longer open your counts."
        )


class Doctor(Person):
    """Reads the counts of those who allow it, and sets their healthy ranges."""

    kind = "doctor"

    def code(self) -> str:
        self.open("/account")
        code = self.page.locator("#doctor-code")
        expect(code).to_have_text(CODE)
        return code.inner_text()

    def row(self, patient: str) -> dict[str, str]:
        """A patient's row of the list, once the counts are open."""
        expect(self.page.locator("#counts-status")).to_have_text(
            re.compile("^Counts of"), timeout=PATIENCE_MS
        )
        row = self.page.locator("#patients tr", has_text=patient)
        return {
            name: row.locator(f"[data-part={name}]").inner_text()
            for name in ("recordings", "sound", "rate", "range")
        }

    def look_at(self, patient: str) -> None:
        self.open("/patients")
        self.page.get_by_role("link", name=patient).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(patient)

    def set_range(self, threshold: str, lo: float, hi: float) -> None:
        """On a patient's page."""
        self.page.get_by_label(re.compile(threshold)).check()
        self.page.get_by_label("from", exact=True).fill(f"{lo:g}")
        self.page.get_by_label("to", exact=True).fill(f"{hi:g}")
        self.page.get_by_role("button", name="Encrypt and set").click()
        expect(self.page.locator("#range-status")).to_have_text(
            "The range is in force for every recording from now on.", timeout=PATIENCE_MS
        )


class Clinic(Person):
    """Fixes rosters and opens one figure a month."""

    kind = "clinic"

    def code(self) -> str:
        self.open("/clinic")
        code = self.page.locator("#doctor-code")
        expect(code).to_have_text(re.compile("^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$"))
        return code.inner_text()

    def fix_roster(self) -> str:
        """Of the first month that has none, with everybody; its name."""
        self.open("/clinic")
        form = self.page.locator("#roster-form")
        expect(form).to_be_visible()
        month = form.locator("option:checked").inner_text()
        form.get_by_role("button", name="Fix this roster").click()
        form.get_by_role("button", name="Yes, fix it").click()
        expect(self.page.locator("#roster-status")).to_have_text(f"The roster of {month} is fixed.")
        return month

    def figure(self, button: str) -> str:
        """What the only month of the page says once its button was clicked."""
        self.open("/clinic")
        self.page.get_by_role("button", name=button).click()
        figure = self.page.locator("#cohorts [data-part=figure]")
        expect(figure).not_to_be_empty(timeout=PATIENCE_MS)
        return figure.inner_text()
