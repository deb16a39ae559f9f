"""Search with both roles' possessions at once: what A stores is decrypted with B's private key.

Even so a tally must look like noise, for B's masks are in it, and what is sent for a comparison,
for A's are; and of a recording that is finished no result may be left at all, not even in what
SQLite has freed. What a range encrypts may be opened by this collusion and by nothing less
(docs/threat-model.md).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from client.uploading import State
from crypto.comparison.batches import decode_answer, decode_request
from crypto.errors import CryptoError
from crypto.slots import COMPARISON_SLOT_BITS, SCORE_BITS, pack_report
from deploy.demo.evidence import Known, Leak

NOISE_BITS = 64
"""A uniform number below n is this much shorter than n once in 2^64 times."""

_MASKED_BITS = SCORE_BITS + 33
"""A masked number is no longer than this once in 2^32 times."""


def find_in_ciphertexts(aggregator: Path, keyholder: Path, known: Known) -> list[Leak]:
    """Ciphertexts of two SQLite files that hold what they must not, or that must be gone."""
    with closing(sqlite3.connect(f"file:{aggregator}?mode=ro", uri=True)) as database:
        leaks = [*_tallies(database, known), *_requests(database, known), *_results(database)]
    leaks += _freed(aggregator, known)
    with closing(sqlite3.connect(f"file:{keyholder}?mode=ro", uri=True)) as database:
        leaks += _answers(database, known)
    return leaks


def _tallies(database: sqlite3.Connection, known: Known) -> Iterator[Leak]:
    for recordings, ciphertext in database.execute("SELECT recordings, ciphertext FROM tallies"):
        if recordings and not _is_noise(ciphertext, known):
            yield Leak("table tallies, column ciphertext", "a tally without a mask")


def _requests(database: sqlite3.Connection, known: Known) -> Iterator[Leak]:
    """A batch that is under way: B, who decrypts it, must see masks only."""
    rows = database.execute("SELECT request FROM comparison_batches WHERE request NOTNULL")
    for (request,) in rows:
        try:
            ok = all(_is_masked(part, known) for part in decode_request(request).masked)
        except CryptoError:
            ok = False
        if not ok:
            yield Leak("table comparison_batches, column request", "numbers without their masks")


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
    """What B keeps for a resend: what each recording adds, under the mask of its position."""
    rows = database.execute("SELECT answer FROM comparison_batches WHERE answer NOTNULL")
    for (answer,) in rows:
        try:
            ok = all(_is_noise(total, known) for total in decode_answer(answer).totals)
        except CryptoError:
            ok = False
        if not ok:
            yield Leak("table comparison_batches, column answer", "something else than an answer")


def _is_masked(ciphertext: bytes, known: Known) -> bool:
    """Whether the first slot is much longer than a score: its mask is of 2^81."""
    number = _decrypted(ciphertext, known)
    return number is not None and number % (1 << COMPARISON_SLOT_BITS) >> _MASKED_BITS > 0


def _is_noise(ciphertext: bytes, known: Known) -> bool:
    number = _decrypted(ciphertext, known)
    return number is not None and number.bit_length() > known.paillier.public.bits - NOISE_BITS


def _decrypted(ciphertext: bytes, known: Known) -> int | None:
    try:
        return known.paillier.decrypt(known.paillier.public.parse(ciphertext))
    except CryptoError:
        return None
