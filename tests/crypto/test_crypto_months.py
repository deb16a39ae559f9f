"""A month begins where the date changes first and ends where it changes last."""

from datetime import UTC, datetime

import pytest

from crypto import months
from crypto.errors import InvalidEncoding


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text", ["2026-1", "2026-13", "2026-00", "0000-01", "9999-01", "٢٠٢٦-01", 1]
)
def test_what_is_no_month(text: object) -> None:
    with pytest.raises(InvalidEncoding):
        months.check_month(text)


def test_days_of_a_month() -> None:
    assert months.bounds_of("2026-02") == ("2026-02-01", "2026-02-28")
    assert months.bounds_of("2028-02") == ("2028-02-01", "2028-02-29")
    assert months.bounds_of("2026-12") == ("2026-12-01", "2026-12-31")
    assert months.bounds_of("9998-12") == ("9998-12-01", "9998-12-31")
    assert months.month_of("2026-12-31") == "2026-12"
    assert months.next_month("2026-12") == "2027-01"
    assert months.month_at(at("2026-12-31T23:59:59")) == "2026-12"


def test_a_month_opens_a_day_after_it_is_over_everywhere() -> None:
    assert months.opens_at("2026-03") == at("2026-04-02T12:00")


def test_a_roster_is_fixed_before_or_during_its_month() -> None:
    assert not months.may_be_declared("2026-03", at("2026-01-28T09:59:59"))
    assert months.may_be_declared("2026-03", at("2026-01-28T10:00"))
    assert months.may_be_declared("2026-03", at("2026-04-01T11:59:59"))
    assert not months.may_be_declared("2026-03", at("2026-04-01T12:00"))
