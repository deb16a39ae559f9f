"""Cross-origin calls: the aggregator's pages may call what is meant for collectors, nobody else."""

from __future__ import annotations

from flask import Flask, Response, request

from crypto.webauthn import origin_of

_PREFLIGHT_SECONDS = "600"


def register_cors(app: Flask, url: str, blueprints: frozenset[str]) -> None:
    """Lets pages of the origin of `url` call the endpoints of these blueprints."""
    allowed = origin_of(url)

    @app.after_request
    def add_headers(response: Response) -> Response:
        if request.blueprint not in blueprints:
            return response
        response.vary.add("Origin")
        if request.headers.get("Origin") == allowed:
            response.headers["Access-Control-Allow-Origin"] = allowed
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = ", ".join(response.allow)
                response.headers["Access-Control-Allow-Headers"] = "Content-Type"
                response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
        return response
