"""`/api/openings`: A's half of an opening."""

from __future__ import annotations

from flask import Blueprint

from app.aggregator.access import account, only
from app.aggregator.extensions import limiter
from app.aggregator.openings.service import AskedCell, HalfOpening, open_range_check, open_tallies
from app.aggregator.tables import AccountKind
from app.common.problems import InvalidRequest
from app.common.requests import json_body
from crypto.encoding import check_day, check_id, unb64u
from crypto.hpke import check_public_key
from crypto.messages import MAX_CELLS
from crypto.wire import MAX_LIST

openings = Blueprint("openings", __name__, url_prefix="/api/openings")


@openings.post("")
@only(AccountKind.PATIENT, AccountKind.DOCTOR)
@limiter.limit("120 per minute")
def open_half() -> dict[str, str]:
    return _ask().answer()


def _ask() -> HalfOpening:
    body = json_body(kind=str, recipient=str, cells=list | None, range=str | None)
    recipient = check_public_key(unb64u(body["recipient"]))
    match body["kind"], body["cells"], body["range"]:
        case "tally", list(cells), None:
            if not 0 < len(cells) <= MAX_CELLS:
                raise InvalidRequest(f"An opening has 1 to {MAX_CELLS} cells.")
            return open_tallies(account(), [_cell(cell) for cell in cells], recipient)
        case "range_check", None, str(range_id):
            return open_range_check(account(), check_id(range_id), recipient)
        case _:
            raise InvalidRequest("Ask for kind tally with cells, or range_check with range.")


def _cell(cell: object) -> AskedCell:
    match cell:
        case {"pseudonym": pseudonym, "days": list(days), **others} if not others:
            if not 0 < len(days) <= MAX_LIST:
                raise InvalidRequest(f"A cell has 1 to {MAX_LIST} days.")
            return AskedCell(check_id(pseudonym), tuple(check_day(day) for day in days))
        case _:
            raise InvalidRequest("A cell is a pseudonym and a list of days.")
