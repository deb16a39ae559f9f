"""One of the two servers, spoken to in JSON. Every failure becomes a typed error."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx

from client.errors import (
    TRANSIENT,
    BadAnswer,
    ClientError,
    TooManyRequests,
    Unreachable,
    refusal,
)

T = TypeVar("T")

_MAX_ANSWER_BYTES = 8_000_000
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_ASKED_SECONDS = 3600.0
_SECONDS = re.compile(r"[0-9]{1,4}")


class Service:
    """`name` is for messages; `token` is sent as a bearer token once it is there."""

    def __init__(self, name: str, base_url: str, http: httpx.Client) -> None:
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._http = http
        self.token: str | None = None

    def get(self, path: str, **query: str) -> dict[str, Any]:
        return self._call("GET", path, query=query)

    def post(self, path: str, **body: object) -> dict[str, Any]:
        return self._call("POST", path, body=body)

    def delete(self, path: str, **body: object) -> None:
        self._call("DELETE", path, body=body)

    def put(
        self, path: str, pieces: Callable[[], Iterator[bytes]], length: int, **query: str
    ) -> dict[str, Any]:
        """Sends `length` bytes as they are; `pieces` is called once."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        return self._call("PUT", path, query=query, content=pieces(), headers=headers)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        content: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        sent = dict(headers or {}, Accept="application/json")
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            response = self._http.request(
                method,
                self._base_url + path,
                params=query,
                json=body,
                content=content,
                headers=sent,
            )
        except httpx.HTTPError as error:
            raise Unreachable(
                f"The {self._name} at {self._base_url} cannot be reached "
                f"({type(error).__name__}). Is it running, and is the address right?"
            ) from error
        return self._read(response)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        answer = _json_object(response)
        if not response.is_success:
            wait = response.headers.get("Retry-After", "")
            seconds = int(wait) if _SECONDS.fullmatch(wait) else 0
            raise refusal(self._name, response.status_code, answer or {}, seconds)
        if response.status_code == httpx.codes.NO_CONTENT:
            return {}
        if answer is None:
            raise BadAnswer(
                f"The {self._name} at {self._base_url} answered something that is not JSON. "
                "Is the address right?"
            )
        return answer


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    if len(response.content) > _MAX_ANSWER_BYTES:
        return None
    try:
        answer = json.loads(response.content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def field(answer: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field of an answer that must be there and of this type."""
    value = answer.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadAnswer(f"The server's answer has no usable {name!r}.")
    return value


def patiently(call: Callable[[], T], seconds: float) -> T:
    """Repeats `call` while it fails for a reason that passes, for about `seconds`.

    The time for which a server that has too much to do (429) asked to wait does not count, up to
    an hour in all.

    Only for calls that may be sent again: everything of the protocol that changes something either
    answers an identical resend identically or refuses it.
    """
    deadline = time.monotonic() + seconds
    asked_left = _LONGEST_ASKED_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except ClientError as error:
            if not isinstance(error, TRANSIENT) or time.monotonic() + pause > deadline:
                raise
            asked = error.retry_after if isinstance(error, TooManyRequests) else 0
            if asked > asked_left:
                raise
        asked_left -= asked
        deadline += asked
        time.sleep(max(pause, asked))
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
