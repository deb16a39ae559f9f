"""One upload against what servers, and proxies in front of them, may answer."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tests.browser.browsers import Complaints

PATH = "**/api/recordings/*"
COUNTED = {"json": {"state": "counted", "day": "2026-01-01"}}
PROXY_PAGE = {"body": "<html><h1>Bad Gateway</h1></html>", "content_type": "text/html"}
WAITING = {"type": "urn:hushbeat:problem:too-many-waiting", "status": 429}

SEND = """async () => {
    const { Upload } = await import("/static/js/upload.js");
    const upload = new Upload(new File(["x"], "x.wav"));
    const states = [];
    upload.addEventListener("change", () => states.push(upload.state));
    Object.assign(upload, { id: "0".repeat(32), state: "ready" });
    upload.sealed = new Uint8Array([1, 2, 3]);
    window.upload = upload;
    await upload.send();
    return { state: upload.state, code: upload.error?.code, states, sendable: upload.sendable };
}"""


class Server:
    """Gives the answers in turn; the last one again and again. None: it never answers."""

    def __init__(self, page: Page, answers: list[dict[str, Any] | None]) -> None:
        self.bodies: list[bytes | None] = []
        self._answers = answers
        page.route(PATH, self._answer)

    def _answer(self, route: Route) -> None:
        self.bodies.append(route.request.post_data_buffer)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            route.fulfill(**answer)


@pytest.fixture(autouse=True)
def _failures_are_loud(complaints: Complaints) -> None:
    complaints.allow("Failed to load resource")


@pytest.mark.parametrize(
    "first",
    [
        {"status": 502, **PROXY_PAGE},
        {"status": 503, "body": ""},
        {"status": 504, **PROXY_PAGE},
        {"status": 408, **PROXY_PAGE},
        {"status": 503, "body": '"not an object"'},
        {"status": 429, "json": WAITING, "headers": {"Retry-After": "1"}},
        {"status": 429, **PROXY_PAGE, "headers": {"Retry-After": "1"}},
    ],
    ids=["502", "503", "504", "408", "503-text", "429", "429-page"],
)
def test_later_means_the_same_bytes_again(blank: Page, first: dict[str, Any]) -> None:
    server = Server(blank, [first, COUNTED])
    end = blank.evaluate(SEND)
    assert end["state"] == "counted"
    assert "delayed" in end["states"]
    assert server.bodies == [b"\x01\x02\x03"] * 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"status": 413, **PROXY_PAGE}, "recording-too-large"),
        ({"status": 403, **PROXY_PAGE}, "403"),
        ({"status": 500, "body": "null"}, "500"),
        ({"status": 409, "json": {"type": 5}}, "409"),
        ({"status": 401, **PROXY_PAGE}, "logged-out"),
        ({"status": 200, **PROXY_PAGE}, "bad-message"),
        ({"status": 201, "body": "null"}, "bad-message"),
    ],
)
def test_any_other_answer_stops_with_an_error(
    blank: Page, answer: dict[str, Any], code: str
) -> None:
    server = Server(blank, [answer])
    end = blank.evaluate(SEND)
    assert (end["state"], end["code"], end["sendable"]) == ("stopped", code, True)
    assert len(server.bodies) == 1


def test_a_server_that_stays_silent_is_asked_again(blank: Page) -> None:
    blank.clock.install()
    server = Server(blank, [None, COUNTED])
    ended = f"window.ended = ({SEND})().then((end) => (window.end = end)); undefined"
    blank.evaluate(ended)
    for _ in range(40):
        blank.clock.run_for(5_000)
        if blank.evaluate("window.end?.state"):
            break
    assert blank.evaluate("window.end?.state") == "counted"
    assert len(server.bodies) == 2


def test_how_long_a_busy_server_is_left_alone(blank: Page) -> None:
    """Without a sensible Retry-After a while, with a huge one not for days; at last it gives up."""
    blank.clock.install()
    waits = [("0", 0), ("7", 7), ("999999", 300), ("soon", 15), (None, 15)]
    busy = [
        {"status": 429, "json": WAITING, "headers": {} if text is None else {"Retry-After": text}}
        for text, _ in waits
    ]
    Server(blank, [*busy, {"status": 429, "json": WAITING, "headers": {"Retry-After": "300"}}])
    blank.evaluate(
        """() => {
            const set = window.setTimeout;
            window.waits = [];
            window.setTimeout = (done, ms) => {
                if (ms === 60_000) return 0; // the one for a silent server, which this is not
                window.waits.push(ms / 1000);
                return set(done, 1_000);
            };
            const now = Date.now;
            Date.now = () => now() + 1000 * window.waits.reduce((sum, one) => sum + one, 0);
        }"""
    )
    blank.evaluate(f"({SEND})().then((end) => (window.end = end)); undefined")
    for _ in range(400):
        blank.clock.run_for(1_000)
        if blank.evaluate("window.end?.state"):
            break
    assert blank.evaluate("window.end?.state") == "stopped"
    assert blank.evaluate("window.end?.code") == "too-many-waiting"
    assert blank.evaluate("window.waits.slice(0, 5)") == [wait for _, wait in waits]


@pytest.mark.parametrize(
    ("reason", "again"),
    [("sealed_broken", True), ("quarantined", True), ("not_comparable", False)],
)
def test_a_mendable_failure_may_be_sent_again(blank: Page, reason: str, again: bool) -> None:
    Server(blank, [COUNTED])
    end = blank.evaluate(
        """async (reason) => {
            const { Upload } = await import("/static/js/upload.js");
            const upload = new Upload(new File(["x"], "x.wav"));
            Object.assign(upload, { id: "0".repeat(32), state: "ready" });
            upload.follow({ state: "failed", reason, day: "2026-01-01", again: true });
            upload.sealed = new Uint8Array([1]);
            const { sendable } = upload;
            await upload.send();
            return [sendable, upload.state];
        }""",
        reason,
    )
    assert end == [again, "counted" if again else "failed"]
