"""Hangs the pages into the aggregator's application."""

from __future__ import annotations

from flask import Flask, render_template

from app.aggregator.pages import (  # noqa: F401 - their views hang in the blueprint
    account,
    clinic,
    doctor,
    keys,
    operator,
    patient,
    public,
)
from app.aggregator.pages.blueprint import pages
from app.aggregator.pages.language import LANGUAGES, current_language, register_language
from app.aggregator.pages.page_data import PageSettings, page_data
from app.common.problems import Problem
from config import AggregatorConfig


def register_pages(app: Flask, config: AggregatorConfig) -> None:
    """Adds the blueprint `pages`, translation, and what every template needs.

    The key holder's fingerprint must exist: its `init` command runs before this role serves.
    """
    app.extensions["hushbeat_pages"] = PageSettings(
        public_url=config.public_url,
        keyholder_url=config.keyholder_url,
        fingerprint=config.fingerprint_file.read_text("ascii").strip(),
        max_upload_bytes=config.max_upload_bytes,
    )
    register_language(app)
    app.register_blueprint(pages)

    @app.context_processor
    def for_every_template() -> dict[str, object]:
        return {
            "language": current_language(),
            "languages": LANGUAGES,
            "page_data": page_data,
        }


def render_problem(problem: Problem) -> str:
    """The page of an error, for `register_problem_handlers`."""
    return render_template("pages/problem.html", problem=problem)
