"""What ends a doctor's ranges from outside: another range, or the patient's revocation."""

from __future__ import annotations

from sqlalchemy import update

from app.aggregator.tables import Range, RangeState, db

PENDING_STATES = (RangeState.PROPOSED, RangeState.CHECKED)


def end_ranges(doctor_id: int, pseudonym: str) -> None:
    """All of a doctor's ranges for a patient end REPLACED; part of the caller's transaction.

    Without a range in force the public default applies to the recordings compared from then on.
    """
    _replace(
        Range.pseudonym == pseudonym,
        Range.doctor_id == doctor_id,
        Range.state.in_((*PENDING_STATES, RangeState.ACTIVE)),
    )


def end_pending(doctor_id: int, pseudonym: str) -> None:
    """A doctor's undecided ranges for a patient end, as a newer one is proposed."""
    _replace(
        Range.pseudonym == pseudonym,
        Range.doctor_id == doctor_id,
        Range.state.in_(PENDING_STATES),
    )


def end_active(pseudonym: str) -> None:
    """The range in force of a patient ends, as another takes its place."""
    _replace(Range.pseudonym == pseudonym, Range.state == RangeState.ACTIVE)


def _replace(*which: object) -> None:
    db.session.execute(
        update(Range).where(*which).values(state=RangeState.REPLACED),  # type: ignore[arg-type]
        execution_options={"synchronize_session": False},
    )
