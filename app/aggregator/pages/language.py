"""The language of the pages: the reader's choice in a cookie, else what the browser asks for.

The links in the footer add `?language=` to the page that one is on.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app.aggregator.extensions import babel
from app.aggregator.services import services

LANGUAGES = {"en": "English", "de": "Deutsch"}

_COOKIE = "hushbeat_language"
_COOKIE_SECONDS = 365 * 24 * 3600
_TRANSLATIONS = Path(__file__).parents[2] / "translations"


def current_language() -> str:
    """One of `LANGUAGES`."""
    chosen = request.cookies.get(_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"


def register_language(app: Flask) -> None:
    """Translates everything that `_()` marks, and remembers the choice of the footer."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(_TRANSLATIONS)
    babel.init_app(app, locale_selector=current_language)

    @app.before_request
    def choose() -> AnyResponse | None:
        chosen = request.args.get("language")
        if request.method != "GET" or request.blueprint != "pages" or chosen not in LANGUAGES:
            return None
        answer = redirect(request.path)
        answer.set_cookie(
            _COOKIE,
            chosen,
            max_age=_COOKIE_SECONDS,
            secure=services().config.secure_cookies,
            httponly=True,
            samesite="Lax",
        )
        return answer

    @app.after_request
    def vary(response: Response) -> Response:
        if request.blueprint == "pages":
            response.headers["Content-Language"] = current_language()
            response.vary.update(["Accept-Language", "Cookie"])
        return response
