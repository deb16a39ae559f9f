"""Who sees which page, in which language, and that everybody can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from app.aggregator.accounts.service import MIN_PASSWORD
from deploy.local.system import LocalSystem
from tests.browser.accessibility import barriers, width_on_a_phone
from tests.browser.browsers import PHONE, Complaints
from tests.browser.cast import Cast
from tests.browser.conftest import Window
from tests.browser.navigators import PASSWORD, Counts, Patient, Person

PUBLIC = ("/", "/register", "/login", "/about-privacy")
PATIENTS = ("/recordings", "/doctors")
DOCTORS = ("/patients",)
COLLECTORS = ("/keys", "/log")
OPERATORS = ("/operator", "/operator/figures", "/operator/recoveries")


# Access: the owner, the colleague, the stranger


def test_a_stranger_sees_the_public_pages_and_is_asked_to_log_in_elsewhere(cast: Cast) -> None:
    for path in PUBLIC:
        answer = cast.stranger.request.get(cast.base + path, max_redirects=0)
        assert answer.status == 200, path
    everywhere = (*PATIENTS, *DOCTORS, *COLLECTORS, *OPERATORS)
    for path in (*everywhere, "/account", "/patients/" + "0" * 32):
        answer = cast.stranger.request.get(cast.base + path, max_redirects=0)
        assert (answer.status, answer.headers["location"]) == (302, "/login"), path
    assert cast.stranger.request.post(f"{cast.base}/logout").status == 401


def test_pages_of_another_kind_of_account_are_refused(cast: Cast) -> None:
    people: list[tuple[Person, tuple[str, ...]]] = [
        (cast.patient, (*DOCTORS, *OPERATORS)),
        (cast.doctor, (*PATIENTS, *OPERATORS)),
        (cast.operator, (*PATIENTS, *DOCTORS, *COLLECTORS)),
    ]
    for person, foreign in people:
        for path in foreign:
            answer = person.page.request.get(cast.base + path)
            assert answer.status == 403, path
            assert "not for your account" in answer.text()


def test_a_doctor_sees_only_patients_who_consent(cast: Cast, window: Window) -> None:
    cast.doctor.look_at("Patient A")
    path = cast.doctor.page.url.removeprefix(cast.base)
    for address in ("/patients/" + "0" * 32, "/patients/x"):
        assert cast.doctor.page.request.get(cast.base + address).status == 404
    colleague = window()
    person = Person(colleague, cast.base)
    person.kind = "doctor"
    person.register("Colleague")
    assert colleague.request.get(cast.base + path).status == 404


def test_pages_carry_the_strict_policy(cast: Cast) -> None:
    for path in (*PUBLIC, "/no-such-page"):
        policy = cast.stranger.request.get(cast.base + path).headers["content-security-policy"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == "'self'"
        assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"


def test_a_form_without_its_token_changes_nothing(cast: Cast) -> None:
    for path in ("/login", "/register", "/logout"):
        answer = cast.patient.page.request.post(cast.base + path, form={"login": "x"})
        assert answer.status == 400, path
        assert "out of date" in answer.text()


# Logging in


def test_wrong_names_and_wrong_passwords_look_the_same(cast: Cast, window: Window) -> None:
    page = window()
    answers = set()
    for login in (cast.patient.login_name, "nobody-00000"):
        page.goto(f"{cast.base}/login")
        token = page.locator("form [name=csrf_token]").input_value()
        answer = page.request.post(
            f"{cast.base}/login",
            form={"csrf_token": token, "login": login, "password": "not the password"},
        )
        assert answer.status == 401
        answers.add(re.sub('value="[^"]*"', "", answer.text()))
    assert len(answers) == 1


def test_registration_says_what_is_wrong(cast: Cast, window: Window) -> None:
    page = window()
    page.goto(f"{cast.base}/register")
    expect(page.locator("main")).to_contain_text(f"At least {MIN_PASSWORD} characters.")
    token = page.locator("form [name=csrf_token]").input_value()
    form = {
        "csrf_token": token,
        "kind": "patient",
        "age_band": "adult",
        "display_name": "Patient A",
        "password": PASSWORD,
        "repeated": PASSWORD,
    }
    for changed, said in (
        ({"display_name": ""}, "Please type your name."),
        ({"display_name": "x" * 81}, "Field cannot be longer than 80"),
        ({"display_name": "\u202e"}, "letters that can be printed"),
        (
            {"password": "x" * (MIN_PASSWORD - 1), "repeated": "x" * (MIN_PASSWORD - 1)},
            f"A password has at least {MIN_PASSWORD} characters",
        ),
        ({"repeated": "another one"}, "The two passwords differ."),
        ({"kind": "operator"}, "Not a valid choice"),
        ({"age_band": "ancient"}, "Not a valid choice"),
    ):
        answer = page.request.post(f"{cast.base}/register", form=form | changed)
        assert answer.status == 422, changed
        assert said in answer.text(), changed


def test_logging_out_ends_the_session_of_every_tab(cast: Cast, window: Window) -> None:
    page = window()
    patient = Patient(page, cast.base)
    patient.register("Patient A")
    cookies = page.context.cookies()
    patient.log_out()
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    assert page.request.get(f"{cast.base}/account", max_redirects=0).status == 302


def test_another_password_is_chosen_on_the_account_page(
    window: Window, running_system: LocalSystem, complaints: Complaints
) -> None:
    complaints.allow("422")
    base = running_system.aggregator_url
    patient, elsewhere = Patient(window(), base), Patient(window(), base)
    patient.register("Patient A")
    elsewhere.log_in(patient.login_name)
    patient.open("/account")
    for present, said in ((PASSWORD[1:], "not your present password"), (PASSWORD, "is changed")):
        patient.page.get_by_label("Present password").fill(present)
        patient.page.get_by_label("New password", exact=True).fill("a louder beat by day")
        patient.page.get_by_label("New password again").fill("a louder beat by day")
        patient.page.get_by_role("button", name="Change password").click()
        expect(patient.page.locator("main")).to_contain_text(said)
    patient.expect_key()
    elsewhere.open("/account")
    expect(elsewhere.page.get_by_role("heading", level=1)).to_have_text("Log in")
    elsewhere.log_in(patient.login_name, "a louder beat by day")
    elsewhere.open("/account")
    elsewhere.page.get_by_role("button", name="Log out everywhere").click()
    expect(elsewhere.page.locator("main")).to_contain_text("You are logged out everywhere")
    patient.open("/account")
    expect(patient.page.get_by_role("heading", level=1)).to_have_text("Log in")


# Language


def test_german_by_choice_and_by_the_browsers_wish(cast: Cast, window: Window) -> None:
    page = window()
    page.goto(f"{cast.base}/login")
    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Anmelden")
    assert page.locator("html").get_attribute("lang") == "de"
    page.goto(cast.base)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Herztöne gehen hinein")
    wished = window(locale="de-DE")
    wished.goto(f"{cast.base}/about-privacy")
    expect(wished.get_by_role("heading", level=1)).to_have_text("So bleibt es privat")
    wished.get_by_role("link", name="English").click()
    expect(wished.get_by_role("heading", level=1)).to_have_text("How your privacy works")


def test_scripts_speak_german_too(cast: Cast, window: Window) -> None:
    page = cast.patient.page
    page.goto(f"{cast.base}/recordings?language=de")
    try:
        expect(page.locator("#counts-status")).to_contain_text("Geöffnet")
        expect(page.locator("#total-sound [data-part=of]")).to_have_text("von 3 Aufnahmen")
        expect(page.locator("#recordings .state").first).to_have_text("Gezählt")
    finally:
        page.goto(f"{cast.base}/recordings?language=en")


# The operator


def test_the_operator_sees_the_machinery_and_no_patient(cast: Cast) -> None:
    page = cast.operator.page
    page.goto(f"{cast.base}/operator")
    main = page.locator("main").inner_text()
    for part in ("Waiting for analysis", "Workers", "inference", "aggregation", "Last 24 hours"):
        assert part in main
    for private in ("Patient A", "Doctor B", cast.patient.login_name, "monday.wav"):
        assert private not in page.content()
    page.locator("#figures > *").first.evaluate("element => { element.id = 'before'; }")
    expect(page.locator("#before")).to_have_count(0, timeout=15_000)
    assert "Waiting for analysis" in page.locator("main").inner_text()


def test_the_operators_page_outlives_a_proxy_that_cannot_reach_the_server(cast: Cast) -> None:
    page, figures = cast.operator.page, "**/operator/figures"
    cast.complaints.allow("502")
    page.route(figures, lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    page.goto(f"{cast.base}/operator")
    status = page.locator("#operator-status")
    expect(status).to_contain_text("Hushbeat cannot be reached")
    page.unroute(figures)
    expect(status).to_be_empty()


# Everybody can use it


@pytest.fixture(scope="module")
def rooms() -> dict[str, tuple[str, ...]]:
    return {
        "stranger": PUBLIC,
        "patient": (*PATIENTS, *COLLECTORS, "/account", "/account?new=yes"),
        "doctor": (*DOCTORS, "patient", *COLLECTORS, "/account"),
        "operator": ("/operator", "/operator/recoveries", "/account", "/no-such-page"),
    }


def _choose_a_file(cast: Cast) -> None:
    file = {"name": "letter.wav", "mimeType": "audio/wav", "buffer": b"no audio"}
    cast.patient.page.set_input_files("#files", [file])  # type: ignore[list-item]
    cast.patient.expect_card("letter.wav", "Not usable")


def _find_a_doctor(cast: Cast) -> None:
    code = cast.doctor.code()
    cast.patient.page.get_by_label("Doctor code").fill(code)
    cast.patient.page.get_by_role("button", name="Find doctor").click()
    expect(cast.patient.page.locator("#doctor-found")).to_be_visible()
    cast.patient.page.get_by_role("button", name="Take back").click()


def _leave_out_everything(cast: Cast) -> None:
    cast.complaints.allow("422")
    cast.stranger.get_by_role("button", name="Register").click()
    expect(cast.stranger.get_by_role("alert")).to_be_visible()


_UNFOLD = {
    "/register": _leave_out_everything,
    "/recordings": _choose_a_file,
    "/doctors": _find_a_doctor,
}


def _visits(cast: Cast, rooms: dict[str, tuple[str, ...]]) -> Iterator[tuple[Page, str]]:
    """Every page of everybody, each when it has settled."""
    people = {"patient": cast.patient, "doctor": cast.doctor, "operator": cast.operator}
    cast.complaints.allow("404")
    for who, paths in rooms.items():
        page = people[who].page if who in people else cast.stranger
        for path in paths:
            if path == "patient":
                cast.doctor.look_at("Patient A")
            else:
                page.goto(cast.base + path)
            if path in ("/recordings", "patient"):
                assert people[who].counts() == Counts(3, 1, 1)
            elif path == "/patients":
                cast.doctor.row("Patient A")
            elif path.startswith("/account") and who != "operator":
                people[who].expect_key()
            elif path == "/doctors":
                expect(page.locator("#consents li")).to_have_count(1)
            elif path == "/keys":
                expect(page.locator("#key-list li")).to_have_count(1)
            elif path == "/log":
                expect(page.locator("#log-status")).to_contain_text("follow")
            elif path == "/operator/recoveries":
                expect(page.locator("#approvals-status")).to_contain_text("Nobody asks")
            yield page, f"{who} {path}"
            if path in _UNFOLD:
                _UNFOLD[path](cast)
                yield page, f"{who} {path}, unfolded"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(cast: Cast, rooms: dict[str, tuple[str, ...]], scheme: str) -> None:
    found = {}
    for page, name in _visits(cast, rooms):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        if violations := barriers(page):
            found[name] = violations
        page.emulate_media(color_scheme="light")
    assert found == {}


def test_nothing_is_wider_than_a_phone(cast: Cast, rooms: dict[str, tuple[str, ...]]) -> None:
    too_wide = {}
    for page, name in _visits(cast, rooms):
        if (width := width_on_a_phone(page)) > PHONE[0]:
            too_wide[name] = width
    assert too_wide == {}


def test_the_keyboard_is_enough(cast: Cast, window: Window) -> None:
    """Registers and reaches everything on the first page by Tab, arrows, Space and Enter alone."""
    page = window()
    page.goto(f"{cast.base}/register")
    keys = page.keyboard
    keys.press("Tab")
    assert _focused(page) == "Skip to the content"
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    keys.press("Tab")
    keys.press("ArrowRight")
    expect(page.get_by_label("a doctor")).to_be_checked()
    expect(page.get_by_label("Age of the patient")).to_be_hidden()
    keys.press("ArrowLeft")
    keys.press("Tab")
    keys.type("Patient A")
    keys.press("Tab")
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    patient = Patient(page, cast.base)
    patient.expect_key()
    patient.open("/recordings")
    patient.counts()
    reached, unmarked = [], []
    for _ in range(30):
        keys.press("Tab")
        reached.append(_focused(page))
        if not _marked(page):
            unmarked.append(reached[-1])
        if "Deutsch" in reached:
            break
    assert unmarked == []
    for name in ("Recordings", "Doctors", "Account", "Log out", "Choose files", "Open again"):
        assert name in reached


def _focused(page: Page) -> str:
    """The name of the element that has the focus."""
    name: str = page.evaluate(
        """() => {
            const { activeElement: element } = document;
            return (element.labels?.[0] ?? element).textContent.trim();
        }"""
    )
    return name


def _marked(page: Page) -> bool:
    """Whether the focus can be seen: an outline on the element or on what stands for it."""
    shown: bool = page.evaluate(
        """() => [document.activeElement, ...(document.activeElement.labels ?? [])].some(
            (element) => getComputedStyle(element).outlineStyle !== "none")"""
    )
    return shown
