"""Search of both SQLite databases, column by column, against a list of what each column may hold.

A table or column that is not on the list is a leak by itself, and so is a value that is not of its
column's meaning: every integer, for instance, is a time of this run, a row number or a count of
recordings within its bounds, so that no score fits anywhere. The list is written by hand from the
design, not taken from the tables' code.
"""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from client.errors import DoctorCodeMismatch
from client.grants import normalised_code
from client.uploading import State
from crypto.comparison.base_transfer import SEED_BYTES, TRANSFERS
from crypto.comparison.batches import decode_answer, decode_request
from crypto.comparison.blocks import BLOCK_BYTES
from crypto.comparison.parameters import RANGE_COMPARATORS
from crypto.encoding import check_day, check_hash, check_id, json_object
from crypto.errors import CryptoError
from crypto.jws import check_public_jwk
from crypto.messages import (
    MAX_CELLS,
    Device,
    Enrolment,
    Grant,
    GrantUse,
    KeyType,
    LogKind,
    RangeProposal,
    Recovery,
    RecoveryApproval,
    Revocation,
    Roster,
    SignedMessage,
)
from crypto.months import check_month
from crypto.moves import decode_move
from crypto.random import SEED_BYTES as NOISE_SEED_BYTES
from crypto.slots import ZONES
from deploy.demo.evidence import Known, Leak

Meaning = Callable[[Any, Known], bool]
Columns = Mapping[str, Meaning]

_LONGEST_AHEAD = 400 * 86_400
"""Seconds: no token, lease or kept answer lives longer than this after the run."""
_MOST_ROWS = 20
_MOST_ENTRIES = 500
"""In B's log after a run."""
_MOST_ATTEMPTS = 4
_MOST_RANGES = 8
_AT_REST_BYTES = 1 + 12 + 16
"""Version, nonce and tag of a sealed value."""
_EVALUATOR_BYTES = 2 * SEED_BYTES * TRANSFERS
_GARBLER_BYTES = BLOCK_BYTES + SEED_BYTES * TRANSFERS
_DIGEST_BYTES = 32
_SEAL_BYTES = 48


def find_in_columns(database: Path, allowed: Mapping[str, Columns], known: Known) -> list[Leak]:
    """Tables, columns and values of a SQLite file that are not what the list allows."""
    leaks = []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for kind, table in connection.execute("SELECT type, name FROM sqlite_master"):
            if kind == "index":
                continue
            where = f"{database.name}, table {table}"
            if kind != "table" or table not in allowed:
                leaks.append(Leak(where, f"a {kind} that nobody has allowed"))
                continue
            leaks += _find_in_table(connection, where, table, allowed[table], known)
    return leaks


def _find_in_table(
    connection: sqlite3.Connection, where: str, table: str, columns: Columns, known: Known
) -> Iterator[Leak]:
    rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - a name on the list
    names = [column[0] for column in rows.description]
    yield from (
        Leak(f"{where}, column {name}", "a column that nobody has allowed")
        for name in names
        if name not in columns
    )
    wrong = {
        name
        for row in rows
        for name, value in zip(names, row, strict=True)
        if name in columns and not columns[name](value, known)
    }
    for name in sorted(wrong):
        yield Leak(f"{where}, column {name}", "a value that is not what this column is for")


def _reads(read: Callable[[Any], object], kind: type = str) -> Meaning:
    """A value that a strict reader of the project takes."""

    def meaning(value: Any, known: Known) -> bool:  # noqa: ARG001
        try:
            read(value)
        except (CryptoError, DoctorCodeMismatch):
            return False
        return isinstance(value, kind)

    return meaning


def _matches(pattern: str) -> Meaning:
    compiled = re.compile(pattern)
    return lambda value, _: isinstance(value, str) and compiled.fullmatch(value) is not None


def _maybe(meaning: Meaning) -> Meaning:
    return lambda value, known: value is None or meaning(value, known)


def _number(low: int, high: Callable[[Known], int]) -> Meaning:
    return lambda value, known: type(value) is int and low <= value <= high(known)


