"""The aggregator's side of the key holder's HTTP interface (docs/protocol.md, section 4)."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx

from app.common.problems import Problem
from config import AggregatorConfig
from crypto import jws
from crypto.encoding import check_id, json_bytes, json_object
from crypto.errors import BadSignature, CryptoError, InvalidEncoding
from crypto.jws import SigningKey
from crypto.messages import KeyState, Manifest
from crypto.paillier import PublicKey
from crypto.service_auth import authorization

MANIFEST_SECONDS = 60
"""How long a manifest is used before it is asked for again."""

RETRY_SECONDS = 2
"""How long a key holder that did not answer is left alone before it is asked again."""

_TIMEOUT = httpx.Timeout(120, connect=3)
_MANIFEST_TIMEOUT = httpx.Timeout(5, connect=2)
_MSGPACK = "application/msgpack"
_JSON = "application/json"


class KeyholderUnavailable(Problem):
    """The key holder does not answer; the same request may be sent again later."""

    slug = "keyholder-unavailable"
    title = "The key holder is not available"
    status = 503
    retry_after = 10


class KeyholderRefused(Exception):
    """The key holder answered with a problem; sending the same again changes nothing.

    Attributes:
        slug: of the problem, for instance `position-out-of-order`.
        item: index of the position that it is about, where it is about one.
    """

    def __init__(self, slug: str, item: int | None = None) -> None:
        super().__init__(slug)
        self.slug = slug
        self.item = item


class UntrustedManifest(KeyholderUnavailable):
    """What answers at the key holder's address is not the key holder whose key is pinned."""

    slug = "keyholder-not-trusted"
    title = "The key holder's manifest does not fit the pinned fingerprint"


