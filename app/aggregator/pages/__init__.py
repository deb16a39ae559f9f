"""The aggregator's pages: server-rendered, translated, without anything inline."""

from app.aggregator.pages.registration import register_pages, render_problem

__all__ = ["register_pages", "render_problem"]