def _one_of(*values: str | int) -> Meaning:
    return lambda value, _: value in values


def _signed(message: type[SignedMessage]) -> Meaning:
    return _reads(message.claimed)


def _time(value: Any, known: Known) -> bool:
    return type(value) is int and (
        value == 0 or known.began - 60 <= value <= known.ended + _LONGEST_AHEAD
    )


def _ciphertext(value: Any, known: Known) -> bool:
    """A ciphertext of B's key that nobody could mistake for a small number in wide clothes."""
    key = known.paillier.public
    if not isinstance(value, bytes):
        return False
    try:
        return int(key.parse(value)).bit_length() > 2 * key.bits - 96
    except CryptoError:
        return False


def _sealed_bytes(value: Any, known: Known) -> bool:
    return value in {len(recording.data) + _SEAL_BYTES for recording in known.recordings}


def _login(value: Any, known: Known) -> bool:
    return value in {person.login for person in known.people}


def _display_name(value: Any, known: Known) -> bool:
    return value in {person.display_name for person in known.people}


def _jwk(text: Any) -> None:
    check_public_jwk(json_object(text.encode()))


def _key_message(value: Any, known: Known) -> bool:
    """What brings a key to B: A's enrolment, another key's word, or a recovery."""
    kinds: tuple[type[SignedMessage], ...] = (Enrolment, Device, Recovery)
    return any(_signed(kind)(value, known) for kind in kinds)


def _digest(value: Any, known: Known) -> bool:  # noqa: ARG001
    return isinstance(value, bytes) and len(value) == _DIGEST_BYTES


def _sealed_opening(value: Any, known: Known) -> bool:
    """A number below n, sealed to a clinic."""
    size = known.paillier.public.plaintext_bytes + _SEAL_BYTES
    return isinstance(value, bytes) and len(value) == size


def _sealed(size: int) -> Meaning:
    return lambda value, _: isinstance(value, bytes) and len(value) == size + _AT_REST_BYTES


_id = _reads(check_id)
_hash = _reads(check_hash)
_day = _reads(check_day)
_month = _reads(check_month)
_epsilon = _one_of(0)
_key = _reads(_jwk)
_thumbprint = _matches(r"[A-Za-z0-9_-]{43}")
_row = _number(1, lambda _: _MOST_ROWS)
_actor = _matches(r"[0-9a-f]{32}|aggregator")
_entries = _number(0, lambda _: _MOST_ENTRIES)
_recordings = _number(0, lambda known: len(known.recordings))
_batch = _number(0, lambda known: len(known.recordings) + _MOST_RANGES)
_comparisons = _number(
    0, lambda known: ZONES * len(known.recordings) + RANGE_COMPARATORS * _MOST_RANGES
)
_kind = _one_of("patient", "doctor", "clinic", "operator")
_alembic = {"version_num": _matches(r"\w{1,32}")}

