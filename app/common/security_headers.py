"""Headers that every answer carries."""

from __future__ import annotations

from flask import Flask, Response

API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content security policy of a role that serves no pages."""


def page_policy(keyholder_url: str) -> str:
    """Content security policy of the pages: nothing inline, nothing foreign but the key holder."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        f"connect-src 'self' {keyholder_url}; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def register_security_headers(app: Flask, policy: str, https: bool) -> None:
    """Adds `policy` and the fixed headers to every answer; HSTS where the role is served by TLS.

    Answers are not stored by caches unless a view said otherwise.
    """

    @app.after_request
    def add_headers(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
        if https:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        if "Cache-Control" not in headers:
            headers["Cache-Control"] = "no-store"
        return response
