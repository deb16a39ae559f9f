"""People are faster than scripts: what they press or type while a page still starts is not lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.browsers import Complaints
from tests.browser.cast import Cast
from tests.browser.conftest import Window
from tests.browser.navigators import CODE, Clinic, Patient
from tests.browser.recordings import Recordings

_MODULES = re.compile(r"/static/js/")
_CONSENTS = re.compile(r"/api/consents$")
_RECORDINGS = re.compile(r"/api/recordings$")

# Runs before any script of the page. It remembers who is listened to, and after every step of the
# page (nobody can press anything within one) looks for what could be pressed or filled in although
# nobody listens. What a form of the server's holds works by itself. The cryptography that a start
# waits for is held up until `go()`.
_WITNESS = """
(() => {
  const heard = new WeakSet();
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (["click", "change", "submit"].includes(type)) heard.add(this ?? window);
    return add.call(this, type, ...rest);
  };
  const listened = (element) => element && (heard.has(element) || element.onclick);
  const controls = "button, input, select, textarea";
  window.deaf = new Set();
  window.looks = 0;
  const look = () => {
    window.looks += 1;
    for (const element of document.querySelectorAll(controls)) {
      const { form, id, name, textContent } = element;
      if (element.matches(":disabled") || form?.method === "post") continue;
      if (!element.checkVisibility() || listened(element) || listened(form)) continue;
      window.deaf.add(id || name || textContent.trim());
    }
  };
  new MutationObserver(look).observe(document, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["hidden", "disabled"],
  });
  add.call(window, "load", look);
  const generateKey = SubtleCrypto.prototype.generateKey;
  const go = new Promise((resolve) => (window.go = resolve));
  SubtleCrypto.prototype.generateKey = async function (...rest) {
    await go;
    return generateKey.apply(this, rest);
  };
})();
"""


@contextmanager
def _held(page: Page, what: re.Pattern[str]) -> Iterator[Callable[[], None]]:
    """Requests of that kind wait until what this yields is called."""
    waiting: list[Route] = []
    page.route(what, lambda route: waiting.append(route))

    def release() -> None:
        page.unroute(what)
        for route in waiting:
            route.fallback()
        waiting.clear()

    try:
        yield release
    finally:
        release()


def _start_slowly(page: Page, address: str) -> None:
    """First the modules are missing, then the cryptography; somebody could click all the time."""
    with _held(page, _MODULES) as release:
        page.goto(address, wait_until="commit")
        page.locator("footer").wait_for()
        page.wait_for_timeout(100)
        release()
    page.wait_for_load_state()
    page.wait_for_timeout(100)
    page.evaluate("window.go()")


@pytest.fixture
def witnessed(cast: Cast) -> Iterator[Callable[[Page], Page]]:
    """`witnessed(page)` opens another tab of somebody, which is watched."""
    tabs: list[Page] = []

    def open_tab(page: Page) -> Page:
        tab = page.context.new_page()
        tab.add_init_script(_WITNESS)
        tabs.append(tab)
        return tab

    yield open_tab
    for tab in tabs:
        tab.close()


def test_nothing_can_be_pressed_before_somebody_listens(
    cast: Cast, witnessed: Callable[[Page], Page], window: Window
) -> None:
    clinic = Clinic(window(), cast.base)
    clinic.register("Clinic D")
    elsewhere = Patient(window(), cast.base)
    elsewhere.log_in(cast.patient.login_name)
    cast.doctor.look_at("Patient A")
    detail = cast.doctor.page.url.removeprefix(cast.base)
    visits = {
        cast.stranger: ("/", "/register", "/login"),
        cast.patient.page: ("/recordings", "/doctors", "/keys", "/log", "/account"),
        elsewhere.page: ("/recordings", "/doctors", "/keys", "/log", "/account"),
        cast.doctor.page: ("/patients", detail, "/keys", "/log", "/account"),
        clinic.page: ("/clinic", "/keys", "/log", "/account"),
        cast.operator.page: ("/operator", "/operator/recoveries", "/account"),
    }
    found = {}
    for person, paths in visits.items():
        tab = witnessed(person)
        for path in paths:
            _start_slowly(tab, cast.base + path)
            # In the end everything that can be seen can be used.
            expect(tab.locator("main :disabled").locator("visible=true")).to_have_count(0)
            assert tab.evaluate("window.looks") > 0
            if deaf := tab.evaluate("[...window.deaf]"):
                found[f"{path} of {tab.title()}"] = deaf
    assert found == {}


def test_a_code_that_is_sent_early_is_looked_up(
    cast: Cast, window: Window, complaints: Complaints
) -> None:
    """Before the modules are there, and while what the page does first is still under way."""
    complaints.allow("404")
    patient = Patient(window(), cast.base)
    patient.register("Patient E")
    page, status = patient.page, patient.page.locator("#consent-status")
    with _held(page, _MODULES) as release_modules, _held(page, _CONSENTS) as release_consents:
        page.goto(f"{cast.base}/doctors", wait_until="commit")
        page.locator("footer").wait_for()
        _press_enter_early(page)
        release_modules()
        page.get_by_label("Doctor code").fill("AAAA-BBBB-CCCC-DDDD")
        page.get_by_label("Doctor code").press("Enter")
        expect(status).to_contain_text("There is no doctor or clinic with this code")
        release_consents()
        expect(page.locator("#no-consents")).to_be_visible()
        page.wait_for_load_state("networkidle")
        expect(status).to_contain_text("There is no doctor or clinic with this code")


def _press_enter_early(page: Page) -> None:
    """In the field of the code: it takes nothing that would be forgotten."""
    field = page.locator("#code")
    field.evaluate("field => field.focus()")
    page.keyboard.type("ABCD")
    page.keyboard.press("Enter")
    assert field.input_value() == ""


def test_a_file_that_is_chosen_early_is_known_all_the_same(
    cast: Cast, window: Window, recordings: Recordings
) -> None:
    patient = Patient(window(), cast.base)
    patient.register("Patient F")
    path = recordings.healthy("early.wav")
    patient.choose([path])
    patient.send()
    patient.expect_card("early.wav", "Counted")
    with _held(patient.page, _RECORDINGS) as release:
        patient.choose([path])
        patient.expect_card("early.wav", "Ready to send")
        release()
        patient.expect_card("early.wav", "You have sent this recording before.")
    expect(patient.page.get_by_role("button", name="Nothing left to send")).to_be_disabled()


def test_a_code_is_copied_only_once_it_is_there(cast: Cast) -> None:
    page = cast.doctor.page.context.new_page()
    page.add_init_script(_WITNESS)
    page.goto(f"{cast.base}/patients")
    copy = page.get_by_role("button", name="Copy")
    page.wait_for_timeout(300)
    expect(copy).to_be_hidden()
    page.evaluate("window.go()")
    expect(copy).to_be_visible()
    expect(page.locator("#doctor-code")).to_have_text(CODE)
    page.close()
