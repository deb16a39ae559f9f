"""Paillier by itself: encryptions against `phe` and against the bare limits, and key generation."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gmpy2
from phe import paillier as phe

from benchmarks.report import Figure, against, figure, timed
from crypto.fixed_base import WINDOW
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey
from crypto.slots import pack_report

RUNS = 40
KEYS = 7
ADDITIONS = 200
SCORE, RATE = 40_000, 720


@dataclass(frozen=True)
class Paillier:
    """What was measured, in milliseconds of CPU where nothing else is said."""

    phe_encrypt: Figure
    encrypt: Figure
    limit: Figure
    power: Figure
    at_keyholder: Figure
    decrypt: Figure
    multiplication: Figure
    addition: Figure
    table: Figure
    keygen: Figure

    @property
    def figures(self) -> list[Figure]:
        return [
            self.power,
            self.phe_encrypt,
            against(self.encrypt, self.phe_encrypt),
            against(self.limit, self.phe_encrypt),
            against(self.at_keyholder, self.phe_encrypt),
            self.table,
            self.decrypt,
            self.multiplication,
            against(self.addition, self.multiplication),
            self.keygen,
        ]


def measure(private: PrivateKey) -> Paillier:
    """All of it under one key, in this process."""
    key = private.public
    table = _once(key.prepare)
    private.prepare()
    peer: Any = phe.PaillierPublicKey(key.n)
    report = pack_report(key.bits, SCORE, RATE)
    # In turns, so that a busy moment of the machine hits both.
    peers, ours, limits = [], [], []
    bare = _bare_products(key)
    for _ in range(RUNS):
        peers += timed(lambda: peer.raw_encrypt(report), 1, time.process_time)
        ours += timed(lambda: key.encrypt(report).to_wire(), 1, time.process_time)
        limits += timed(bare, 1, time.process_time)
    multiplied, added = _multiplication(key), _addition(key)
    multiplications, additions = [], []
    for _ in range(RUNS):
        multiplications.append(timed(multiplied, 1, time.process_time)[0] / ADDITIONS)
        additions.append(timed(added, 1, time.process_time)[0] / ADDITIONS)
    cell = key.encrypt(5)
    return Paillier(
        phe_encrypt=figure("phe: encryption of a report", "ms CPU", peers),
        encrypt=figure("encryption of a report", "ms CPU", ours),
        limit=figure("fixed-base limit: the bare multiplications", "ms CPU", limits),
        power=figure("bare power r^n mod n^2", "ms CPU", _timed(_power(key))),
        at_keyholder=figure(
            "encryption at the key holder", "ms CPU", _timed(lambda: private.encrypt(report))
        ),
        decrypt=figure("bare CRT decryption", "ms CPU", _timed(lambda: private.decrypt(cell))),
        multiplication=figure("bare multiplication mod n^2", "ms CPU", multiplications),
        addition=figure("adding to a tally", "ms CPU", additions),
        table=figure("making the table, once a process", "ms CPU", table),
        keygen=figure(
            "key generation",
            "s CPU",
            [seconds / 1_000 for _ in range(KEYS) for seconds in _once(PrivateKey.generate)],
        ),
    )


def _timed(work: Callable[[], object]) -> list[float]:
    return timed(work, RUNS, time.process_time)


def _once(work: Callable[[], object]) -> list[float]:
    start = time.process_time()
    work()
    return [1_000 * (time.process_time() - start)]


def _power(key: PublicKey) -> Callable[[], object]:
    modulus = gmpy2.mpz(key.n) ** 2
    base, exponent = gmpy2.mpz(secrets.randbelow(int(modulus))), gmpy2.mpz(key.n)
    return lambda: gmpy2.powmod(base, exponent, modulus)


def _bare_products(key: PublicKey) -> Callable[[], object]:
    """As many multiplications mod n^2 as the table has digits, one after the other."""
    modulus = gmpy2.mpz(key.n) ** 2
    digits = -(-((key.bits + 1) // 2) // WINDOW)
    factors = [gmpy2.mpz(secrets.randbelow(int(modulus))) for _ in range(digits)]

    def work() -> object:
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor % modulus
        return product

    return work


def _multiplication(key: PublicKey) -> Callable[[], object]:
    modulus = gmpy2.mpz(key.n) ** 2
    total, one = (gmpy2.mpz(secrets.randbelow(int(modulus))) for _ in range(2))

    def work() -> object:
        product = total
        for _ in range(ADDITIONS):
            product = product * one % modulus
        return product

    return work


def _addition(key: PublicKey) -> Callable[[], object]:
    """Each with the tally's bytes read from storage and written again, as counting does it."""
    one, stored = key.encrypt(1), key.encrypt(5).to_bytes()

    def work() -> object:
        tally = stored
        for _ in range(ADDITIONS):
            tally = key.stored(tally).add(one).to_bytes()
        return tally

    return work
