"""Many powers of one base modulo a square: a table of the base's powers instead of squarings.

The exponent is a row of digits, and the power the product of one table entry a digit (Brickell,
Gordon, McCurley and Wilson, EUROCRYPT 1992). Numbers modulo root^2 are kept as pairs (a, b) with
a + b * root, so that only numbers as short as the root are multiplied and divided (Jost et al.,
ePrint 2015/864, section 4): a fifth faster than reducing modulo root^2.

An exponent is secret. Whatever it is, the same number of entries is multiplied, and none of them
is a small number. But *which* entries are read shows in the processor's cache to somebody who runs
on the same processor (docs/threat-model.md).
"""

import threading
from typing import Any

import gmpy2

WINDOW = 7
"""Bits of a digit. At 3072 bits and half-length exponents 7 takes 23 MiB; 8 takes 41 MiB and saves
a tenth of the time, 6 takes 14 MiB and costs a sixth more."""

WARM_AFTER = 16
"""How many plain powers cost as much as the table: a process that needs fewer never makes it."""

Row = tuple[list[Any], list[Any]]
"""The powers for each value of one digit: all their a, all their b."""


class FixedBase:
    """Powers of `base` modulo root^2, with exponents in [0, 2^exponent_bits).

    The table is made by the call that makes it worth its price, or by `prepare`.

    Args:
        base: coprime to root.
        root: odd, larger than 1.
        exponent_bits: at least 1.
    """

    def __init__(self, base: int, root: int, exponent_bits: int) -> None:
        self._root = gmpy2.mpz(root)
        self._modulus = self._root**2
        self._base = gmpy2.mpz(base) % self._modulus
        self._bits = exponent_bits
        # A leading one makes every exponent of one length; this takes it off the power.
        leading = gmpy2.powmod(base, 1 << exponent_bits, self._modulus)
        self._trim = gmpy2.invert(leading, self._modulus)
        self._rows: list[Row] = []
        self._powers = 0
        self._making = threading.Lock()

    def prepare(self) -> None:
        """Makes the table now, unless it is there: at 3072 bits about 0.3 s."""
        with self._making:
            if not self._rows:
                self._rows = self._table()

    def power(self, exponent: int) -> Any:
        """base^exponent mod root^2, an mpz. Raises ValueError for an exponent out of range."""
        if not 0 <= exponent < 1 << self._bits:
            raise ValueError("the exponent does not fit this table")
        if not self._rows:
            self._powers += 1
            if self._powers <= WARM_AFTER:
                return self._plain(exponent)
            self.prepare()
        return self._from_table(exponent)

    def _plain(self, exponent: int) -> Any:
        power = gmpy2.powmod_sec(self._base, exponent + (1 << self._bits), self._modulus)
        return power * self._trim % self._modulus

    def _from_table(self, exponent: int) -> Any:
        root, rest, mask = self._root, gmpy2.mpz(exponent), (1 << WINDOW) - 1
        rows = iter(self._rows)
        lows, highs = next(rows)
        a, b = lows[rest & mask], highs[rest & mask]
        for lows, highs in rows:
            rest >>= WINDOW
            c, d = lows[rest & mask], highs[rest & mask]
            carry, low = divmod(a * c, root)
            b = (a * d + b * c + carry) % root
            a = low
        return a + b * root

    def _table(self) -> list[Row]:
        """Row i holds base^((digit + 1) 2^(7 i)) for each digit.

        Plus one, so that no entry is 1, which is fast to multiply. The surplus, the base to
        sum_i 2^(7 i), is divided out of the lowest row.
        """
        modulus, surplus = self._modulus, gmpy2.mpz(0)
        rows, step = [], self._base
        for low in range(0, self._bits, WINDOW):
            surplus += gmpy2.mpz(1) << low
            row = [step]
            while len(row) < 1 << min(WINDOW, self._bits - low):
                row.append(row[-1] * step % modulus)
            rows.append(row)
            step = gmpy2.powmod(step, 1 << WINDOW, modulus)
        excess = gmpy2.invert(gmpy2.powmod(self._base, surplus, modulus), modulus)
        rows[0] = [entry * excess % modulus for entry in rows[0]]
        return [
            ([entry % self._root for entry in row], [entry // self._root for entry in row])
            for row in rows
        ]

    def __repr__(self) -> str:
        return "FixedBase"
