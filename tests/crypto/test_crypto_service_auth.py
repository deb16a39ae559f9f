"""A signed request is good for itself, for one server, for one minute."""

import pytest

from crypto.errors import BadSignature, CryptoError, Expired, InvalidEncoding, WrongType
from crypto.jws import SigningKey
from crypto.service_auth import authorization, check_authorization

KEY = SigningKey.generate()
NOW = 1_767_225_600
REQUEST = ("keyholder", "POST", "/v1/comparisons/first?x=1", b"body")


def header(now: float = NOW) -> str:
    return authorization(KEY, *REQUEST, now=now)


def check(text: str, *request: object, now: float = NOW, key: SigningKey = KEY) -> None:
    check_authorization(text, key.public_jwk, *(request or REQUEST), now)  # type: ignore[arg-type, call-arg]


def test_the_request_itself_is_accepted_for_a_minute() -> None:
    check(header())
    check(header(), now=NOW + 59.9)
    check(header(now=NOW + 30), now=NOW)


def test_method_is_compared_in_upper_case() -> None:
    check(authorization(KEY, "keyholder", "post", "/", b"", now=NOW), "keyholder", "POST", "/", b"")


@pytest.mark.parametrize(
    ("request_made", "error"),
    [
        (("aggregator", *REQUEST[1:]), WrongType),
        (("keyholder", "PUT", *REQUEST[2:]), BadSignature),
        ((*REQUEST[:2], "/v1/comparisons/first", b"body"), BadSignature),
        ((*REQUEST[:3], b"other"), BadSignature),
    ],
)
def test_another_request_is_refused(
    request_made: tuple[object, ...], error: type[CryptoError]
) -> None:
    with pytest.raises(error):
        check(header(), *request_made)


@pytest.mark.parametrize("now", [NOW + 60, NOW + 3600, NOW - 61])
def test_another_time_is_refused(now: float) -> None:
    with pytest.raises(Expired):
        check(header(), now=now)


def test_another_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        check(header(), key=SigningKey.generate())


@pytest.mark.parametrize("text", ["", "Hushbeat", "Hushbeat ", "Bearer abc", "hushbeat a.b.c"])
def test_no_signature_is_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        check(text)


def test_garbage_is_refused() -> None:
    with pytest.raises(InvalidEncoding):
        check("Hushbeat a.b.c")


def test_the_clock_is_used_unless_told() -> None:
    with pytest.raises(Expired):
        check(authorization(KEY, *REQUEST), now=NOW - 10 * 365 * 86400)
