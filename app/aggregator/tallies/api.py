"""`/api/tallies`: the days that hold counted recordings, and how many each holds."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from sqlalchemy import func, select

from app.aggregator.access import account, only
from app.aggregator.consents.service import may_open
from app.aggregator.tables import AccountKind, Tally, db
from app.common.problems import NotFound
from crypto.encoding import check_day, check_id

tallies = Blueprint("tallies", __name__, url_prefix="/api/tallies")


@tallies.get("")
@only(AccountKind.PATIENT, AccountKind.DOCTOR)
def listed() -> dict[str, Any]:
    caller = account()
    pseudonym = check_id(request.args.get("pseudonym", caller.collector))
    if not may_open(caller, pseudonym):
        raise NotFound("There is no such patient, or none who consents to you.")
    rows = db.session.execute(
        select(Tally.day, func.sum(Tally.recordings))
        .where(
            Tally.pseudonym == pseudonym,
            Tally.day >= check_day(request.args.get("first")),
            Tally.day <= check_day(request.args.get("last")),
            Tally.recordings > 0,
        )
        .group_by(Tally.day)
        .order_by(Tally.day)
    )
    return {"days": [[day, int(recordings)] for day, recordings in rows]}
