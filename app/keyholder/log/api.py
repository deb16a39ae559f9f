"""A collector reads its own part of the log, and which keys and recoveries it has."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.common.requests import json_body
from app.keyholder.collector_keys import in_force, verified
from app.keyholder.context import keyholder
from app.keyholder.log.chain import entry_of, last_own
from app.keyholder.recoveries import completable
from app.keyholder.tables import LogEntry as LogRow
from app.keyholder.tables import LogHead as HeadRow
from app.keyholder.tables import db
from crypto.messages import LogHead, LogRequest, Recovery
from crypto.messages.log import NOTHING
from crypto.wire import to_record

MOST_ENTRIES = 500
"""In one answer."""

blueprint = Blueprint("log", __name__)


@blueprint.post("/v1/log")
def show() -> ResponseReturnValue:
    token = json_body(request=str)["request"]
    asked, _ = verified(LogRequest, token, LogRequest.claimed(token).collector, time.time())
    # The own end first: what is appended meanwhile comes with the next request.
    own = last_own(asked.collector)
    own_seq, own_hash = (0, NOTHING) if own is None else (own.seq, own.hash)
    query = (
        db.select(LogRow)
        .filter_by(pseudonym=asked.collector)
        .where(LogRow.seq > asked.after, LogRow.seq <= own_seq)
        .order_by(LogRow.seq)
        .limit(MOST_ENTRIES)
    )
    entries = [to_record(entry_of(row)) for row in db.session.scalars(query)]
    return jsonify(
        entries=entries,
        head=_head(asked, own_seq, own_hash),
        keys=_keys(asked.collector),
        recoveries=_recoveries(asked.collector),
    )


def _head(asked: LogRequest, own_seq: int, own_hash: str) -> str:
    head = db.session.scalars(db.select(HeadRow)).one_or_none()
    return LogHead(
        collector=asked.collector,
        jti=asked.jti,
        seq=0 if head is None else head.seq,
        hash=NOTHING if head is None else head.hash,
        own_seq=own_seq,
        own_hash=own_hash,
        iat=int(time.time()),
    ).sign(keyholder().keys.manifest)


def _keys(collector: str) -> list[dict[str, Any]]:
    return [
        {"thumbprint": key.thumbprint, "type": key.type, "added_at": key.added_at}
        for key in in_force(collector)
    ]


def _recoveries(collector: str) -> list[dict[str, Any]]:
    return [
        {
            "recovery": row.jti,
            "thumbprint": row.thumbprint,
            "type": Recovery.claimed(row.recovery).type.value,
            "completes_at": row.completes_at,
        }
        for row in completable(collector)
    ]
