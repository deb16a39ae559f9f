"""Reading requests strictly: JSON bodies with named fields, and calls signed by another service."""

from __future__ import annotations

import re
import time
import types
from collections.abc import Mapping
from typing import Any, get_args

from flask import request

from app.common.problems import InvalidRequest, NotAuthenticated
from crypto.encoding import json_object
from crypto.errors import CryptoError, InvalidEncoding
from crypto.service_auth import check_authorization

_NOT_STORED = re.compile("[\x00\ud800-\udfff]")


def json_body(**fields: Any) -> dict[str, Any]:
    """The request's JSON object with exactly these fields, each of exactly that type.

    `name=str` is required, `age=int | None` may be missing or null and is then None. How large a
    body may be is the application's MAX_CONTENT_LENGTH, or the view's `request.max_content_length`.

    Raises:
        InvalidRequest: another content type, not one JSON object, a field missing, unknown or of
            another type, or text with a NUL or half a surrogate pair in it.
    """
    if request.mimetype != "application/json":
        raise InvalidRequest("Send application/json.")
    try:
        body = json_object(request.get_data())
    except InvalidEncoding as error:
        raise InvalidRequest(f"The body: {error}.") from None
    if unknown := sorted(set(body) - set(fields)):
        raise InvalidRequest(f"Unknown field: {unknown[0][:40]!a}.")
    for name, kind in fields.items():
        body.setdefault(name, None)
        allowed = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        # `type is`, not isinstance: true is no number.
        if type(body[name]) not in allowed:
            wanted = " or ".join(part.__name__ for part in allowed)
            raise InvalidRequest(f"Field {name!r} must be of type {wanted}.")
    try:
        _check_text(body)
    except RecursionError:
        raise InvalidRequest("The body is nested too deep.") from None
    return body


def require_service(jwk: Mapping[str, Any], audience: str) -> None:
    """Requires that the current request was signed by `jwk` for `audience` (typ hushbeat-request).

    Raises NotAuthenticated: no or another authorization, an altered request, or an expired one.
    """
    path = request.path
    if request.query_string:
        path += "?" + request.query_string.decode("latin-1")
    try:
        check_authorization(
            request.headers.get("Authorization", ""),
            jwk,
            audience,
            request.method,
            path,
            request.get_data(),
            int(time.time()),
        )
    except CryptoError as error:
        raise NotAuthenticated(f"The service's signature was refused: {error}.") from None


def _check_text(value: Any) -> None:
    """Neither database stores these; both would fail late."""
    if isinstance(value, str):
        if _NOT_STORED.search(value):
            raise InvalidRequest("Text must not hold NUL or unpaired surrogates.")
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)
