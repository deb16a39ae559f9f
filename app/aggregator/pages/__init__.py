"""The aggregator's pages: server-rendered, translated, without anything inline."""

from app.aggregator.pages.registration import PUBLIC_ENDPOINTS, register_pages, render_problem

__all__ = ["PUBLIC_ENDPOINTS", "register_pages", "render_problem"]
