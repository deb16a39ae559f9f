"""The few encodings that every message shares (docs/protocol.md, section 1), read strictly.

Every reader accepts exactly one spelling of a value, so that equal values have equal hashes.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
from datetime import date
from typing import Any, NoReturn

from crypto.errors import InvalidEncoding

_B64U = re.compile(r"[A-Za-z0-9_-]*")
_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def b64u(data: bytes) -> str:
    """base64url without padding (RFC 4648 section 5, RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """Inverse of `b64u`. Raises InvalidEncoding for padding, other alphabets and stray bits."""
    if not isinstance(text, str) or not _B64U.fullmatch(text) or len(text) % 4 == 1:
        raise InvalidEncoding("expected base64url without padding")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidEncoding("expected base64url without padding") from error
    if b64u(data) != text:
        raise InvalidEncoding("base64url with unused bits set: encode the bytes again")
    return data


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def new_id() -> str:
    """A fresh identifier: 128 bits from the kernel as 32 lower-case hex digits."""
    return secrets.token_hex(16)


def check_id(text: object) -> str:
    """The identifier itself, or InvalidEncoding."""
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise InvalidEncoding("expected an identifier of 32 lower-case hex digits")
    return text


def check_hash(text: object) -> str:
    """A SHA-256 or key id of 64 lower-case hex digits, or InvalidEncoding."""
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise InvalidEncoding("expected 64 lower-case hex digits")
    return text


def check_day(text: object) -> str:
    """A calendar day as YYYY-MM-DD, or InvalidEncoding."""
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise InvalidEncoding("expected a day as YYYY-MM-DD")
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise InvalidEncoding("no such day in the calendar") from error
    return text


def json_bytes(value: object) -> bytes:
    """JSON in UTF-8 with sorted keys and no white space: one spelling, as RFC 7638 wants it."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object from untrusted bytes.

    Raises:
        InvalidEncoding: not UTF-8, not JSON, not an object, a name twice, a number that JSON
            does not have (NaN, Infinity), or nesting too deep to parse.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=object_without_repeats,
            parse_constant=_no_such_number,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidEncoding("expected one JSON object in UTF-8") from error
    if not isinstance(value, dict):
        raise InvalidEncoding("expected a JSON object")
    return value


def object_without_repeats(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dict from the pairs of a parser; a repeated name is refused, not resolved."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InvalidEncoding("the same name twice in one object")
    return result


def _no_such_number(name: str) -> NoReturn:
    raise InvalidEncoding(f"{name} is not a JSON number")
