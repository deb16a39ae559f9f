"""Search for scores, heart rates, limits and verdicts in what is written as text or packed.

Five digits occur by chance in hexadecimal identifiers, ports and process ids, so numbers are looked
for in context:

- a word for a result directly followed by a number (`score=0.7`, `"sound": 41`, `72 bpm`), whatever
  the number;
- a number that is a token of its own and equals a secret: of four digits or more, or a decimal;
- any number from 10 on that equals the score or heart rate of a recording named on the same line;
- score and heart rate side by side, packed (struct, msgpack, doubles, the plaintext of a
  report) or written (JSON), anywhere.

Lines are JSON logs, Celery's and gunicorn's own lines, and broker messages, whose base64 body is
opened first. Times, addresses, ports, process ids and durations are taken out before.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import msgpack

from crypto.slots import pack_report
from deploy.demo.evidence import Known, Leak, Place

_WORD = r"(?:scores?|sound|heart_?rates?|rate|bpm|verdict|finding|abnormal|threshold|logits?|lo|hi)"
_NAMED = re.compile(rf"(?<![A-Za-z]){_WORD}[\"']?\s*[:=]\s*[\"']?[-+]?\.?\d", re.I)
_IN_UNITS = re.compile(r"\b\d+(?:\.\d+)?\s*bpm\b", re.I)
_NUMBER = re.compile(r"(?<![\w.+-])[-+]?\d+(?:\.\d+)?(?![\w.]*\w)")
_HEXADECIMAL = re.compile(r"\b0x([0-9a-fA-F]{3,4})\b")
_INNOCENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?"  # times
    r"|\[\d+\]|(?<=\s)\(\d+\)$"  # gunicorn's process ids
    r"|\b(?:pid|process|port|PID):? ?\d+"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"  # addresses
    r"|\blocalhost:\d+"
    r"|PoolWorker-\d+"
    r"|\bin \d+\.\d+s\b"
    r'|"(?:ms|status|pid|port|time|lineno)": ?(?:\d+|null|"[^"]*")'
)
_SHORTEST = 4
_SMALLEST = 10


def find_numbers(files: Iterable[Place], known: Known) -> list[Leak]:
    """Results, limits and verdicts in text or packed, in any file."""
    secrets = _distinctive(known)
    packed = _packed(known)
    leaks = []
    for place in files:
        for number, line in enumerate(_lines(place.content), start=1):
            what = _in_line(line, secrets, known)
            if what is not None:
                leaks.append(Leak(f"{place.name}, line {number}", what))
        leaks += [
            Leak(place.name, f"a score with its heart rate, as {form}")
            for form, needle in packed
            if needle in place.content
        ]
        leaks += _beside_its_id(place, known)
    return leaks


def _lines(content: bytes) -> Iterator[str]:
    """The lines of a text; of a broker message also its body. Binary files have none."""
    if b"\x00" in content[:4096]:
        return
    text = content.decode("utf-8", errors="replace")
    yield from text.splitlines()
    body = _message_body(text)
    if body is not None:
        yield body


def _message_body(text: str) -> str | None:
    try:
        message: Any = json.loads(text)
        return base64.b64decode(message["body"]).decode()
    except (ValueError, TypeError, KeyError):
        return None


def _in_line(line: str, secrets: set[str], known: Known) -> str | None:
    rest = _INNOCENT.sub(" ", line)
    if _NAMED.search(rest) or _IN_UNITS.search(rest):
        return "a result by name and number"
    tokens = {match[0].lstrip("+") for match in _NUMBER.finditer(rest)}
    tokens |= {str(int(match[1], 16)) for match in _HEXADECIMAL.finditer(rest)}
    if tokens & secrets:
        return "a score, a heart rate or a limit"
    for recording, sound, rate in known.results():
        own = {str(n) for n in (sound, rate) if n >= _SMALLEST}
        if recording.id in rest and tokens & own:
            return "a recording's id with its score or heart rate"
    return None


def _distinctive(known: Known) -> set[str]:
    """Secret numbers as text that does not occur by chance as a token of its own."""
    healthy = known.healthy
    whole = {healthy.lo, healthy.hi, healthy.threshold}
    tenths = {healthy.lo, healthy.hi}
    for _, sound, rate in known.results():
        whole |= {sound, rate}
        tenths.add(rate)
    distinctive = {str(n) for n in whole if len(str(n)) >= _SHORTEST}
    return distinctive | {f"{n / 10:.1f}" for n in tenths}


def _packed(known: Known) -> list[tuple[str, bytes]]:
    forms: list[tuple[str, bytes]] = []
    for _, sound, rate in known.results():
        for a, b in ((sound, rate), (rate, sound)):
            forms += [(f"struct {o}{c}", struct.pack(f"{o}2{c}", a, b)) for o in "<>" for c in "IQ"]
            forms += [(f"struct {o}2d", struct.pack(f"{o}2d", a, b)) for o in "<>"]
            if min(a, b) >= 256:
                forms += [("JSON", f"{a}{comma}{b}".encode()) for comma in (",", ", ")]
                forms.append(("msgpack", msgpack.packb(a) + msgpack.packb(b)))
        for name, number in (("sound", sound), ("score", sound), ("rate", rate)):
            if number >= 256:
                forms.append(("msgpack", name.encode() + msgpack.packb(number)))
        report = pack_report(known.paillier.public.bits, sound, rate)
        if rate:
            width = (report.bit_length() + 7) // 8
            forms += [(f"{o} bytes", report.to_bytes(width, o)) for o in ("big", "little")]
            forms += [(f"digits {o}", f"{report:{o}}".encode()) for o in "dxX"]
        forms += [(f"a double {o}d", struct.pack(f"{o}d", rate / 10)) for o in "<>" if rate % 10]
    return forms


def _beside_its_id(place: Place, known: Known) -> Iterator[Leak]:
    """Two packed 16-bit numbers occur by chance anywhere, but not beside the recording's id."""
    for recording, sound, rate in known.results():
        forms = [struct.pack(f"{o}2H", a, b) for o in "<>" for a, b in _orders(sound, rate)]
        for id_form in (recording.id.encode(), bytes.fromhex(recording.id)):
            start = -1
            while (start := place.content.find(id_form, start + 1)) >= 0:
                near = place.content[max(0, start - 64) : start + len(id_form) + 64]
                if any(form in near for form in forms):
                    yield Leak(place.name, "a recording's id beside its score and heart rate")
                    break


def _orders(a: int, b: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (a, b), (b, a)
