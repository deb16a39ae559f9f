"""Files that are served: pinned libraries, nothing inline, every text present and translated."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from app.aggregator.pages.words import _WORDS

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "app" / "static"
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
GERMAN = ROOT / "app" / "translations" / "de" / "LC_MESSAGES"


@pytest.mark.parametrize("folder", [STATIC / "vendor", Path(__file__).parent / "vendor"])
def test_vendored_libraries_are_the_ones_that_were_reviewed(folder: Path) -> None:
    pinned = dict(
        reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    present = {path.name for path in folder.iterdir()} - {"SHA256SUMS", "README.md"}
    assert set(pinned) == present
    for name, digest in pinned.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_nothing_inline(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|javascript:", text)
    for tag in re.findall(r"<script[^>]*>", text):
        assert "src=" in tag or 'type="application/json"' in tag


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_form_of_a_script_is_sent_by_the_browser_itself(path: Path) -> None:
    """Before the script listens, a click would put a healthy range into the address."""
    for form in re.findall(r"<form[^>]*>.*?</form>", path.read_text(), re.DOTALL):
        assert 'method="dialog"' in form or ('method="post"' in form and "csrf_token" in form)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_no_markup_out_of_text(path: Path) -> None:
    dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert not re.search(dangerous, path.read_text())


def test_every_text_that_a_script_asks_for_exists_and_none_is_left_over() -> None:
    names = {name for words in _WORDS.values() for name in words}
    code = "\n".join(path.read_text() for path in SCRIPTS)
    asked = set(re.findall(r'\bt\(\s*"([^"]+)"', code))
    plural = set(re.findall(r'\btn\(\s*"([^"]+)"', code))
    asked |= {f"{name}.{form}" for name in plural for form in ("one", "other")}
    assert asked <= names
    computed = ("error.", "state.", "reason.", "upload.", "range.", "account.", "enrolment.done-")
    computed += ("keys.software", "keys.passkey", "keys.asks-", "log.")
    left_over = {name for name in names - asked if not name.startswith(computed)}
    # Named by a choice between two texts, or through `t(...)` of such a choice.
    assert {name for name in left_over if f'"{name}"' not in code} == set()


def test_the_texts_of_errors_that_scripts_raise_exist() -> None:
    names = {name for words in _WORDS.values() for name in words}
    code = "\n".join(path.read_text() for path in SCRIPTS)
    raised = set(re.findall(r'HushbeatError\(\s*"([^"]+)"', code))
    raised |= {"aggregator-unreachable", "keyholder-unreachable"}
    # Only a fault of the program brings these; the general text will do.
    assert {code for code in raised if f"error.{code}" not in names} <= {"out-of-range"}


def test_reasons_of_the_worker_have_a_text() -> None:
    reasons = set()
    for name in ("containers.py", "quality.py"):
        text = (ROOT / "workers" / "inference" / name).read_text()
        reasons |= set(re.findall(r'^    [A-Z_]+ = "([a-z_]+)"$', text, re.MULTILINE))
    assert {"too_short", "not_audio"} <= reasons
    reasons |= {"sealed_broken", "quarantined", "not_comparable"}
    assert {f"reason.{reason}" for reason in reasons} <= set(_WORDS["recordings"])


def test_german_is_complete_and_compiled() -> None:
    with (GERMAN / "messages.po").open("rb") as file:
        german = read_po(file, locale="de")
    assert _marked_texts() == {message.id for message in german if message.id}
    for message in german:
        assert message.string, message.id
        assert not message.fuzzy, message.id
        holes = re.compile(r"\{\w+\}|%\(\w+\)s")
        assert sorted(holes.findall(message.id)) == sorted(holes.findall(message.string))
    compiled: Catalog = read_mo(io.BytesIO((GERMAN / "messages.mo").read_bytes()))
    assert {m.id: m.string for m in compiled if m.id} == {m.id: m.string for m in german if m.id}, (
        "compile again: pybabel compile -d app/translations"
    )


def _marked_texts() -> set[str]:
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = set()
    for folder in ("templates", "app/aggregator/pages"):
        for _, _, text, _, _ in extract_from_dir(
            str(ROOT / folder),
            [(pattern.removeprefix(f"{folder}/"), method) for pattern, method in methods],
            {pattern.removeprefix(f"{folder}/"): value for pattern, value in options.items()},
        ):
            found.add(text if isinstance(text, str) else text[0])
    return found
