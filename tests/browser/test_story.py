"""The main job through the pages: sealed recordings go in, only counts come out."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Request, Route, expect

from crypto.encoding import unb64u
from crypto.hpke import OVERHEAD_BYTES
from deploy.local.system import LocalSystem
from tests.browser.browsers import Complaints
from tests.browser.conftest import Window
from tests.browser.navigators import PASSWORD, PATIENCE_MS, Counts, Doctor, Patient
from tests.browser.recordings import Recordings


@pytest.fixture
def base(running_system: LocalSystem) -> str:
    return running_system.aggregator_url


def test_from_registering_to_taking_the_consent_back(
    window: Window, base: str, recordings: Recordings, complaints: Complaints
) -> None:
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    doctor.register("Doctor B")
    patient.register("Patient A")
    patient.allow(doctor.code(), "Doctor B")

    doctor.look_at("Patient A")
    assert doctor.counts() == Counts(0, 0, 0)
    doctor.set_range("Balanced", 50, 110)

    sent: list[Request] = []
    patient.page.on("request", lambda request: sent.append(request))
    readable = [
        recordings.healthy("calm.wav"),
        recordings.murmur("murmur.wav"),
        recordings.fast("stairs.wav"),
    ]
    patient.choose([*readable, recordings.noise("pocket.wav"), recordings.no_audio("letter.wav")])
    patient.expect_card("calm.wav", "Ready to send")
    patient.expect_card("letter.wav", "This is not a WAV, FLAC, OGG or MP3 recording.")
    assert _drawn(patient, "calm.wav")
    assert [request for request in sent if request.method == "PUT"] == []

    patient.send()
    for path in readable:
        patient.expect_card(path.name, "Counted")
    patient.expect_card("pocket.wav", "Unreadable: please record again")
    uploads = [request for request in sent if request.method == "PUT"]
    assert len(uploads) == 4
    for request in uploads:
        body = request.post_data_buffer or b""
        assert len(body) in {path.stat().st_size + OVERHEAD_BYTES for path in readable}
        assert b"RIFF" not in body

    patient.open("/recordings")
    assert patient.counts() == Counts(3, 1, 1)
    expect(patient.page.locator("#days tr")).to_have_count(1)
    assert patient.page.locator("#days td").all_inner_texts() == ["3", "1", "1"]
    expect(patient.page.locator("#recordings tr")).to_have_count(4)

    doctor.open("/patients")
    assert doctor.row("Patient A") == {
        "recordings": "3",
        "sound": "1",
        "rate": "1",
        "range": "set by you",
    }
    doctor.look_at("Patient A")
    assert doctor.counts() == Counts(3, 1, 1)
    address = doctor.page.url

    patient.take_back("Doctor B")
    expect(patient.page.locator("#no-consents")).to_be_visible()
    doctor.open("/patients")
    expect(doctor.page.locator("#no-patients")).to_be_visible()
    complaints.allow("404")
    doctor.page.goto(address)
    expect(doctor.page.get_by_role("heading", level=1)).to_have_text("There is no such page")


def _drawn(patient: Patient, name: str) -> bool:
    """Both pictures of a card hold more than one colour."""
    colours = (
        patient.page.locator(".upload", has_text=name)
        .locator("canvas")
        .evaluate_all(
            """(canvases) => canvases.map((canvas) => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            return new Set(new Uint32Array(data.buffer)).size;
        })"""
        )
    )
    return len(colours) == 2 and min(colours) > 1


def test_a_range_moves_what_counts(window: Window, base: str, recordings: Recordings) -> None:
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    doctor.register("Doctor B")
    patient.register("Patient A")
    patient.allow(doctor.code(), "Doctor B")
    doctor.look_at("Patient A")
    expect(doctor.page.locator("#range-now")).to_contain_text("No range has been set")
    doctor.set_range("Balanced", 120, 140)
    patient.choose([recordings.healthy("slow.wav"), recordings.fast("quick.wav")])
    patient.send()
    patient.expect_card("slow.wav", "Counted")
    patient.expect_card("quick.wav", "Counted")
    patient.open("/recordings")
    assert patient.counts() == Counts(2, 0, 1)
    doctor.page.get_by_label("from", exact=True).fill("90")
    doctor.page.get_by_label("to", exact=True).fill("60")
    doctor.page.get_by_role("button", name="Encrypt and set").click()
    assert doctor.page.locator("#hi").evaluate("field => field.validationMessage") == (
        "The upper limit must not be below the lower one."
    )
    doctor.set_range("Balanced", 60, 90)


def test_a_range_never_leaves_in_the_clear(
    window: Window, base: str, complaints: Complaints
) -> None:
    """Not even when the doctor is faster than the page's script."""
    complaints.allow("net::ERR_FAILED")
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    doctor.register("Doctor B")
    patient.register("Patient A")
    patient.allow(doctor.code(), "Doctor B")
    doctor.page.route("**/js/patient-detail.js", lambda route: route.abort())
    doctor.look_at("Patient A")
    address = doctor.page.url
    expect(doctor.page.get_by_role("button", name="Encrypt and set")).to_be_disabled()
    doctor.page.get_by_label("from", exact=True).press("Enter")
    doctor.page.evaluate("document.getElementById('range-form').submit()")
    doctor.page.wait_for_timeout(300)
    assert doctor.page.url == address


