"""Powers from a table against the plain powers, before and after the table is there."""

import threading

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import fixed_base
from crypto.fixed_base import WARM_AFTER, WINDOW, FixedBase

ROOT = (1 << 255) + 95
BASE = pow(3, ROOT, ROOT**2)


@pytest.fixture(scope="module")
def table() -> FixedBase:
    table = FixedBase(BASE, ROOT, 130)
    table.prepare()
    return table


@settings(max_examples=100, deadline=None)
@given(exponent=st.integers(min_value=0, max_value=(1 << 130) - 1))
def test_a_power_is_the_plain_power(table: FixedBase, exponent: int) -> None:
    expected = pow(BASE, exponent, ROOT**2)
    assert table.power(exponent) == expected
    assert FixedBase(BASE, ROOT, 130).power(exponent) == expected


@pytest.mark.parametrize("bits", [1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, 2 * WINDOW + 1])
def test_every_exponent_and_none_beyond(bits: int) -> None:
    cold, warm = FixedBase(5, 77, bits), FixedBase(5, 77, bits)
    warm.prepare()
    for exponent in range(1 << bits) if bits < 10 else (0, 1, 1 << WINDOW, (1 << bits) - 1):
        assert cold._plain(exponent) == warm.power(exponent) == pow(5, exponent, 77**2)
    for exponent in (-1, 1 << bits):
        for table in (cold, warm):
            with pytest.raises(ValueError, match="does not fit"):
                table.power(exponent)


def test_the_table_is_made_once_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = FixedBase._table
    monkeypatch.setattr(FixedBase, "_table", lambda self: made.append(1) or make(self))
    table = FixedBase(BASE, ROOT, 130)
    for exponent in range(WARM_AFTER):
        table.power(exponent)
    assert not made
    for exponent in range(5):
        assert table.power(exponent) == pow(BASE, exponent, ROOT**2)
    table.prepare()
    assert made == [1]


def test_threads_share_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = FixedBase._table
    monkeypatch.setattr(FixedBase, "_table", lambda self: made.append(1) or make(self))
    table = FixedBase(BASE, ROOT, 130)
    results: list[int] = []

    def work() -> None:
        results.extend(int(table.power(exponent)) for exponent in range(3 * WARM_AFTER))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    expected = [pow(BASE, exponent, ROOT**2) for exponent in range(3 * WARM_AFTER)]
    assert sorted(results) == sorted(4 * expected)


def test_no_entry_is_quick_to_multiply(table: FixedBase) -> None:
    """An entry of 1, where a digit is 0, would show in the time how many digits are."""
    entries = [(a, b) for lows, highs in table._rows for a, b in zip(lows, highs, strict=True)]
    assert len(entries) == 18 * (1 << WINDOW) + (1 << 130 - 18 * WINDOW)
    assert min(min(a, b).bit_length() for a, b in entries) > 200


def test_every_exponent_costs_the_same_steps(
    table: FixedBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []

    def recorded(base: object, exponent: int, modulus: object) -> object:
        lengths.append(exponent.bit_length())
        return gmpy2.powmod(base, exponent, modulus)

    monkeypatch.setattr(fixed_base.gmpy2, "powmod_sec", recorded)
    for exponent in (0, 1, (1 << 130) - 1):
        table._plain(exponent)
    assert lengths == [131] * 3


def test_it_prints_no_number(table: FixedBase) -> None:
    assert repr(table) == str(table) == "FixedBase"
