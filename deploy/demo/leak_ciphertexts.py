"""Search with both roles' possessions at once: what A stores is decrypted with B's private key.

Even so a tally must look like noise, for B's masks are in it; a range check likewise; and of a
recording that is finished no result may be left at all, not even in what SQLite has freed. What a
range encrypts may be opened by this collusion and by nothing less (docs/threat-model.md).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from client.uploading import State
from crypto.comparison.messages import decode_first_answer, decode_second_answer
from crypto.errors import CryptoError
from crypto.slots import pack_report
from deploy.demo.evidence import Known, Leak

NOISE_BITS = 64
"""A uniform number below n is this much shorter than n once in 2^64 times."""

_BITS = (0, 1)


def find_in_ciphertexts(aggregator: Path, keyholder: Path, known: Known) -> list[Leak]:
    """Ciphertexts of two SQLite files that hold what they must not, or that must be gone."""
    with closing(sqlite3.connect(f"file:{aggregator}?mode=ro", uri=True)) as database:
        leaks = [*_tallies(database, known), *_checks(database, known), *_results(database)]
    leaks += _freed(aggregator, known)
    with closing(sqlite3.connect(f"file:{keyholder}?mode=ro", uri=True)) as database:
        leaks += _answers(database, known)
    return leaks


def _tallies(database: sqlite3.Connection, known: Known) -> Iterator[Leak]:
    for recordings, ciphertext in database.execute("SELECT recordings, ciphertext FROM tallies"):
        if recordings and not _is_noise(ciphertext, known):
            yield Leak("table tallies, column ciphertext", "a tally without a mask")


def _checks(database: sqlite3.Connection, known: Known) -> Iterator[Leak]:
    rows = database.execute("SELECT check_ciphertext FROM ranges WHERE check_ciphertext NOTNULL")
    for (ciphertext,) in rows:
        if not _is_noise(ciphertext, known):
            yield Leak("table ranges, column check_ciphertext", "a comparison without a mask")


def _results(database: sqlite3.Connection) -> Iterator[Leak]:
    finished = [state.value for state in State if state.final]
    marks = ", ".join("?" * len(finished))
    (left,) = database.execute(
        "SELECT count(*) FROM recordings WHERE findings NOTNULL "  # noqa: S608
        f"AND state IN ({marks})",
        finished,
    ).fetchone()
    if left:
        yield Leak("table recordings", f"the encrypted reports of {left} finished recordings")


def _freed(file: Path, known: Known) -> Iterator[Leak]:
    """Reports in pages that SQLite freed: in a row, a report follows the key id."""
    key = known.paillier.public
    anchor = re.compile(re.escape(key.key_id.encode()))
    reports = {pack_report(key.bits, sound, rate) for _, sound, rate in known.results()}
    for path in sorted(file.parent.glob(f"{file.name}*")):
        content = path.read_bytes()
        for match in anchor.finditer(content):
            report = content[match.end() : match.end() + key.ciphertext_bytes]
            if _decrypted(report, known) in reports:
                yield Leak(path.name, "the ciphertext of a report in a freed page")
                break


def _answers(database: sqlite3.Connection, known: Known) -> Iterator[Leak]:
    """What B keeps for a resend: bits of masked numbers, bits under A's coin, and masks."""
    rows = database.execute("SELECT round, answer FROM comparison_answers WHERE answer NOTNULL")
    for which, answer in rows:
        try:
            ok = _first_answer(answer, known) if which == 1 else _second_answer(answer, known)
        except CryptoError:
            ok = False
        if not ok:
            yield Leak("table comparison_answers, column answer", "something else than an answer")


def _first_answer(answer: bytes, known: Known) -> bool:
    return all(
        _decrypted(bit, known) in _BITS
        for item in decode_first_answer(answer)
        for comparison in item.bits
        for bit in comparison
    )


def _second_answer(answer: bytes, known: Known) -> bool:
    return all(
        _is_noise(item.mask, known) and _all_bits(item.bits or (), known)
        for item in decode_second_answer(answer)
    )


def _all_bits(ciphertexts: Iterable[bytes], known: Known) -> bool:
    return all(_decrypted(ciphertext, known) in _BITS for ciphertext in ciphertexts)


def _is_noise(ciphertext: bytes, known: Known) -> bool:
    number = _decrypted(ciphertext, known)
    return number is not None and number.bit_length() > known.paillier.public.bits - NOISE_BITS


def _decrypted(ciphertext: bytes, known: Known) -> int | None:
    try:
        return known.paillier.decrypt(known.paillier.public.parse(ciphertext))
    except CryptoError:
        return None