class KeyholderClient:
    """Signed calls to the key holder, and its manifest, verified against the pinned fingerprint.

    One object serves all threads of a process.

    Args:
        config: where the key holder is and which fingerprint is pinned.
        statement_key: signs the calls.
        transport: another way to it than the network, for tests.
    """

    def __init__(
        self,
        config: AggregatorConfig,
        statement_key: SigningKey,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._fingerprint_file: Path = config.fingerprint_file
        self._key = statement_key
        self._http = httpx.Client(
            base_url=config.keyholder_url, timeout=_TIMEOUT, transport=transport
        )
        self._lock = threading.Lock()
        self._manifest: Manifest | None = None
        self._manifest_key: dict[str, Any] | None = None
        self._asked_at = float("-inf")
        self._answered = False

    def manifest(self, refresh: bool = False) -> Manifest:
        """The manifest, at most a minute old while the key holder answers, else the last one.

        Args:
            refresh: ask again now (at most once in two seconds), because a key was not found.

        Raises:
            KeyholderUnavailable: it never answered since this process started.
        """
        # While another thread asks, the last manifest will do.
        if not self._lock.acquire(blocking=self._manifest is None):
            return self._last()
        try:
            now = time.monotonic()
            patience = RETRY_SECONDS if refresh or not self._answered else MANIFEST_SECONDS
            if now - self._asked_at >= patience:
                self._asked_at, self._answered = now, False
                self._ask()
            return self._last()
        finally:
            self._lock.release()

    def manifest_key(self) -> dict[str, Any]:
        """The pinned key with which the key holder signs its word; raises as `manifest`."""
        self.manifest()
        if self._manifest_key is None:
            raise KeyholderUnavailable("It did not answer a moment ago. Try again soon.")
        return self._manifest_key

    @property
    def answered(self) -> bool:
        """Whether it answered when it was last asked for its manifest, or for something since."""
        return self._answered

    def paillier_key(self, key_id: str) -> PublicKey | None:
        """The ACTIVE Paillier key of that id, or None if it is another or a retired one."""
        return self._key_in(key_id, KeyState.ACTIVE)

    def key_in_use(self, key_id: str) -> PublicKey | None:
        """The ACTIVE or a RETIRED Paillier key of that id, or None."""
        return self._key_in(key_id, KeyState.ACTIVE, KeyState.RETIRED)

    def open_session(self, request: bytes) -> bytes:
        """Base transfers of a new session of comparisons (msgpack in, group elements out).

        Raises:
            KeyholderUnavailable: try again later.
            KeyholderRefused: it will not be answered.
        """
        return self._post("/v1/comparison-sessions", request)

    def compare(self, request: bytes) -> bytes:
        """A batch of comparisons (msgpack both ways); the identical request may be sent again.

        Raises:
            KeyholderUnavailable: send it again later.
            KeyholderRefused: nothing of it was served, unless it is `batch-already-served`.
        """
        return self._post("/v1/comparisons", request)

    def cohort_members(self, roster: str) -> list[str]:
        """The pseudonyms that a cohort of this roster would count in, in order.

        Raises:
            KeyholderUnavailable: try again later.
            KeyholderRefused: it will not be answered.
        """
        body = json_bytes({"roster": roster})
        answer = json_object(self._post("/v1/cohort-members", body, _JSON))
        return [check_id(pseudonym) for pseudonym in answer.get("members", ())]

    def move(self, request: bytes) -> bytes:
        """Ciphertexts to another Paillier key (msgpack both ways); may be sent again as it is.

        Raises:
            KeyholderUnavailable: send it again later.
            KeyholderRefused: nothing of it was moved; `item` is the tally that stands against it.
        """
        return self._post("/v1/moves", request)

    def _key_in(self, key_id: str, *states: KeyState) -> PublicKey | None:
        for refresh in (False, True):
            for entry in self.manifest(refresh).paillier:
                if entry.key_id == key_id and entry.state in states:
                    return PublicKey(entry.n)
        return None

    def _post(self, path: str, body: bytes, content_type: str = _MSGPACK) -> bytes:
        headers = {
            "Authorization": authorization(self._key, "keyholder", "POST", path, body),
            "Content-Type": content_type,
        }
        try:
            response = self._http.post(path, content=body, headers=headers)
        except httpx.HTTPError as error:
            self._answered = False
            raise KeyholderUnavailable(f"No answer: {type(error).__name__}.") from error
        if response.is_success:
            return response.content
        if response.status_code >= 500 or response.status_code in (408, 425, 429):
            self._answered = False
            raise KeyholderUnavailable(f"It answered {response.status_code}.")
        raise _refusal(response)

    def _ask(self) -> None:
        try:
            self._manifest = self._fetch_manifest()
            self._answered = True
        except KeyholderUnavailable:
            if self._manifest is None:
                raise

    def _last(self) -> Manifest:
        if self._manifest is None:
            raise KeyholderUnavailable("It did not answer a moment ago. Try again soon.")
        return self._manifest

    def _fetch_manifest(self) -> Manifest:
        try:
            response = self._http.get("/v1/manifest", timeout=_MANIFEST_TIMEOUT)
        except httpx.HTTPError as error:
            raise KeyholderUnavailable(f"No manifest: {type(error).__name__}.") from error
        if not response.is_success:
            raise KeyholderUnavailable(f"It answered {response.status_code} for its manifest.")
        try:
            return self._verify(json_object(response.content))
        except CryptoError as error:
            raise UntrustedManifest(f"{error}.") from error

    def _verify(self, answer: dict[str, Any]) -> Manifest:
        key = answer.get("key")
        if set(answer) != {"manifest", "key"} or not isinstance(key, dict):
            raise InvalidEncoding("expected a manifest and its key")
        if jws.fingerprint(key) != self._pinned():
            raise BadSignature("signed by another key than the pinned one")
        manifest = Manifest.verify(answer["manifest"], key, time.time())
        if jws.thumbprint(manifest.statement_key) != self._key.thumbprint:
            raise BadSignature("made for an aggregator with another statement key")
        self._manifest_key = key
        return manifest

    def _pinned(self) -> str:
        try:
            return self._fingerprint_file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise KeyholderUnavailable(
                f"The pinned fingerprint {self._fingerprint_file.name} cannot be read:"
                " bring it here from the key holder's host."
            ) from error


def _refusal(response: httpx.Response) -> KeyholderRefused:
    try:
        problem = json_object(response.content)
    except InvalidEncoding:
        problem = {}
    kind, item = problem.get("type"), problem.get("item")
    slug = (
        kind.removeprefix("urn:hushbeat:problem:")
        if isinstance(kind, str)
        else f"http-{response.status_code}"
    )
    return KeyholderRefused(slug, item if type(item) is int else None)