def test_the_same_file_counts_once(window: Window, base: str, recordings: Recordings) -> None:
    patient = Patient(window(), base)
    patient.register("Patient A")
    first = recordings.murmur("first.wav")
    patient.choose([first, recordings.copy(first, "copy.wav")])
    expect(patient.page.locator("#upload-status")).to_have_text(
        "copy.wav is already in the list; it will be sent once."
    )
    patient.page.get_by_role("button", name="Seal and send 1 recording").dblclick()
    patient.expect_card("first.wav", "Counted")
    patient.choose([recordings.copy(first, "again.wav")])
    patient.expect_card("again.wav", "You have sent this recording before.")
    assert "Counted" in patient.card("again.wav")
    expect(patient.page.get_by_role("button", name="Nothing left to send")).to_be_disabled()
    assert patient.counts() == Counts(1, 1, 0)


def test_a_broken_connection_sends_the_same_bytes_again(
    window: Window, base: str, recordings: Recordings, complaints: Complaints
) -> None:
    complaints.allow("net::ERR_CONNECTION_RESET")
    patient = Patient(window(), base)
    patient.register("Patient A")
    bodies: list[bytes | None] = []

    def lose_the_answer_once(route: Route) -> None:
        bodies.append(route.request.post_data_buffer)
        if len(bodies) == 1:
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    patient.page.route(re.compile("/api/recordings/[0-9a-f]{32}"), lose_the_answer_once)
    patient.choose([recordings.healthy("tunnel.wav")])
    patient.send()
    patient.expect_card("tunnel.wav", "Counted")
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    patient.open("/recordings")
    assert patient.counts() == Counts(1, 0, 0)


def test_a_recording_that_arrived_damaged_is_sent_again(
    window: Window, base: str, recordings: Recordings
) -> None:
    patient = Patient(window(), base)
    patient.register("Patient A")
    path = recordings.fast("dented.wav")

    def damage(route: Route) -> None:
        body = route.request.post_data_buffer or b""
        route.continue_(post_data=body[:-1] + bytes([body[-1] ^ 1]))

    patient.page.route(_UPLOADS, damage)
    patient.choose([path])
    patient.send()
    patient.expect_card("dented.wav", "It arrived damaged.")
    patient.page.unroute(_UPLOADS)
    patient.choose([path])
    patient.expect_card("dented.wav", "You have sent this recording before. It arrived damaged.")
    patient.page.get_by_role("button", name="Try again: dented.wav").click()
    patient.expect_card("dented.wav", "Counted")
    patient.open("/recordings")
    assert patient.counts() == Counts(1, 0, 1)
    expect(patient.page.locator("#recordings tr")).to_have_count(1)


_UPLOADS = re.compile("/api/recordings/[0-9a-f]{32}")


def test_a_consent_that_the_aggregator_does_not_know_to_be_gone_closes_nobody_else(
    window: Window, running_system: LocalSystem, recordings: Recordings, complaints: Complaints
) -> None:
    complaints.allow("403")
    complaints.allow("net::ERR_FAILED")
    base = running_system.aggregator_url
    doctor = Doctor(window(), base)
    doctor.register("Doctor B")
    code = doctor.code()
    for name in ("Patient A", "Patient C"):
        patient = Patient(window(), base)
        patient.register(name)
        patient.allow(code, "Doctor B")
        patient.choose([recordings.murmur(f"{name}.wav")])
        patient.send()
        patient.expect_card(f"{name}.wav", "Counted")
    patient.page.route("**/api/consents/*", lambda route: route.abort())
    patient.open("/doctors")
    with patient.page.expect_response(f"{running_system.keyholder_url}/v1/revocations"):
        patient.page.get_by_role("button", name="Take back the consent for Doctor B").click()
        patient.page.get_by_role("button", name="Yes, take back").click()
    doctor.open("/patients")
    assert doctor.row("Patient A")["sound"] == "1"
    assert doctor.row("Patient C")["sound"] == "–"
    gone = doctor.page.locator("#patients tr", has_text="Patient C")
    expect(gone).to_contain_text("The key holder finds no consent for this.")