AGGREGATOR: Mapping[str, Columns] = {
    "alembic_version": _alembic,
    "accounts": {
        "id": _row,
        "login": _login,
        "display_name": _display_name,
        "password_hash": _matches(r"\$argon2id\$.*"),
        "kind": _kind,
        "age_band": _matches(r"[a-z_]{1,16}"),
        "collector": _id,
        "key_jwk": _maybe(_key),
        "thumbprint": _maybe(_thumbprint),
        "doctor_code": _maybe(_reads(normalised_code)),
        "session_id": _id,
        "created_at": _time,
    },
    "collector_keys": {
        "thumbprint": _thumbprint,
        "account_id": _row,
        "key_jwk": _key,
        "type": _one_of(*KeyType),
        "rp_id": _maybe(_matches(r"[a-z0-9.:-]{1,255}")),
        "label": _matches(r".{0,40}"),
        "message": _maybe(_key_message),
        "added_at": _time,
        "revoked_at": _maybe(_time),
    },
    "device_requests": {
        "id": _id,
        "account_id": _row,
        "thumbprint": _thumbprint,
        "key_jwk": _key,
        "type": _one_of(*KeyType),
        "label": _matches(r".{1,40}"),
        "device": _maybe(_signed(Device)),
        "requested_at": _time,
    },
    "recoveries": {
        "jti": _id,
        "account_id": _row,
        "thumbprint": _thumbprint,
        "recovery": _signed(Recovery),
        "requested_at": _time,
        "ended_at": _maybe(_time),
    },
    "recovery_approvals": {
        "jti": _id,
        "approver": _actor,
        "approval": _signed(RecoveryApproval),
    },
    "api_tokens": {"token_hash": _hash, "account_id": _row, "expires_at": _time},
    "recordings": {
        "id": _id,
        "account_id": _row,
        "pseudonym": _id,
        "day": _day,
        "state": _one_of(*State),
        "reason": _maybe(_matches(r"[a-z_]{1,32}")),
        "sealed_sha256": _hash,
        "sealed_bytes": _sealed_bytes,
        "uploaded_at": _time,
        "finished_at": _maybe(_time),
        "announced_at": _time,
        "lease": _maybe(_id),
        "lease_until": _time,
        "begun": _number(0, lambda _: 1),
        "attempts": _number(0, lambda _: _MOST_ATTEMPTS),
        "report_sha256": _maybe(_hash),
        "model": _maybe(_matches(r"[A-Za-z][\w.+-]{0,127}")),
        "key_id": _maybe(_hash),
        "findings": _maybe(_ciphertext),
    },
    "comparisons": {
        "recording_id": _id,
        "pseudonym": _id,
        "day": _day,
        "key_id": _hash,
        "number": _recordings,
        "range_id": _maybe(_id),
        "age_band": _matches(r"[a-z_]{1,16}"),
        "session": _maybe(_id),
        "batch": _maybe(_batch),
    },
    "comparison_sessions": {
        "session": _id,
        "key_id": _hash,
        "sealed": _sealed(_EVALUATOR_BYTES),
        "next_batch": _batch,
        "comparisons": _comparisons,
        "opened_at": _time,
        "ended": _number(0, lambda _: 1),
    },
    "comparison_batches": {
        "session": _id,
        "number": _batch,
        "request": _maybe(_reads(decode_request, bytes)),
        "lease": _maybe(_id),
        "lease_until": _time,
        "settled": _number(0, lambda _: 1),
    },
    "tallies": {
        "pseudonym": _id,
        "day": _day,
        "key_id": _hash,
        "recordings": _recordings,
        "ciphertext": _ciphertext,
        "aside_until": _time,
        "moving": _number(0, lambda _: 1),
    },
    "key_moves": {
        "id": _one_of(1),
        "source": _hash,
        "target": _hash,
        "items": _matches(r"[ -~]*"),
        "sealed_seed": _sealed(NOISE_SEED_BYTES),
        "request": _maybe(_reads(decode_move, bytes)),
        "lease": _id,
        "lease_until": _time,
    },
    "consents": {
        "grant_id": _id,
        "patient_id": _row,
        "doctor_id": _row,
        "grant": _signed(Grant),
        "revocation": _maybe(_signed(Revocation)),
        "granted_at": _time,
        "revoked_at": _maybe(_time),
    },
    "ranges": {
        "id": _id,
        "pseudonym": _id,
        "doctor_id": _row,
        "state": _one_of("proposed", "checked", "active", "refused", "replaced"),
        "key_id": _hash,
        "bounds": _ciphertext,
        "proposal": _signed(RangeProposal),
        "created_at": _time,
        "session": _maybe(_id),
        "batch": _maybe(_batch),
        "digest": _maybe(_digest),
    },
    "rosters": {
        "id": _id,
        "clinic_id": _row,
        "month": _month,
        "roster": _signed(Roster),
        "sealed_seed": _sealed(NOISE_SEED_BYTES),
        "created_at": _time,
    },
    "roster_members": {"roster_id": _id, "pseudonym": _id},
    "worker_sightings": {
        "name": _matches(r"[a-z]+@" + re.escape(socket.gethostname()) + r"/\d{1,2}"),
        "kind": _one_of("inference", "aggregation", "sweeper"),
        "ready": _number(0, lambda _: 1),
        "seen_at": _time,
    },
}
"""Role A: accounts, sealed or encrypted values, and how many recordings."""

