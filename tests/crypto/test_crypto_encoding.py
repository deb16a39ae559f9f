"""One spelling for every value; everything else is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import (
    b64u,
    check_day,
    check_hash,
    check_id,
    json_object,
    new_id,
    sha256_hex,
    unb64u,
)
from crypto.errors import InvalidEncoding


@given(st.binary())
def test_base64url_comes_back(data: bytes) -> None:
    assert unb64u(b64u(data)) == data


@given(st.text())
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        data = unb64u(text)
    except InvalidEncoding:
        return
    assert b64u(data) == text


@pytest.mark.parametrize(
    "text", ["A", "AB", "AAA=", "AA\n", "+/+/", "ÄÄÄÄ", "A A A", None, b"AAAA"]
)
def test_other_base64_is_refused(text: object) -> None:
    with pytest.raises(InvalidEncoding):
        unb64u(text)  # type: ignore[arg-type]


def test_new_identifiers_are_valid_and_differ() -> None:
    assert check_id(new_id()) != check_id(new_id())


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "0" * 31 + "G", "A" * 32, "0" * 32 + "\n", "٠" * 32, None, 0]
)
def test_other_identifiers_are_refused(text: object) -> None:
    with pytest.raises(InvalidEncoding):
        check_id(text)


@pytest.mark.parametrize("text", ["", "0" * 63, "A" * 64, sha256_hex(b"") + "\n", None])
def test_other_hashes_are_refused(text: object) -> None:
    with pytest.raises(InvalidEncoding):
        check_hash(text)


def test_leap_day_exists() -> None:
    assert check_day("2028-02-29") == "2028-02-29"


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-1-01", "20260101", "2026-01-01T00", "0000-01-01", "2026-01-0٣", 1]
)
def test_other_days_are_refused(text: object) -> None:
    with pytest.raises(InvalidEncoding):
        check_day(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b"\xff{}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":{"b":1,"b":1}}',
    ],
)
def test_other_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        json_object(data)


@given(st.binary())
def test_json_never_crashes(data: bytes) -> None:
    with contextlib.suppress(InvalidEncoding):
        json_object(data)
