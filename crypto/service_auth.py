"""How a server or worker shows who it is: its request, signed (docs/protocol.md, section 3).

The signature covers method, path with query and body for one minute. A replay within it repeats a
call that changes nothing the second time: comparisons and reports are answered identically, a blob
is given again under the same lease only and stays sealed. A repeated lease at most keeps a
recording waiting until that lease runs out: no attempt counts before its blob was asked for.
"""

import time
from collections.abc import Mapping
from typing import Any

from crypto.encoding import sha256_hex
from crypto.errors import BadSignature, WrongType
from crypto.jws import SigningKey
from crypto.messages import Audience, ServiceRequest

SCHEME = "Hushbeat"
LIFETIME = 60


def authorization(
    key: SigningKey, audience: str, method: str, path: str, body: bytes, now: float | None = None
) -> str:
    """The value of the `Authorization` header for one request.

    Args:
        audience: "keyholder" or "aggregator".
        path: with the query, as it stands in the request line.
        now: seconds since 1970; the clock by default.
    """
    issued = int(time.time() if now is None else now)
    request = ServiceRequest(
        aud=Audience(audience),
        method=method.upper(),
        path=path,
        body_sha256=sha256_hex(body),
        iat=issued,
        exp=issued + LIFETIME,
    )
    return f"{SCHEME} {request.sign(key)}"


def check_authorization(
    header: str,
    jwk: Mapping[str, Any],
    audience: str,
    method: str,
    path: str,
    body: bytes,
    now: float,
) -> None:
    """Returns if this very request was signed by the holder of `jwk` within the last minute.

    Raises:
        BadSignature: no or another scheme, another key, or signed for another request.
        WrongType: signed for the other server.
        Expired, InvalidEncoding: as in `SignedMessage.verify`.
    """
    scheme, _, token = header.partition(" ")
    if scheme != SCHEME or not token:
        raise BadSignature(f"an Authorization header of scheme {SCHEME} is required")
    request = ServiceRequest.verify(token, jwk, now)
    if request.aud != audience:
        raise WrongType("signed for another server")
    if (request.method, request.path) != (method.upper(), path):
        raise BadSignature("signed for another method or path")
    if request.body_sha256 != sha256_hex(body):
        raise BadSignature("signed for another body")