def test_a_day_that_the_key_holder_refuses_closes_no_other(
    window: Window, running_system: LocalSystem, recordings: Recordings, complaints: Complaints
) -> None:
    complaints.allow("422")
    base = running_system.aggregator_url
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    doctor.register("Doctor B")
    patient.register("Patient A")
    patient.allow(doctor.code(), "Doctor B")
    made = [recordings.fast("one.wav"), recordings.murmur("two.wav"), recordings.fast("three.wav")]
    days = [_day(back) for back in (3, 2, 1)]
    patient.choose(made)
    for path, day in zip(made, days, strict=True):
        patient.date(path.name, day)
    patient.send()
    for path in made:
        patient.expect_card(path.name, "Counted")

    def refuse_the_second(route: Route) -> None:
        statement = json.loads(route.request.post_data or "")["statement"]
        cells = json.loads(unb64u(statement.split(".")[1]))["cells"]
        if any(day == days[1] for cell in cells for day, _ in cell["days"]):
            route.fulfill(
                status=422,
                headers={"Access-Control-Allow-Origin": base},
                json={"type": "urn:hushbeat:problem:not-served"},
            )
        else:
            route.continue_()

    openings = f"{running_system.keyholder_url}/v1/openings"
    for page in (patient.page, doctor.page):
        page.route(openings, refuse_the_second)
    patient.open("/recordings")
    assert patient.counts() == Counts(2, 0, 2)
    assert _days(patient) == [["1", "0", "1"], ["–", "–", "–"], ["1", "0", "1"]]
    rows = patient.page.locator("#days th")
    expect(rows.nth(1)).to_contain_text("cannot be opened now")
    expect(rows.filter(has_text="cannot be opened now")).to_have_count(1)
    expect(patient.page.locator("#counts-note")).to_contain_text("1 day cannot be opened now")

    doctor.open("/patients")
    row = doctor.row("Patient A")
    assert (row["recordings"], row["sound"], row["rate"]) == ("2", "0", "2")
    expect(doctor.page.locator("#patients")).to_contain_text("1 day cannot be opened now")

    for page in (patient.page, doctor.page):
        page.unroute(openings)
    patient.page.get_by_role("button", name="Open again").click()
    expect(patient.page.locator("#counts-note")).to_be_empty()
    assert patient.counts() == Counts(3, 1, 2)


def _day(back: int) -> str:
    """The date so many days ago."""
    return (datetime.now(UTC) - timedelta(days=back)).date().isoformat()


def _days(patient: Patient) -> list[list[str]]:
    """The numbers of the table, newest day first."""
    rows = patient.page.locator("#days tr").all()
    return [row.locator("td").all_inner_texts() for row in rows]


def test_more_days_than_a_request_holds_are_added_up(
    window: Window, base: str, recordings: Recordings
) -> None:
    patient = Patient(window(), base)
    patient.register("Patient A")
    patient.choose([recordings.fast("now.wav")])
    patient.send()
    patient.expect_card("now.wav", "Counted")
    asked: list[int] = []
    patient.page.on(
        "request",
        lambda request: (
            asked.append(len(request.post_data_json["cells"][0]["days"]))
            if request.url.endswith("/api/openings")
            else None
        ),
    )
    opened = patient.page.evaluate(
        """async (days) => {
            const { page } = await import("/static/js/page.js");
            const { ownKeys } = await import("/static/js/keys.js");
            const { openTallies } = await import("/static/js/openings.js");
            const keys = await ownKeys(page.account.login);
            const [cell] = await openTallies(keys, [{ pseudonym: page.account.collector, days }]);
            return [cell.days.length, cell.recordings, cell.sound, cell.rate, cell.closed];
        }""",
        [_day(back) for back in reversed(range(9_001))],
    )
    assert opened == [9_001, 1, 0, 1, []]
    assert [number for number in asked if number > 1] == [2_250, 2_250, 2_250, 2_251]


