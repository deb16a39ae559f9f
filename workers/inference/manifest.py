"""The key holder's manifest as the worker sees it: fetched, verified, kept for a minute."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from crypto.errors import CryptoError
from crypto.jws import fingerprint
from crypto.messages import Manifest

KEEP_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0


class ManifestUnavailable(Exception):
    """No manifest that can be trusted is at hand; the message says why. Try again later."""


class ManifestSource:
    """The manifest served at `keyholder_url`, signed by the key whose fingerprint is pinned."""

    def __init__(self, keyholder_url: str, fingerprint_file: Path) -> None:
        self._url = f"{keyholder_url}/v1/manifest"
        self._fingerprint_file = fingerprint_file
        self._manifest: Manifest | None = None
        self._fetched_at = 0.0

    def current(self) -> Manifest:
        """The manifest, at most a minute old. Raises ManifestUnavailable."""
        if self._manifest is None or time.monotonic() - self._fetched_at > KEEP_SECONDS:
            self._manifest = self._fetch()
            self._fetched_at = time.monotonic()
        return self._manifest

    def _fetch(self) -> Manifest:
        try:
            pinned = self._fingerprint_file.read_text().strip()
        except OSError as error:
            raise ManifestUnavailable(
                f"{self._fingerprint_file} cannot be read ({error.strerror}): bring the key "
                "holder's fingerprint there."
            ) from None
        try:
            answer = httpx.get(self._url, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            body = answer.json()
            token, key = body["manifest"], body["key"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            raise ManifestUnavailable(f"{self._url} does not serve a manifest now.") from None
        try:
            if fingerprint(key) != pinned:
                raise ManifestUnavailable(f"{self._url} serves a manifest under another key.")
            return Manifest.verify(token, key, time.time())
        except CryptoError as error:
            raise ManifestUnavailable(f"{self._url} serves no valid manifest: {error}.") from None
