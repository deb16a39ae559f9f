"""The worker's calls to the aggregator: lease, blob, report, release (protocol, section 7)."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from crypto.encoding import check_id
from crypto.errors import InvalidEncoding
from crypto.hpke import OVERHEAD_BYTES
from crypto.jws import SigningKey
from crypto.service_auth import authorization

TIMEOUT_SECONDS = 20.0
REPORT_TRIES = 3
REPORT_PAUSE_SECONDS = 0.5

NO_LEASE = frozenset({404, 409, 410})
"""Unknown, taken or finished: somebody else's or nobody's business."""


class AggregatorUnavailable(Exception):
    """No answer, or one that says to come back later."""


class AggregatorRefused(Exception):
    """The aggregator refused this call for good; the message holds status and problem slug."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one recording for a while."""

    recording: str
    pseudonym: str
    lease: str
    attempt: int


class AggregatorClient:
    """One connection pool of one worker process; make it after the fork."""

    def __init__(
        self,
        url: str,
        key: SigningKey,
        max_upload_bytes: int,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._key = key
        self._max_blob_bytes = max_upload_bytes + OVERHEAD_BYTES
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, transport=transport)

    def lease(self, recording: str) -> Lease | None:
        """Begin an attempt; None when there is nothing to do for this worker."""
        answer = self._call("POST", f"/internal/recordings/{recording}/lease", {})
        if answer.status_code in NO_LEASE:
            return None
        body = _expect(answer, 200)
        try:
            given = Lease(
                check_id(body["recording"]),
                check_id(body["pseudonym"]),
                check_id(body["lease"]),
                int(body["attempt"]),
            )
        except (KeyError, TypeError, ValueError, InvalidEncoding):
            raise AggregatorRefused("The answer to a lease is not one.") from None
        if given.recording != recording:
            raise AggregatorRefused("A lease on another recording was given.")
        return given

    def blob(self, lease: Lease) -> bytes:
        """The sealed bytes, never more than a recording may have."""
        path = f"/internal/recordings/{lease.recording}/blob?lease={lease.lease}"
        sealed = bytearray()
        try:
            with self._http.stream("GET", path, headers=self._signed("GET", path, b"")) as answer:
                if answer.status_code != 200:
                    answer.read()
                _expect_status(answer, 200)
                for chunk in answer.iter_bytes():
                    sealed += chunk
                    if len(sealed) > self._max_blob_bytes:
                        raise AggregatorRefused("The blob is larger than a recording may be.")
        except httpx.HTTPError as error:
            raise AggregatorUnavailable(type(error).__name__) from None
        return bytes(sealed)

    def report(self, lease: Lease, report: str) -> None:
        """Hand in a signed report; a resend after a broken connection is the same report."""
        path = f"/internal/recordings/{lease.recording}/report"
        for left in reversed(range(REPORT_TRIES)):
            try:
                _expect(self._call("POST", path, {"report": report}), 200)
            except AggregatorUnavailable:
                if not left:
                    raise
                time.sleep(REPORT_PAUSE_SECONDS)
            else:
                return

    def release(self, lease: Lease) -> None:
        """Give the lease and the attempt back."""
        path = f"/internal/recordings/{lease.recording}/release"
        _expect_status(self._call("POST", path, {"lease": lease.lease}), 204)

    def sighted(self, name: str, ready: bool) -> None:
        """Tell that this worker is there."""
        body = {"name": name, "kind": "inference", "ready": ready}
        _expect_status(self._call("POST", "/internal/workers", body), 204)

    def _call(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        content = json.dumps(body).encode()
        headers = self._signed(method, path, content) | {"Content-Type": "application/json"}
        try:
            return self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise AggregatorUnavailable(type(error).__name__) from None

    def _signed(self, method: str, path: str, body: bytes) -> dict[str, str]:
        return {"Authorization": authorization(self._key, "aggregator", method, path, body)}


def _expect(answer: httpx.Response, status: int) -> dict[str, Any]:
    _expect_status(answer, status)
    try:
        body = answer.json()
    except ValueError:
        raise AggregatorRefused("The answer is not JSON.") from None
    if not isinstance(body, dict):
        raise AggregatorRefused("The answer is not a JSON object.")
    return body


def _expect_status(answer: httpx.Response, status: int) -> None:
    if answer.status_code == status:
        return
    if answer.status_code == 429 or answer.status_code >= 500:
        raise AggregatorUnavailable(f"status {answer.status_code}")
    raise AggregatorRefused(f"status {answer.status_code} {_slug(answer)}".rstrip())


def _slug(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["type"]).rpartition(":")[2][:60]
    except (ValueError, KeyError, TypeError):
        return ""
