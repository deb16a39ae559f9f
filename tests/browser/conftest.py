from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.browsers import Complaints, launch
from tests.browser.static_site import static_site


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """At the end of the test no browser may have complained about anything."""
    complaints = Complaints()
    yield complaints
    assert complaints.left() == []


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The static files alone, without any role behind them."""
    with static_site() as url:
        yield url


@pytest.fixture
def blank(browser: Browser, site: str, complaints: Complaints) -> Iterator[Page]:
    """An empty page under the product's content security policy, from which modules load."""
    context = browser.new_context()
    context.on("page", complaints.listen)
    page = context.new_page()
    page.goto(site)
    yield page
    context.close()
