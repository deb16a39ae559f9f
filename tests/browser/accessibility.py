"""Whether everybody can use a page as it stands now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browser.browsers import DESKTOP, PHONE

_AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()


def barriers(page: Page) -> list[Any]:
    """What axe finds: rules, each with the elements that break it."""
    page.evaluate(_AXE)
    violations = page.evaluate("async () => (await axe.run()).violations")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations]


def width_on_a_phone(page: Page) -> int:
    """In pixels; a page that is wider than `PHONE` has to be pushed from side to side."""
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    width: int = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    return width


def expect_usable(page: Page) -> None:
    """No barrier, neither light nor dark, and nothing wider than a phone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert barriers(page) == []
    assert width_on_a_phone(page) <= PHONE[0]