def test_an_account_without_a_key_gets_one_at_the_first_visit(window: Window, base: str) -> None:
    made = httpx.post(
        f"{base}/api/accounts",
        json={"display_name": "Patient A", "password": PASSWORD, "kind": "patient"},
    )
    patient = Patient(window(), base)
    patient.log_in(made.json()["login"])
    expect(patient.page.locator("#notice")).to_have_text(
        "This browser now holds your key. Counts can be opened here, and only here."
    )
    assert patient.counts() == Counts(0, 0, 0)
    patient.page.reload()
    assert patient.counts() == Counts(0, 0, 0)
    expect(patient.page.locator("#notice")).to_be_hidden()


def test_another_browser_sends_but_cannot_open(
    window: Window, base: str, recordings: Recordings
) -> None:
    at_home, travelling = Patient(window(), base), Patient(window(), base)
    at_home.register("Patient A")
    travelling.log_in(at_home.login_name)
    expect(travelling.page.locator("#elsewhere")).to_contain_text("holds no key of your account")
    expect(travelling.page.locator("#findings")).to_be_hidden()
    travelling.choose([recordings.murmur("hotel.wav")])
    travelling.send()
    travelling.expect_card("hotel.wav", "Counted")
    travelling.open("/doctors")
    expect(travelling.page.locator("#elsewhere")).to_be_visible()
    expect(travelling.page.get_by_label("Doctor code")).to_be_hidden()

    at_home.open("/recordings")
    assert at_home.counts() == Counts(1, 1, 0)


def test_registering_goes_on_when_the_key_holder_is_back(
    window: Window, running_system: LocalSystem, complaints: Complaints
) -> None:
    complaints.allow("net::ERR_FAILED")
    page = window()
    keyholder = re.compile(re.escape(running_system.keyholder_url))
    page.route(keyholder, lambda route: route.abort())
    patient = Patient(page, running_system.aggregator_url)
    patient.sign_up("Patient A")
    expect(page.locator("#notice")).to_contain_text("The key holder cannot be reached")
    page.unroute(keyholder)
    patient.open("/account")
    patient.expect_key()


def test_an_exchanged_key_holder_is_refused_loudly(
    window: Window, running_system: LocalSystem, recordings: Recordings
) -> None:
    patient = Patient(window(), running_system.aggregator_url)
    patient.register("Patient A")
    patient.open("/recordings")
    assert patient.counts() == Counts(0, 0, 0)
    patient.page.evaluate(
        """async (url) => {
            const store = await import("/static/js/store.js");
            await store.write("pins", url, "00".repeat(32));
        }""",
        running_system.keyholder_url,
    )
    patient.choose([recordings.healthy("kept.wav")])
    expect(patient.page.locator("#counts-status")).to_contain_text("Stop: the key holder's key")
    patient.expect_card("kept.wav", "Ready")
    patient.send()
    patient.expect_card("kept.wav", "Stop: the key holder's key")


def test_an_answer_to_another_question_is_not_opened(window: Window, base: str) -> None:
    """An aggregator that answers with somebody's earlier opening opens nothing."""
    patient = Patient(window(), base)
    patient.register("Patient A")
    made: list[dict[str, str]] = []

    def answer_as_before(route: Route) -> None:
        made.append(route.fetch().json())
        route.fulfill(json=made[0])

    patient.page.route("**/api/tallies*", lambda route: route.fulfill(json=_ONE_DAY))
    patient.page.route("**/api/openings", answer_as_before)
    patient.open("/recordings")
    status = patient.page.locator("#counts-status")
    expect(status).to_contain_text("Opened")
    patient.page.get_by_role("button", name="Open again").click()
    expect(status).to_contain_text("was not about what this page asked for")
    assert made[0]["statement"] != made[1]["statement"]


_ONE_DAY = {"days": [["2026-01-01", 1]]}


def test_a_browser_without_the_curves_is_told_so(window: Window, base: str) -> None:
    page = window()
    page.add_init_script(
        """const generate = SubtleCrypto.prototype.generateKey;
        SubtleCrypto.prototype.generateKey = function (algorithm, ...rest) {
            if (algorithm.name === "X25519") return Promise.reject(new DOMException("no"));
            return generate.call(this, algorithm, ...rest);
        };"""
    )
    Patient(page, base).sign_up("Patient A")
    expect(page.locator("#notice")).to_contain_text("Please use a current Firefox")


