"""A's part of cohorts: keeps a clinic's rosters, and adds up, blinds and states one of a month.

Whom a cohort counts in is the key holder's word (docs/protocol.md, section 6.1); how many
recordings each of them has is told by both servers alike, or nothing opens. Under noise A adds its
share to what it blinds; it cannot leave it out afterwards, for it knows neither sum.
"""

from __future__ import annotations

import time
from itertools import groupby

from sqlalchemy import select

from app.aggregator.consents.service import patients_of
from app.aggregator.devices.keys import verified
from app.aggregator.keyholder_client import KeyholderRefused
from app.aggregator.openings.service import HalfOpening, common_fields, half_opening, one_key
from app.aggregator.services import services
from app.aggregator.tables import Account, Roster, RosterMember, Tally, db
from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from crypto.cohorts import blind_cohort, members_hash, recordings_of
from crypto.encoding import sha256_hex
from crypto.messages import CohortStatement
from crypto.messages import Roster as SignedRoster
from crypto.months import bounds_of, opens_at
from crypto.random import SeededRandom, new_seed


class RosterFixed(Problem):
    """The clinic has another roster for this month, or the identifier is taken."""

    slug = "roster-fixed"
    title = "The roster of this month is fixed"
    status = 409


class CohortNotOver(Problem):
    """The month is not over everywhere; the member `opens_at` says when it can be opened."""

    slug = "cohort-not-over"
    title = "The month is not over yet"
    status = 409


class CohortDiffers(Problem):
    """The two servers do not know the same of a patient of the roster at the moment."""

    slug = "cohort-differs"
    title = "The servers do not agree on who belongs in it"
    status = 409


class CohortEmpty(Problem):
    """Nobody of the roster has a recording in the month and a consent in force."""

    slug = "cohort-too-small"
    title = "Too few patients to be opened"
    status = 409


def keep_roster(clinic: Account, token: str) -> tuple[str, bool]:
    """Keeps a roster that its clinic signed and B fixed. Returns its id and whether it is new.

    Raises:
        CryptoError: not signed by the clinic's key, or malformed.
        InvalidRequest: it speaks of another clinic.
        RosterFixed: as its name says.
    """
    signed = verified(SignedRoster, token, clinic, time.time(), longest=len(token))
    if signed.clinic != clinic.collector:
        raise InvalidRequest("The roster speaks of another clinic.")
    clinic_id = clinic.id
    sealed_seed = services().secrets.storage_key.seal(new_seed(), _context(signed.roster))

    def work() -> bool:
        known = db.session.get(Roster, signed.roster)
        if known is not None and SignedRoster.claimed(known.roster) == signed:
            return False
        of_month = select(Roster.id).where(
            Roster.clinic_id == clinic_id, Roster.month == signed.month
        )
        if known is not None or db.session.scalar(of_month) is not None:
            raise RosterFixed("It cannot be changed: the next one is for the month after.")
        db.session.add(
            Roster(
                id=signed.roster,
                clinic_id=clinic_id,
                month=signed.month,
                roster=token,
                sealed_seed=sealed_seed,
                created_at=int(time.time()),
            )
        )
        db.session.flush()
        db.session.add_all(
            RosterMember(roster_id=signed.roster, pseudonym=pseudonym)
            for pseudonym in signed.pseudonyms
        )
        return True

    return signed.roster, in_transaction(db, work)


def rosters_of(clinic: Account) -> list[Roster]:
    """The clinic's rosters, newest month first."""
    rows = select(Roster).where(Roster.clinic_id == clinic.id).order_by(Roster.month.desc())
    return list(db.session.scalars(rows))


def open_cohort(clinic: Account, roster_id: str, recipient: bytes) -> HalfOpening:
    """A's half of the one opening of a roster's month.

    It can be asked for again as long as the key holder has not opened the roster.

    Raises:
        NotFound: not this clinic's roster, or one that the key holder does not know.
        CohortNotOver, CohortDiffers, CohortEmpty: as their names say.
        NotEnrolled, KeyholderUnavailable: as for every opening.
    """
    roster = db.session.get(Roster, roster_id)
    if roster is None or roster.clinic_id != clinic.id:
        raise NotFound("You have no such roster.")
    if time.time() < opens_at(roster.month):
        when = opens_at(roster.month)
        raise CohortNotOver("Wait until it is over everywhere.", opens_at=when)
    counted_in = _counted_in(clinic, roster)
    rows = [row for row in _tallies(roster) if row.pseudonym in counted_in]
    key = one_key({row.key_id for row in rows})
    members = [
        (pseudonym, [(row.day, row.recordings) for row in days])
        for pseudonym, days in groupby(rows, lambda row: str(row.pseudonym))
    ]
    if len(members) != len(counted_in):
        raise CohortDiffers("A recording is still being added up: try again in a minute.")
    terms = services().config.cohort_terms
    seed = services().secrets.storage_key.unseal(roster.sealed_seed, _context(roster.id))
    blinded, blind = blind_cohort(
        key,
        (key.stored(row.ciphertext) for row in rows),
        terms,
        SeededRandom(seed, b"cohort-noise"),
    )
    statement = CohortStatement(
        roster=roster.id,
        month=roster.month,
        members_sha256=members_hash(members),
        members=len(members),
        recordings=recordings_of(members),
        epsilon=terms.epsilon,
        cap=terms.cap,
        ciphertext_sha256=sha256_hex(blinded.to_wire()),
        **common_fields(clinic, recipient, key.key_id),
    )
    return half_opening(statement, blind, blinded)


def _counted_in(clinic: Account, roster: Roster) -> set[str]:
    """Whom the key holder counts in; all of them must be of the roster and consent here as well."""
    try:
        named = set(services().keyholder.cohort_members(roster.id))
    except KeyholderRefused as refusal:
        raise NotFound(f"The key holder has no such roster ({refusal.slug}).") from None
    if not named:
        raise CohortEmpty("Nobody of the roster has a recording in this month.")
    consenting = {patient.collector for patient, _since in patients_of(clinic)}
    listed = set(
        db.session.scalars(
            select(RosterMember.pseudonym).where(RosterMember.roster_id == roster.id)
        )
    )
    if named - (consenting & listed):
        raise CohortDiffers("A consent was taken back at one of the servers only.")
    return named


def _tallies(roster: Roster) -> list[Tally]:
    """Of everybody on the roster, with recordings in its month, in the order of a statement."""
    return list(
        db.session.scalars(
            select(Tally)
            .join(RosterMember, RosterMember.pseudonym == Tally.pseudonym)
            .where(
                RosterMember.roster_id == roster.id,
                Tally.day.between(*bounds_of(roster.month)),
                Tally.recordings > 0,
            )
            .order_by(Tally.pseudonym, Tally.day)
        )
    )


def _context(roster_id: str) -> bytes:
    return b"roster-noise\x00" + roster_id.encode("ascii")
