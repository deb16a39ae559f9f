"""The reference comparison and what surrounds it, CPU time of each role, 3072 bits.

`python -m benchmarks.comparison`. The limit is the bare power modulo n^2 of the same run.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import gmpy2
from phe import paillier as phe

from benchmarks.report import against, figure, publish, timed
from crypto.comparison.positions import RecordingPosition
from crypto.comparison.reference import FirstItem, ReferenceInitiator, SecondItem
from crypto.findings import FindingInputs, contribution
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.opening import open_tally
from crypto.keyholder.private_key import PrivateKey
from crypto.keyholder.reference import ReferenceResponder
from crypto.messages import Cell
from crypto.opening import blind_tallies
from crypto.paillier import PublicKey
from crypto.random import new_seed
from crypto.slots import pack_range, pack_report

RUNS = 5
PSEUDONYM = "0" * 32
POSITION = RecordingPosition(PSEUDONYM, "2026-01-01", 1)
POWERS = 2 * 3 * 17
"""Of A for a recording: an exponent and a re-randomisation for each of 17 tests, three times."""


def main() -> None:
    private = PrivateKey.generate()
    key = private.public
    masks = MaskKey(secrets.token_bytes(32))
    power = figure("bare power mod n^2", "ms", timed(_power(key), 20, time.process_time))
    encrypted = figure("encrypt", "ms", timed(lambda: key.encrypt(7), 20, time.process_time))
    peer: phe.PaillierPublicKey = phe.PaillierPublicKey(key.n)
    phe_encrypt = figure(
        "phe encrypt", "ms", timed(lambda: peer.raw_encrypt(7), 20, time.process_time)
    )
    a_side, b_side = _recording(private, masks)
    tally = key.encrypt(5)
    days = [f"2026-01-{day:02}" for day in range(1, 31)]
    cells = [Cell(pseudonym=PSEUDONYM, days=((day, 3),)) for day in days]
    blinded, _ = blind_tallies(key, [[tally]] * 30)
    decrypt = figure("decrypt", "ms", timed(lambda: private.decrypt(tally), 20, time.process_time))
    publish(
        "comparison",
        "The reference comparison at 3072 bits, CPU time",
        [
            power,
            phe_encrypt,
            against(encrypted, phe_encrypt),
            against(figure("A, one recording (3 comparisons)", "ms", a_side), power, POWERS),
            figure("B, one recording (3 comparisons)", "ms", b_side),
            figure(
                "recordings per second and core, both roles",
                "",
                [1_000 / (a + b) for a, b in zip(a_side, b_side, strict=True)],
            ),
            decrypt,
            against(
                figure(
                    "opening of 30 days at B",
                    "ms",
                    timed(
                        lambda: open_tally(private, masks, blinded, cells), 20, time.process_time
                    ),
                ),
                decrypt,
            ),
        ],
    )


def _power(key: PublicKey) -> Callable[[], object]:
    modulus = gmpy2.mpz(key.n) ** 2
    base, exponent = gmpy2.mpz(secrets.randbelow(int(modulus))), gmpy2.mpz(key.n)
    return lambda: gmpy2.powmod(base, exponent, modulus)


def _recording(private: PrivateKey, masks: MaskKey) -> tuple[list[float], list[float]]:
    """Milliseconds of CPU of A and of B for one recording, several times."""
    key = private.public
    inputs = FindingInputs(
        key.encrypt(pack_report(key.bits, 40_000, 700)),
        key.encrypt(pack_range(key.bits, 32_768, 600, 1_000)),
    )
    responder = ReferenceResponder(private, masks)
    a_side, b_side = [], []
    for _ in range(RUNS):
        spent = {"a": 0.0, "b": 0.0}

        def on(side: str, start: float, spent: dict[str, float] = spent) -> None:
            spent[side] += 1_000 * (time.process_time() - start)

        start = time.process_time()
        initiator = ReferenceInitiator(key, POSITION, inputs.differences(key), new_seed())
        count, masked = initiator.first()
        on("a", start)
        start = time.process_time()
        first = responder.first(FirstItem(POSITION, count, masked))
        on("b", start)
        start = time.process_time()
        tests = initiator.second(first)
        on("a", start)
        start = time.process_time()
        second = responder.second(SecondItem(POSITION, count, masked, tests))
        on("b", start)
        start = time.process_time()
        contribution(initiator.bits(second), key.parse(second.mask))
        on("a", start)
        a_side.append(spent["a"])
        b_side.append(spent["b"])
    return a_side, b_side


if __name__ == "__main__":
    main()
