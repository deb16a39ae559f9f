from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from deploy.local.system import LocalSystem
from tests.browser.browsers import Complaints, launch, private_window
from tests.browser.cast import Cast, gather
from tests.browser.recordings import Recordings
from tests.browser.static_site import static_site
from tests.support.fixtures import make_system
from tests.support.launch import LAUNCHER


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)  # an answer may take a while where many tests run at once
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """At the end of the test no browser may have complained about anything."""
    complaints = Complaints()
    yield complaints
    assert complaints.take() == []


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


Window = Callable[..., Page]


@pytest.fixture
def window(browser: Browser, complaints: Complaints) -> Iterator[Window]:
    """`window(...)` opens a browser of somebody's own; arguments as of `private_window`."""
    with ExitStack() as windows:
        yield lambda **looks: windows.enter_context(
            private_window(browser, complaints, **looks)
        ).new_page()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="session")
def named_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    """A system of its own under a name, where passkeys work; shared like `running_system`."""
    with make_system(tmp_path_factory.mktemp("named"), host="localhost") as system:
        yield system


@pytest.fixture(scope="session")
def operator_password(running_system: LocalSystem) -> str:
    """Of the operator `operator`."""
    done = subprocess.run(
        [*LAUNCHER, "-m", "app.aggregator.operator_account", "operator"],
        env=running_system.environment_of("aggregator"),
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()[-1]


@pytest.fixture(scope="session")
def _gathered(
    browser: Browser, running_system: LocalSystem, recordings: Recordings, operator_password: str
) -> Iterator[Cast]:
    with gather(browser, running_system.aggregator_url, recordings, operator_password) as everybody:
        yield everybody


@pytest.fixture
def cast(_gathered: Cast) -> Iterator[Cast]:
    """A patient with counted recordings, the patient's doctor and an operator, logged in."""
    yield _gathered
    assert _gathered.complaints.take() == []
