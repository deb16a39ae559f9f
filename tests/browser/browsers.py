"""Headless Chromium whose pages fail the test when something on them goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Route

from tests.support.small_keys import SMALL_BITS

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = (1280, 900)
PHONE = (390, 844)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


class Complaints:
    """Everything that a browser complains about: console errors (the content security policy's
    among them) and exceptions. `allow` names what a test provokes on purpose.
    """

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._allowed: list[str] = []

    def allow(self, part: str) -> None:
        self._allowed.append(part)

    def listen(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._heard.append(f"exception: {error}"))

    def take(self) -> list[str]:
        """What was heard since the last time and not allowed; then all of it is forgotten."""
        heard = [one for one in self._heard if not any(part in one for part in self._allowed)]
        self._heard, self._allowed = [], []
        return heard

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._heard.append(f"{message.text} ({message.location.get('url')})")


@contextmanager
def private_window(
    browser: Browser,
    complaints: Complaints,
    size: tuple[int, int] = DESKTOP,
    scheme: str = "light",
    locale: str = "en-GB",
) -> Iterator[BrowserContext]:
    """A browser of its own, without anybody else's keys, that takes the tests' small keys."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        locale=locale,
    )
    context.on("page", complaints.listen)
    context.route("**/static/js/paillier.js", _with_small_keys)
    try:
        yield context
    finally:
        context.close()


def _with_small_keys(route: Route) -> None:
    """The floor of the key length is a constant of the program; only a test lowers it."""
    answer = route.fetch()
    floor = "MIN_KEY_BITS = 3072"
    text = answer.text()
    if floor not in text:
        raise AssertionError("paillier.js no longer has its floor where this test looks for it")
    route.fulfill(response=answer, body=text.replace(floor, f"MIN_KEY_BITS = {SMALL_BITS}"))
