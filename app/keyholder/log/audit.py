"""Whether the log is whole, and whether it explains the keys and grants that are in force.

Whoever writes into the database can write entries as well. So the messages behind the rows are
verified too: a device by the key that took it in, a grant by a key of its patient.

Works on the database alone, without the key holder's keys: also on a copy or a backup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.keyholder.log.chain import entry_of
from app.keyholder.tables import Collector, CollectorKey, Grant
from app.keyholder.tables import LogEntry as LogRow
from app.keyholder.tables import LogHead as HeadRow
from crypto.encoding import json_object, sha256_hex, unb64u
from crypto.errors import CryptoError
from crypto.jws import claimed_signer, parse, thumbprint
from crypto.messages import (
    Device,
    Enrolment,
    KeyType,
    LogEntry,
    LogKind,
    PinnedKey,
    Recovery,
    SignedMessage,
)
from crypto.messages import Grant as GrantMessage
from crypto.messages.log import NOTHING
from crypto.webauthn import rp_id_of

IMPORTED = ""
"""The message of a key that is older than the log: nobody kept it."""

_ADDS_KEY = {LogKind.ENROLMENT, LogKind.DEVICE, LogKind.RECOVERY_COMPLETION}


class LogBroken(Exception):
    """The first thing that does not fit; `seq` is the entry that it is about, if there is one."""

    def __init__(self, what: str, seq: int | None = None) -> None:
        super().__init__(what if seq is None else f"entry {seq}: {what}")
        self.seq = seq


@dataclass
class _State:
    """What the log says is in force, by the thumbprint or grant that it names."""

    keys: dict[str, LogEntry] = field(default_factory=dict)
    grants: dict[str, LogEntry] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def take(self, entry: LogEntry) -> None:
        if entry.kind is LogKind.RECOVERY_COMPLETION:
            self.keys = {
                key: added for key, added in self.keys.items() if added.pseudonym != entry.pseudonym
            }
        if entry.kind is LogKind.ENROLMENT:
            self.names[entry.pseudonym] = entry.subject
        if entry.kind in _ADDS_KEY:
            self.keys[entry.subject] = entry
        elif entry.kind is LogKind.DEVICE_REMOVAL:
            self.keys.pop(entry.subject, None)
        elif entry.kind is LogKind.GRANT:
            self.grants[entry.subject] = entry
        elif entry.kind is LogKind.REVOCATION:
            self.grants.pop(entry.subject, None)


def check(session: Session) -> int:
    """How many entries there are. Raises LogBroken."""
    state, last, count = _State(), NOTHING, 0
    for entry in _chained(session):
        state.take(entry)
        last, count = entry.hash, entry.seq
    head = session.scalars(select(HeadRow)).one_or_none()
    if (count, last) != ((0, NOTHING) if head is None else (head.seq, head.hash)):
        raise LogBroken("the head is not the last entry", count)
    _check_names(session, state)
    _check_keys(session, state)
    _check_grants(session, state)
    return count


def entries(session: Session, pseudonym: str | None = None) -> Iterator[LogEntry]:
    """All entries in their order, or those of one pseudonym. Nothing is checked."""
    query = select(LogRow).order_by(LogRow.seq).execution_options(yield_per=1000)
    if pseudonym is not None:
        query = query.filter_by(pseudonym=pseudonym)
    for row in session.scalars(query):
        yield entry_of(row)


def _chained(session: Session) -> Iterator[LogEntry]:
    prev, own = NOTHING, dict[str, str]()
    query = select(LogRow).order_by(LogRow.seq).execution_options(yield_per=1000)
    for seq, row in enumerate(session.scalars(query), 1):
        if row.seq != seq:
            raise LogBroken("it is missing", seq)
        try:
            entry = entry_of(row)
        except ValueError:
            raise LogBroken("its kind is none", seq) from None
        if entry.hash != row.hash:
            raise LogBroken("it does not have the hash that was stored with it", seq)
        if entry.prev != prev:
            raise LogBroken("it does not follow the entry before it", seq)
        if entry.own_prev != own.get(entry.pseudonym, NOTHING):
            raise LogBroken("it does not follow the entry before it of the same pseudonym", seq)
        prev = own[entry.pseudonym] = entry.hash
        yield entry


def _check_names(session: Session, state: _State) -> None:
    rows = {row.collector: row.thumbprint for row in session.scalars(select(Collector))}
    for collector in sorted(rows.keys() | state.names.keys()):
        if rows.get(collector) != state.names.get(collector):
            raise LogBroken(f"collector {collector} is not the one that was enrolled")


def _check_keys(session: Session, state: _State) -> None:
    left = dict(state.keys)
    rows = list(session.scalars(select(CollectorKey).order_by(CollectorKey.thumbprint)))
    keys = {row.thumbprint: row for row in rows}
    for row in rows:
        added = left.pop(row.thumbprint, None)
        if row.revoked_at is not None:
            if added is not None:
                raise LogBroken(f"key {row.thumbprint} was revoked without an entry", added.seq)
            continue
        if added is None or added.pseudonym != row.collector:
            raise LogBroken(f"key {row.thumbprint} is in force without an entry")
        if sha256_hex(row.message.encode()) != added.message_sha256:
            raise LogBroken(f"key {row.thumbprint} came by another message", added.seq)
        if not _names_key(row, added.kind):
            raise LogBroken(f"key {row.thumbprint} is not what its message says", added.seq)
        if not _is_signed_for(row, added.kind, keys):
            raise LogBroken(f"key {row.thumbprint} has no valid signature", added.seq)
    for thumb, added in left.items():
        raise LogBroken(f"key {thumb} is gone without an entry", added.seq)


def _names_key(row: CollectorKey, kind: LogKind) -> bool:
    """Whether the stored key is the one that its message is about."""
    try:
        if thumbprint(json_object(row.key_jwk.encode())) != row.thumbprint:
            return False
        if row.message == IMPORTED:
            return kind is LogKind.ENROLMENT and row.type == "software"
        said: Enrolment | Device | Recovery
        if kind is LogKind.ENROLMENT:
            said = Enrolment.claimed(row.message)
        elif kind is LogKind.DEVICE:
            said = Device.claimed(row.message)
        else:
            said = Recovery.claimed(row.message)
    except CryptoError:
        return False
    named = (said.collector, said.thumbprint, said.type.value)
    return named == (row.collector, row.thumbprint, row.type)


def _is_signed_for(row: CollectorKey, kind: LogKind, keys: Mapping[str, CollectorKey]) -> bool:
    """Whether the right key signed for this one; A's word, of enrolments, is not kept to check."""
    if kind is LogKind.ENROLMENT:
        return True
    if kind is LogKind.RECOVERY_COMPLETION:
        return _is_signed(Recovery, row.message, row)
    signer = keys.get(row.added_by or "")
    return (
        signer is not None
        and signer.collector == row.collector
        and _is_signed(Device, row.message, signer)
    )


