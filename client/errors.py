"""What can go wrong for a collector, typed; every message says what to do.

What the other side did wrong cryptographically (a broken seal, a bad signature, counts that do not
fit) keeps its class of `crypto.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PROBLEM_PREFIX = "urn:hushbeat:problem:"


class ClientError(Exception):
    """Base of everything that this package raises by itself."""


class ProfileError(ClientError):
    """The key file is missing, damaged, or readable by others."""


class RecordingRefused(ClientError):
    """A file that is not sealed at all: empty, too large, or no audio by its first bytes."""


class FingerprintMismatch(ClientError):
    """The key holder's manifest is not signed by the key that this collector has pinned."""


class DoctorCodeMismatch(ClientError):
    """The key that the aggregator shows is not the one that the doctor's code stands for."""


class CodeUnknown(ClientError):
    """A code or the beginning of a thumbprint that stands for nothing, or for several things."""


class RangeRefused(ClientError):
    """A healthy range whose limits are out of order or out of range."""


class WindowEmpty(ClientError):
    """A window of days that holds none."""


class NoSuchRoster(ClientError):
    """A clinic has fixed no roster for a month."""


class StillWaiting(ClientError):
    """Something is not finished yet after the time that was allowed; it goes on without us."""


class BadAnswer(ClientError):
    """A server answered something that the protocol does not know."""


class Unreachable(ClientError):
    """No connection, or it broke."""


class Refused(ClientError):
    """A server refused. `slug` is the stable name of the problem, `status` the HTTP status.

    `retry_after` is how many seconds the server asked to wait before another try, 0 if it did not;
    `problem` is everything that the server said (RFC 9457).
    """

    def __init__(
        self,
        status: int,
        slug: str,
        message: str,
        retry_after: int = 0,
        problem: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.slug = slug
        self.retry_after = retry_after
        self.problem = problem


class NotLoggedIn(Refused):
    """401: no token, or an old one. Log in again."""


class NotAllowed(Refused):
    """403: logged in, but not entitled."""


class NotFound(Refused):
    """404: not there, or not for this account."""


class Conflict(Refused):
    """409: something else is there already."""


class TooLarge(Refused):
    """413: more bytes than the server takes."""


class TooManyRequests(Refused):
    """429: wait, then try again."""


class Unavailable(Refused):
    """408, 502, 503, 504: the line was too slow, or a server is down for now."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    401: NotLoggedIn,
    403: NotAllowed,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: TooLarge,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}

TRANSIENT = (Unreachable, TooManyRequests, Unavailable)
"""Worth another try with the same bytes."""


def refusal(server: str, status: int, problem: Mapping[str, Any], retry_after: int = 0) -> Refused:
    """The typed error of an RFC 9457 answer; `problem` is empty if the body was something else."""
    kind = problem.get("type")
    slug = kind.removeprefix(PROBLEM_PREFIX) if isinstance(kind, str) else "unknown"
    parts = [problem.get("title"), problem.get("detail")]
    said = ": ".join(part.rstrip(".") for part in parts if isinstance(part, str) and part)
    message = f"The {server} refused ({status}). {said or 'It gave no reason'}."
    return _BY_STATUS.get(status, Refused)(status, slug, message, retry_after, problem)
