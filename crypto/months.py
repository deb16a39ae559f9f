"""Calendar months, `YYYY-MM`: their days, and when they begin and end somewhere on earth.

A recording's day is the patient's local day, and no server knows in which time zone that is. So a
month begins where the date changes first (UTC+14) and is over where it changes last (UTC-12).
"""

import re
from datetime import UTC, date, datetime, timedelta

from crypto.encoding import check_day
from crypto.errors import InvalidEncoding

_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
_HOUR = 3600
_DAY = 24 * _HOUR

DECLARED_AHEAD_SECONDS = 31 * _DAY
"""How long before it begins a month's roster can be fixed: as the month before begins."""

SETTLING_SECONDS = _DAY
"""How long after a month its cohorts stay closed, for recordings that are still being counted."""


def check_month(text: object) -> str:
    """The month itself as YYYY-MM, from 0001 to 9998, or InvalidEncoding."""
    if not isinstance(text, str) or not _MONTH.fullmatch(text) or text[:4] in ("0000", "9999"):
        raise InvalidEncoding("expected a month as YYYY-MM")
    return text


def month_of(day: str) -> str:
    """The month of a day."""
    return check_day(day)[:7]


def bounds_of(month: str) -> tuple[str, str]:
    """The first and the last day of a month."""
    first, after = _first(check_month(month)), _first(next_month(month))
    return first.isoformat(), (after - timedelta(days=1)).isoformat()


def month_at(now: float) -> str:
    """The month that it is in UTC at a time (seconds since 1970)."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


def next_month(month: str) -> str:
    """The month after."""
    year, number = int(check_month(month)[:4]), int(month[5:])
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def may_be_declared(month: str, now: float) -> bool:
    """Whether a roster can be fixed: the month is not over everywhere, or begins soon."""
    return _begins(month) - DECLARED_AHEAD_SECONDS <= now < _ends(month)


def opens_at(month: str) -> int:
    """From when on (seconds since 1970) a month's cohort can be opened: it is over everywhere,
    and a day has passed."""
    return _ends(month) + SETTLING_SECONDS


def _begins(month: str) -> int:
    return _utc_midnight(_first(check_month(month))) - 14 * _HOUR


def _ends(month: str) -> int:
    return _utc_midnight(_first(next_month(month))) + 12 * _HOUR


def _first(month: str) -> date:
    return date.fromisoformat(f"{month}-01")


def _utc_midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