def _is_signed(kind: type[SignedMessage], token: str, signer: CollectorKey) -> bool:
    try:
        said = kind.claimed(token)
        jwk = json_object(signer.key_jwk.encode())
        origins = _origins(token, kind.TYP, signer.rp_id)
        key = PinnedKey(jwk, signer.collector, KeyType(signer.type), signer.rp_id, origins)
        kind.verify(token, key, said.iat)  # type: ignore[attr-defined]
    except CryptoError:
        return False
    return True


def _origins(token: str, typ: str, rp_id: str | None) -> tuple[str, ...]:
    """The origin of a passkey's assertion, if it is of its domain: A's port may have changed."""
    certificate = parse(token, typ).certificate
    if certificate is None or rp_id is None:
        return ()
    origin = json_object(unb64u(certificate.get("client_data", ""))).get("origin")
    return (origin,) if isinstance(origin, str) and rp_id_of(origin) == rp_id else ()


def _check_grants(session: Session, state: _State) -> None:
    left = dict(state.grants)
    keys = {row.thumbprint: row for row in session.scalars(select(CollectorKey))}
    for row in session.scalars(select(Grant).order_by(Grant.grant_id)):
        given = left.pop(row.grant_id, None)
        if row.revoked_at is not None:
            if given is not None:
                raise LogBroken(f"grant {row.grant_id} ended without an entry", given.seq)
            continue
        if given is None or given.pseudonym != row.patient:
            raise LogBroken(f"grant {row.grant_id} is in force without an entry")
        if sha256_hex(row.grant.encode()) != given.message_sha256:
            raise LogBroken(f"grant {row.grant_id} came by another message", given.seq)
        if not _is_what_was_signed(row):
            raise LogBroken(f"grant {row.grant_id} is not what its message says", given.seq)
        signer = keys.get(claimed_signer(row.grant, GrantMessage.TYP))
        if (
            signer is None
            or signer.collector != row.patient
            or not _is_signed(GrantMessage, row.grant, signer)
        ):
            raise LogBroken(f"grant {row.grant_id} has no valid signature", given.seq)
    for grant, given in left.items():
        raise LogBroken(f"grant {grant} is gone without an entry", given.seq)


def _is_what_was_signed(row: Grant) -> bool:
    try:
        said = GrantMessage.claimed(row.grant)
    except CryptoError:
        return False
    named = (said.grant, said.patient, said.doctor, said.doctor_thumbprint, said.use.value)
    return named == (row.grant_id, row.patient, row.doctor, row.doctor_thumbprint, row.use)