def test_what_a_page_asks_for_does_not_depend_on_the_counts(
    window: Window, base: str, recordings: Recordings
) -> None:
    asked = []
    for name, make in (("Well", recordings.healthy), ("Unwell", recordings.murmur)):
        patient = Patient(window(), base)
        patient.register(name)
        patient.choose([make(f"{name}.wav")])
        patient.send()
        patient.expect_card(f"{name}.wav", "Counted")
        paths: list[str] = []
        patient.page.on("request", lambda request, paths=paths: paths.append(_shape(request, base)))
        patient.open("/recordings")
        assert patient.counts() == Counts(1, 1 if name == "Unwell" else 0, 0)
        patient.page.wait_for_timeout(2_500)
        asked.append(sorted(paths))
    assert asked[0] == asked[1]


def _shape(request: Request, base: str) -> str:
    size = len(request.post_data_buffer or b"")
    return f"{request.method} {request.url.removeprefix(base)} {size}"


def test_a_wrong_code_finds_nobody(window: Window, base: str, complaints: Complaints) -> None:
    patient = Patient(window(), base)
    patient.register("Patient A")
    patient.open("/doctors")
    code, status = patient.page.get_by_label("Doctor code"), patient.page.locator("#consent-status")
    code.fill("ABCD")
    code.press("Enter")
    expect(status).to_contain_text("A doctor code has sixteen letters and digits")
    complaints.allow("404")
    code.fill("AAAA-BBBB-CCCC-DDDD")
    code.press("Enter")
    expect(status).to_contain_text("There is no doctor or clinic with this code")


def test_a_code_answered_with_another_key_is_refused(window: Window, base: str) -> None:
    """An aggregator that puts its own key under a doctor's code gets no grant."""
    doctor, thief, patient = (kind(window(), base) for kind in (Doctor, Doctor, Patient))
    doctor.register("Doctor B")
    thief.register("Doctor C")
    patient.register("Patient A")
    wanted, stolen = doctor.code(), thief.code()
    patient.page.route(
        re.compile("/api/doctors/"),
        lambda route: route.fulfill(response=route.fetch(url=f"{base}/api/doctors/{stolen}")),
    )
    patient.open("/doctors")
    patient.page.get_by_label("Doctor code").fill(wanted)
    patient.page.get_by_role("button", name="Find doctor").click()
    expect(patient.page.locator("#consent-status")).to_contain_text(
        "Stop: the key", timeout=PATIENCE_MS
    )
    expect(patient.page.locator("#doctor-found")).to_be_hidden()


def test_a_consent_that_is_there_already_is_gone_on_with(
    window: Window, base: str, complaints: Complaints
) -> None:
    """The key holder takes one grant a doctor; what the aggregator lacks of it is delivered."""
    complaints.allow("net::ERR_FAILED")
    complaints.allow("409")
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    doctor.register("Doctor B")
    patient.register("Patient A")
    code = doctor.code()
    cut = re.compile("/api/consents$")
    patient.page.route(
        cut, lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    patient.try_to_allow(code, "Doctor B")
    expect(patient.page.locator("#consent-status")).to_contain_text("cannot be reached")
    patient.page.unroute(cut)
    patient.page.get_by_role("button", name="Allow this doctor").click()
    expect(patient.page.locator("#consent-status")).to_contain_text("can now open your counts")
    expect(patient.page.locator("#consents li")).to_have_count(1)
    patient.allow(code, "Doctor B")
    expect(patient.page.locator("#consents li")).to_have_count(1)
    patient.take_back("Doctor B")
    patient.allow(code, "Doctor B")
    expect(patient.page.locator("#consents li")).to_have_count(1)


def test_a_consent_that_was_cut_off_is_finished_later(
    window: Window, base: str, complaints: Complaints
) -> None:
    """The key holder has the grant, the aggregator not: the next visit delivers it, once."""
    complaints.allow("net::ERR_FAILED")
    doctor, patient = Doctor(window(), base), Patient(window(), base)
    doctor.register("Doctor B")
    patient.register("Patient A")
    code = doctor.code()
    cut = re.compile("/api/consents$")
    patient.page.route(
        cut, lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    patient.try_to_allow(code, "Doctor B")
    expect(patient.page.locator("#consent-status")).to_contain_text("cannot be reached")
    patient.page.unroute(cut)
    patient.open("/doctors")
    expect(patient.page.locator("#consents li")).to_have_count(1)
    patient.page.reload()
    expect(patient.page.locator("#consents li")).to_have_count(1)
    patient.take_back("Doctor B")
