"""A server of `app/static` and one empty page, for tests of the modules alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from app.common.security_headers import page_policy

APP = Path(__file__).parents[2] / "app"
KEYHOLDER = "http://127.0.0.1:9"
PAGE_DATA = {
    "language": "en",
    "csrf": "",
    "keyholder": {"url": KEYHOLDER, "fingerprint": "00"},
    "now": int(time.time()),
    "passkeys": None,
    "limits": {"maxUploadBytes": 1000},
    "account": {"login": "somebody", "collector": "0" * 32, "thumbprint": None},
    "words": {},
}


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory=str(APP))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        block = f'<script type="application/json" id="page-data">{json.dumps(PAGE_DATA)}</script>'
        body = f'<!doctype html><title>-</title><link rel="icon" href="data:,">{block}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", page_policy(KEYHOLDER))
        super().end_headers()

    def log_message(self, *args: object) -> None:
        """Tests need no access log."""


@contextmanager
def static_site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