KEYHOLDER: Mapping[str, Columns] = {
    "alembic_version": _alembic,
    "collectors": {
        "collector": _id,
        "kind": _kind,
        "thumbprint": _thumbprint,
        "enrolled_at": _time,
    },
    "collector_keys": {
        "thumbprint": _thumbprint,
        "collector": _id,
        "key_jwk": _key,
        "type": _one_of(*KeyType),
        "rp_id": _maybe(_matches(r"[a-z0-9.:-]{1,255}")),
        "message": _key_message,
        "added_by": _maybe(_thumbprint),
        "added_at": _time,
        "revoked_at": _maybe(_time),
    },
    "recoveries": {
        "jti": _id,
        "collector": _id,
        "thumbprint": _thumbprint,
        "recovery": _signed(Recovery),
        "asked_at": _time,
        "completes_at": _maybe(_time),
        "completed_at": _maybe(_time),
        "cancelled_at": _maybe(_time),
    },
    "recovery_approvals": {
        "jti": _id,
        "approver": _actor,
        "approval": _signed(RecoveryApproval),
        "approved_at": _time,
    },
    "log_entries": {
        "seq": _entries,
        "at": _time,
        "pseudonym": _id,
        "actor": _actor,
        "thumbprint": _thumbprint,
        "kind": _one_of(*LogKind),
        "subject": _matches(r"[0-9a-f]{32}|[A-Za-z0-9_-]{43}"),
        "message_sha256": _hash,
        "cells": _number(0, lambda _: MAX_CELLS),
        "recordings": _recordings,
        "prev": _hash,
        "own_prev": _hash,
        "hash": _hash,
    },
    "log_head": {"id": _number(1, lambda _: 1), "seq": _entries, "hash": _hash},
    "grants": {
        "grant_id": _id,
        "patient": _id,
        "doctor": _id,
        "doctor_thumbprint": _thumbprint,
        "use": _one_of(*GrantUse),
        "grant": _signed(Grant),
        "revocation": _maybe(_signed(Revocation)),
        "granted_at": _time,
        "revoked_at": _maybe(_time),
    },
    "served_tallies": {
        "pseudonym": _id,
        "day": _day,
        "key_id": _hash,
        "served": _recordings,
        "moved_by": _maybe(_hash),
    },
    "comparison_sessions": {
        "session": _id,
        "sealed": _sealed(_GARBLER_BYTES),
        "comparisons": _comparisons,
        "opened_at": _time,
        "ended_at": _maybe(_time),
    },
    "comparison_batches": {
        "session": _id,
        "number": _batch,
        "request_sha256": _hash,
        "answer": _maybe(_reads(decode_answer, bytes)),
        "served_at": _time,
    },
    "range_checks": {
        "range": _id,
        "pseudonym": _id,
        "key_id": _hash,
        "digest": _maybe(_digest),
        "served_at": _time,
    },
    "spent_openings": {
        "jti": _id,
        "collector": _id,
        "recordings": _recordings,
        "spent_at": _time,
        "expires_at": _time,
    },
    "rosters": {
        "roster_id": _id,
        "clinic": _id,
        "month": _month,
        "roster": _signed(Roster),
        "declared_at": _time,
        "refused_at": _maybe(_time),
        "opened_at": _maybe(_time),
        "statement_sha256": _maybe(_hash),
        "answer": _maybe(_sealed_opening),
        "members": _maybe(_row),
        "recordings": _maybe(_recordings),
        "epsilon": _maybe(_epsilon),
    },
    "roster_members": {
        "roster_id": _id,
        "pseudonym": _id,
        "month": _month,
        "epsilon": _maybe(_epsilon),
    },
}
"""Role B: pseudonyms, public keys, grants, and how many recordings it served."""
