"""Cross-origin calls: the aggregator's pages may call what is meant for collectors, nobody else."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

_PREFLIGHT_SECONDS = "600"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def register_cors(app: Flask, url: str, blueprints: frozenset[str]) -> None:
    """Lets pages of the origin of `url` call the endpoints of these blueprints."""
    allowed = _origin(url)

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


def _origin(url: str) -> str:
    """The origin as browsers write it: lower case, without a default port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{parts.port}"
