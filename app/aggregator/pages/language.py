"""The language of the pages: the reader's choice in a cookie, else what the browser asks for."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, request
from flask_babel import Babel

LANGUAGES = {"en": "English", "de": "Deutsch"}
LANGUAGE_COOKIE = "hushbeat_language"

_TRANSLATIONS = Path(__file__).parents[2] / "translations"


def current_language() -> str:
    """One of `LANGUAGES`."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"


def register_language(app: Flask) -> None:
    """Translates everything that `_()` marks."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(_TRANSLATIONS)
    Babel(app, locale_selector=current_language)
