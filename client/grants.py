"""A patient's consents: a doctor or a clinic is named by a code that stands for its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from client.collector import Collector, now
from client.errors import (
    TRANSIENT,
    BadAnswer,
    DoctorCodeMismatch,
    NotFound,
    NotLoggedIn,
    Refused,
)
from client.service import field, patiently
from crypto.encoding import check_id, new_id
from crypto.jws import doctor_code, thumbprint
from crypto.messages import CollectorKind, Grant, GrantUse, Revocation

_CODE_CHARACTERS = 16
_RESEND_SECONDS = 30.0


@dataclass(frozen=True)
class Doctor:
    """A doctor, or a clinic, whose key fits the code that the patient was given.

    `use` is what can be granted: the key holder refuses it if the aggregator is wrong about that.
    """

    collector: str
    display_name: str
    thumbprint: str
    use: GrantUse


@dataclass(frozen=True)
class Consent:
    """A grant in force. `since`: Unix seconds."""

    grant: str
    doctor: str
    display_name: str
    since: int


def find_doctor(collector: Collector, code: str) -> Doctor:
    """The doctor of a code, checked against the key.

    Raises DoctorCodeMismatch if the aggregator shows a key that the code does not stand for:
    it might be the key of somebody who wants to read along.
    """
    code = normalised_code(code)
    answer = collector.aggregator.get(f"/api/doctors/{code}")
    thumb = thumbprint(field(answer, "key", dict))
    if doctor_code(thumb) != code:
        raise DoctorCodeMismatch(
            "The aggregator shows a key that does not belong to this code. Nothing was shared. "
            "Compare the code with the doctor, and tell the clinic."
        )
    return Doctor(
        collector=check_id(field(answer, "collector", str)),
        display_name=field(answer, "display_name", str),
        thumbprint=thumb,
        use=_use(field(answer, "kind", str)),
    )


def _use(kind: str) -> GrantUse:
    try:
        use = GrantUse.to(CollectorKind(kind))
    except ValueError:
        use = None
    if use is None:
        raise BadAnswer("The aggregator's answer is neither about a doctor nor about a clinic.")
    return use


def normalised_code(text: str) -> str:
    """ABCD-EFGH-IJKL-MNOP from what a person typed: case, spaces and hyphens are free."""
    letters = "".join(text.split()).replace("-", "").upper()
    known = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    if len(letters) != _CODE_CHARACTERS or not set(letters) <= known:
        raise DoctorCodeMismatch(
            "A doctor's code has 16 letters and digits from 2 to 7, as in ABCD-EFGH-IJKL-MNOP."
        )
    return "-".join(letters[i : i + 4] for i in range(0, _CODE_CHARACTERS, 4))


def grant(collector: Collector, doctor: Doctor) -> str:
    """Lets a doctor open this patient's counts, or a clinic count them in; returns the grant's id.

    The key holder takes it first: it is the one that enforces it. The signed grant is kept in the
    profile until both servers have it, so that none stays behind at the key holder unseen. A grant
    to this doctor that is in force already is gone on with.
    """
    finish_unconfirmed(collector)
    signed = Grant(
        grant=new_id(),
        patient=collector.pseudonym,
        doctor=doctor.collector,
        doctor_thumbprint=doctor.thumbprint,
        use=doctor.use,
        iat=now(),
    )
    return _deliver_grant(collector, signed, _RESEND_SECONDS)


def revoke(collector: Collector, grant_id: str) -> None:
    """Takes a grant back; the key holder refuses the doctor from its answer on.

    Raises NotFound if neither server knows it.
    """
    collector.profile.drop_unconfirmed("grant", grant_id)
    _deliver_revocation(collector, _revocation(collector.pseudonym, grant_id), _RESEND_SECONDS)


def finish_unconfirmed(collector: Collector) -> int:
    """Delivers what an earlier command could not; returns how many messages there were.

    A message that a server refuses for good is dropped, and so is its trace at the key holder.

    Raises NotLoggedIn, or an error of `client.errors.TRANSIENT`: the rest stays for the next time.
    """
    given = [Grant.claimed(token) for token in collector.profile.unconfirmed("grant")]
    ended = [Revocation.claimed(token) for token in collector.profile.unconfirmed("revocation")]
    for consent in given:
        _settle(partial(_deliver_grant, collector, consent, 0.0))
    for end in ended:
        _settle(partial(_deliver_revocation, collector, end, 0.0))
    return len(given) + len(ended)


def _settle(delivery: Callable[[], object]) -> None:
    try:
        delivery()
    except Refused as error:
        if not _is_final(error):
            raise


def _deliver_grant(collector: Collector, signed: Grant, seconds: float) -> str:
    """To the key holder, then to the aggregator; returns the id of the grant in force."""
    own, token = collector.profile, signed.sign(collector.identity.key)
    own.keep_unconfirmed("grant", signed.grant, token)
    try:
        patiently(lambda: collector.keyholder.post("/v1/grants", grant=token), seconds)
    except Refused as error:
        if _is_final(error):
            own.drop_unconfirmed("grant", signed.grant)
        in_force = _grant_in_force(error)
        if in_force is None or in_force == signed.grant:
            raise
        # The key holder has one of an earlier time; the aggregator may lack it.
        return _deliver_grant(collector, replace(signed, grant=in_force), seconds)
    try:
        _tell_aggregator(collector, signed, token, seconds)
    except Refused as error:
        if _is_final(error):
            # What the aggregator does not list, nobody could take back later.
            _deliver_revocation(collector, _revocation(signed.patient, signed.grant), seconds)
            own.drop_unconfirmed("grant", signed.grant)
        raise
    own.drop_unconfirmed("grant", signed.grant)
    return signed.grant


def _tell_aggregator(collector: Collector, signed: Grant, token: str, seconds: float) -> None:
    def post() -> object:
        return patiently(lambda: collector.aggregator.post("/api/consents", grant=token), seconds)

    try:
        post()
    except Refused as error:
        in_force = _grant_in_force(error)
        if in_force is None or in_force == signed.grant:
            raise
        # The key holder's grant is the one that opens; one that only the aggregator has ends.
        _deliver_revocation(collector, _revocation(signed.patient, in_force), seconds)
        post()


def _deliver_revocation(collector: Collector, signed: Revocation, seconds: float) -> None:
    """To both servers; that one of them never got the grant keeps it from neither."""
    own, token = collector.profile, signed.sign(collector.identity.key)
    own.keep_unconfirmed("revocation", signed.grant, token)
    path = f"/api/consents/{signed.grant}"
    calls: list[Callable[[], object]] = [
        lambda: collector.keyholder.post("/v1/revocations", revocation=token),
        lambda: collector.aggregator.delete(path, revocation=token),
    ]
    unknown: list[NotFound] = []
    for call in calls:
        try:
            patiently(call, seconds)
        except NotFound as error:
            unknown.append(error)
        except Refused as error:
            if _is_final(error):
                own.drop_unconfirmed("revocation", signed.grant)
            raise
    own.drop_unconfirmed("revocation", signed.grant)
    if len(unknown) == len(calls):
        raise unknown[0]


def _revocation(patient: str, grant_id: str) -> Revocation:
    return Revocation(grant=check_id(grant_id), patient=patient, iat=now())


def _is_final(error: Refused) -> bool:
    """Whether the same bytes would be refused again, even after logging in again."""
    return error.status < 500 and not isinstance(error, (NotLoggedIn, *TRANSIENT))


def _grant_in_force(error: Refused) -> str | None:
    """Which grant to this doctor a server has already, if that is why it refused."""
    if error.slug != "grant-exists":
        return None
    return check_id(error.problem.get("grant"))


def consents(collector: Collector) -> list[Consent]:
    """The grants in force."""
    rows = field(collector.aggregator.get("/api/consents"), "consents", list)
    return [_consent(row) for row in rows]


def _consent(row: object) -> Consent:
    if not isinstance(row, dict):
        raise BadAnswer("The aggregator's list of consents cannot be read.")
    return Consent(
        grant=field(row, "grant", str),
        doctor=field(row, "doctor", str),
        display_name=field(row, "display_name", str),
        since=field(row, "since", int),
    )
