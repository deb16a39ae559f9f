"""Takes the pictures of docs/pictures again: `python -m tests.browser.take_pictures [folder]`.

It starts a system of its own in a temporary folder, as the tests do, lets a patient send recordings
of ten days, and looks at the pages as patient, doctor, operator and stranger.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.browsers import PHONE, Complaints, launch, private_window
from tests.browser.navigators import Doctor, Patient, Person
from tests.browser.recordings import Recordings
from tests.support.fixtures import make_system
from tests.support.launch import LAUNCHER

ROOT = Path(__file__).parents[2]
MOST_BYTES = 200_000

PATIENT = "Demonstration patient"
DOCTOR = "Demonstration doctor"

DAYS = {
    9: ("healthy", "fast"),
    8: ("healthy",),
    7: ("healthy", "healthy", "murmur"),
    6: ("healthy", "healthy"),
    5: ("healthy", "murmur"),
    4: ("healthy",),
    3: ("murmur", "fast", "healthy"),
    1: ("healthy", "healthy"),
    0: ("healthy", "murmur"),
}
"""What is recorded so many days ago."""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    complaints = Complaints()
    with (
        tempfile.TemporaryDirectory() as home,
        make_system(Path(home)) as system,
        sync_playwright() as playwright,
    ):
        expect.set_options(timeout=20_000)
        browser = launch(playwright)
        password = _operator(system.environment_of("aggregator"))
        _take(browser, complaints, system.aggregator_url, password, Path(home), folder)
        browser.close()
    too_large = [path.name for path in folder.glob("*.png") if path.stat().st_size > MOST_BYTES]
    problems = [*complaints.take(), *(f"{name} is too large" for name in too_large)]
    if problems:
        sys.exit("\n".join(problems))


def _operator(environment: dict[str, str]) -> str:
    """Makes the operator `operator`; answers the password."""
    command = [*LAUNCHER, "-m", "app.aggregator.operator_account", "operator"]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.split()[-1]


def _take(
    browser: Browser, complaints: Complaints, base: str, password: str, home: Path, folder: Path
) -> None:
    with (
        private_window(browser, complaints) as strangers,
        private_window(browser, complaints) as patients,
        private_window(browser, complaints) as doctors,
        private_window(browser, complaints) as operators,
    ):
        stranger = strangers.new_page()
        stranger.goto(base)
        _picture(stranger, folder / "welcome.png")

        doctor, patient = Doctor(doctors.new_page(), base), Patient(patients.new_page(), base)
        doctor.register(DOCTOR)
        patient.register(PATIENT)
        patient.allow(doctor.code(), DOCTOR)
        doctor.look_at(PATIENT)
        doctor.set_range("Balanced", 60, 100)

        recordings = Recordings(home)
        _send_all(patient, recordings)
        patient.choose([recordings.healthy("evening.wav")])
        patient.expect_card("evening.wav", "Ready to send")
        expect(patient.page.locator(".upload canvas").first).to_be_visible()
        patient.counts()
        _picture(patient.page, folder / "patient.png")
        patient.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        patient.open("/recordings")
        patient.counts()
        patient.page.locator("#findings").evaluate("(card) => card.scrollIntoView()")
        _picture(patient.page, folder / "patient-phone.png")

        doctor.look_at(PATIENT)
        doctor.counts()
        _picture(doctor.page, folder / "doctor.png")

        operator = Person(operators.new_page(), base)
        operator.log_in("operator", password)
        expect(operator.page.get_by_role("heading", level=1)).to_have_text("Operation")
        _picture(operator.page, folder / "operator.png")


def _send_all(patient: Patient, recordings: Recordings) -> None:
    chosen = {}
    for back, kinds in DAYS.items():
        for number, kind in enumerate(kinds):
            path = getattr(recordings, kind)(f"{back}-{number}.wav")
            chosen[path] = _day(back)
    patient.choose(list(chosen))
    for path, day in chosen.items():
        patient.date(path.name, day)
    patient.send()
    for path in chosen:
        patient.expect_card(path.name, "Counted")


def _day(back: int) -> str:
    today: date = datetime.now().astimezone().date()
    return (today - timedelta(days=back)).isoformat()


def _picture(page: Page, path: Path) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.fonts.ready.then(() => undefined)")
    expect(page.locator("#notice")).to_be_hidden()
    page.screenshot(path=path, animations="disabled", caret="hide")


if __name__ == "__main__":
    main()
