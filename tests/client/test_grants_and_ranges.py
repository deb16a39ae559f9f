"""What is checked before anything is sent."""

from __future__ import annotations

import pytest

from client.errors import DoctorCodeMismatch, RangeRefused
from client.grants import normalised_code
from client.ranges import HealthyRange


@pytest.mark.parametrize(
    "typed", ["ABCD-EFGH-IJKL-MN23", "abcdefghijklmn23", " abcd efgh\tijkl-mn23\n"]
)
def test_a_code_may_be_typed_as_one_likes(typed: str) -> None:
    assert normalised_code(typed) == "ABCD-EFGH-IJKL-MN23"


@pytest.mark.parametrize(
    "typed", ["", "ABCD-EFGH-IJKL", "ABCD-EFGH-IJKL-MN01", "ABCD/EFGH/IJKL/MN23", "É" * 16]
)
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(DoctorCodeMismatch, match="16 letters"):
        normalised_code(typed)


@pytest.mark.parametrize(
    ("lo", "hi", "threshold"),
    [(1_001, 1_000, 1), (-1, 1_000, 1), (0, 65_536, 1), (0, 1, -1), (0, 1, 65_536)],
)
def test_a_range_that_makes_no_sense_is_refused(lo: int, hi: int, threshold: int) -> None:
    with pytest.raises(RangeRefused):
        HealthyRange(lo, hi, threshold)


@pytest.mark.parametrize(("lo", "hi"), [(0, 0), (0, 65_535), (65_535, 65_535)])
def test_the_widest_and_narrowest_ranges_pass(lo: int, hi: int) -> None:
    assert HealthyRange(lo, hi, 65_535).threshold == 65_535


def test_limits_do_not_show_in_messages() -> None:
    assert repr(HealthyRange(500, 1_000)) == "HealthyRange"
