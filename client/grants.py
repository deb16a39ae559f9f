"""A patient's consents: a doctor is named by a code that stands for the doctor's key."""

from __future__ import annotations

from dataclasses import dataclass

from client.collector import Collector, now
from client.errors import BadAnswer, DoctorCodeMismatch
from client.service import field, patiently
from crypto.encoding import check_id, new_id
from crypto.jws import doctor_code, thumbprint
from crypto.messages import Grant, Revocation

_CODE_CHARACTERS = 16
_RESEND_SECONDS = 30.0


@dataclass(frozen=True)
class Doctor:
    """A doctor whose key fits the code that the patient was given."""

    collector: str
    display_name: str
    thumbprint: str


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
    )


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
    """Lets a doctor open this patient's counts; returns the grant's id.

    The key holder takes it first: it is the one that enforces it.
    """
    signed = Grant(
        grant=new_id(),
        patient=collector.pseudonym,
        doctor=doctor.collector,
        doctor_thumbprint=doctor.thumbprint,
        iat=now(),
    )
    token = signed.sign(collector.identity.key)
    patiently(lambda: collector.keyholder.post("/v1/grants", grant=token), _RESEND_SECONDS)
    patiently(lambda: collector.aggregator.post("/api/consents", grant=token), _RESEND_SECONDS)
    return signed.grant


def revoke(collector: Collector, grant_id: str) -> None:
    """Takes a grant back; the key holder refuses the doctor from its answer on."""
    signed = Revocation(grant=check_id(grant_id), patient=collector.pseudonym, iat=now())
    token = signed.sign(collector.identity.key)
    patiently(
        lambda: collector.keyholder.post("/v1/revocations", revocation=token), _RESEND_SECONDS
    )
    patiently(
        lambda: collector.aggregator.delete(f"/api/consents/{grant_id}", revocation=token),
        _RESEND_SECONDS,
    )


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
