"""The aggregator's half of an opening, alone and with the real key holder's half."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.aggregator.tables import Range, RangeState, Tally, db
from app.keyholder.tables import RangeCheck, ServedTally
from app.keyholder.tables import db as keyholder_db
from crypto.encoding import b64u, new_id, sha256_hex, unb64u
from crypto.hpke import blind_info, value_info
from crypto.jws import thumbprint
from crypto.keyholder.masks import MaskKey
from crypto.messages import EnrolmentProof, Opening, RangeCheckStatement, Statement, TallyStatement
from crypto.opening import range_is_valid, recover_counts
from crypto.paillier import PublicKey
from crypto.slots import max_cells, rate_count_offset
from crypto.unsealing import SealingKey
from tests.aggregator.cast import (
    Browser,
    Caller,
    Cast,
    consent,
    grant_token,
    range_token,
    revoke,
)
from tests.aggregator.conftest import Keyholder, Line

DAYS = ["2025-03-01", "2025-03-02", "2025-03-03"]
DIGEST = bytes(range(32))


@pytest.fixture
def recipient() -> SealingKey:
    return SealingKey.generate()


@pytest.fixture
def ask(recipient: SealingKey) -> Callable[..., TestResponse]:
    def asked(caller: Caller, *cells: tuple[str, list[str]], **changes: Any) -> TestResponse:
        body = {
            "kind": "tally",
            "recipient": b64u(recipient.public),
            "cells": [{"pseudonym": pseudonym, "days": days} for pseudonym, days in cells],
        }
        return caller.post("/api/openings", body | changes)

    return asked


@pytest.fixture
def tally(
    app: Flask, keyholder: Keyholder, key: PublicKey
) -> Callable[[Caller, str, int, int, int], None]:
    """Puts a tally in place as the aggregation worker leaves it: counts and mask."""

    def made(patient: Caller, day: str, recordings: int, sound: int, rate: int) -> None:
        mask = keyholder.keys.masks.total(key, patient.collector, day, recordings)
        counts = sound + (rate << rate_count_offset(key.bits))
        with app.app_context():
            db.session.add(
                Tally(
                    pseudonym=patient.collector,
                    day=day,
                    key_id=key.key_id,
                    recordings=recordings,
                    ciphertext=key.encrypt((counts + mask) % key.n).to_bytes(),
                )
            )
            db.session.commit()
        with keyholder.app.app_context():
            keyholder_db.session.add(
                ServedTally(
                    pseudonym=patient.collector, day=day, key_id=key.key_id, served=recordings
                )
            )
            keyholder_db.session.commit()

    return made


def at_keyholder(keyholder: Keyholder, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = keyholder.app.test_client().post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.get_json()


def enrol(keyholder: Keyholder, caller: Caller) -> None:
    token = caller.post("/api/enrolments", {"key": caller.key.public_jwk}).get_json()["statement"]
    from crypto.messages import Enrolment

    jti = Enrolment.claimed(token).jti
    proof = EnrolmentProof(statement_sha256=sha256_hex(token.encode()), jti=jti)
    body = {"statement": token, "proof": proof.sign(caller.key), "key": caller.key.public_jwk}
    at_keyholder(keyholder, "/v1/enrolments", body)


def value_of(
    keyholder: Keyholder, caller: Caller, half: dict[str, Any], recipient: SealingKey
) -> tuple[bytes, bytes]:
    """The key holder's value and the aggregator's blind, unsealed."""
    token = half["statement"]
    jti = Statement.claimed(token).jti
    opening = Opening(statement_sha256=sha256_hex(token.encode()), jti=jti).sign(caller.key)
    about = {"ciphertext": half["ciphertext"]} if "ciphertext" in half else {}
    body = {"statement": token, "opening": opening} | about
    sealed_value = at_keyholder(keyholder, "/v1/openings", body)["sealed_value"]
    return (
        recipient.unseal(value_info(jti), unb64u(sealed_value)),
        recipient.unseal(blind_info(jti), unb64u(half["sealed_blind"])),
    )


def slot_bits_of(half: dict[str, Any]) -> int:
    """What the statement says."""
    statement = Statement.claimed(half["statement"])
    assert isinstance(statement, TallyStatement)
    assert statement.slot_bits == 16
    return statement.slot_bits


def test_a_statement_says_what_was_blinded_for_whom(
    cast: Cast,
    ask: Callable[..., TestResponse],
    tally: Callable[..., None],
    statement_jwk: dict[str, str],
    recipient: SealingKey,
    key: PublicKey,
) -> None:
    tally(cast.patient, DAYS[0], 3, 1, 2)
    tally(cast.patient, DAYS[2], 5, 0, 1)
    answer = ask(cast.patient, (cast.patient.collector, [DAYS[2], DAYS[1], DAYS[0]]))
    assert answer.status_code == 200
    half = answer.get_json()
    assert set(half) == {"statement", "ciphertext", "sealed_blind"}
    stated = TallyStatement.verify(half["statement"], statement_jwk, time.time())
    assert stated.collector == cast.patient.collector
    assert stated.thumbprint == thumbprint(cast.patient.key.public_jwk)
    assert stated.recipient == recipient.public
    assert stated.key_id == key.key_id
    assert stated.ciphertext_sha256 == sha256_hex(unb64u(half["ciphertext"]))
    assert stated.exp - stated.iat == 300
    [cell] = stated.cells
    assert cell.pseudonym == cast.patient.collector
    assert cell.days == ((DAYS[2], 5), (DAYS[1], 0), (DAYS[0], 3)), "in the order asked for"


def test_the_ciphertext_holds_the_tallies_and_the_blind(
    cast: Cast,
    ask: Callable[..., TestResponse],
    tally: Callable[..., None],
    recipient: SealingKey,
    keyholder: Keyholder,
    key: PublicKey,
) -> None:
    """Decrypted without masks taken off and blind, it is no count: both parties are needed."""
    masks: MaskKey = keyholder.keys.masks
    tally(cast.patient, DAYS[0], 3, 1, 2)
    cells = [(cast.patient.collector, [DAYS[0]]), (cast.patient.collector, [DAYS[1]])]
    half = ask(cast.patient, *cells).get_json()
    again = ask(cast.patient, *cells).get_json()
    assert half["ciphertext"] != again["ciphertext"]
    jti = Statement.claimed(half["statement"]).jti
    blind = int.from_bytes(recipient.unseal(blind_info(jti), unb64u(half["sealed_blind"])), "big")
    held = keyholder.keys.paillier.decrypt(key.parse(unb64u(half["ciphertext"])))
    mask = masks.total(key, cast.patient.collector, DAYS[0], 3)
    assert (held - blind - mask) % key.n == 1 + (2 << rate_count_offset(key.bits))
    assert held >> 2 * rate_count_offset(key.bits), "what the key holder decrypts is as long as n"


def test_patient_and_doctor_open_the_same_counts_with_both_roles(
    cast: Cast,
    ask: Callable[..., TestResponse],
    tally: Callable[..., None],
    recipient: SealingKey,
    keyholder: Keyholder,
    key: PublicKey,
) -> None:
    tally(cast.patient, DAYS[0], 3, 1, 2)
    tally(cast.patient, DAYS[1], 4, 4, 0)
    tally(cast.colleague, DAYS[0], 2, 0, 2)
    for caller in (cast.patient, cast.colleague, cast.doctor):
        enrol(keyholder, caller)
    half = ask(
        cast.patient, (cast.patient.collector, DAYS[:1]), (cast.patient.collector, DAYS[1:])
    ).get_json()
    halves = value_of(keyholder, cast.patient, half, recipient)
    opened = recover_counts(*halves, key, [3, 4], slot_bits_of(half))
    assert [(counts.sound, counts.rate) for counts in opened] == [(1, 2), (4, 0)]
    for patient in (cast.patient, cast.colleague):
        token, _ = grant_token(patient, cast.doctor)
        at_keyholder(keyholder, "/v1/grants", {"grant": token})
        assert patient.post("/api/consents", {"grant": token}).status_code == 201
    half = ask(
        cast.doctor, (cast.patient.collector, DAYS), (cast.colleague.collector, DAYS)
    ).get_json()
    halves = value_of(keyholder, cast.doctor, half, recipient)
    opened = recover_counts(*halves, key, [7, 2], slot_bits_of(half))
    assert [(counts.sound, counts.rate) for counts in opened] == [(5, 2), (0, 2)]


def test_a_tally_under_another_key_is_said_to_be_on_its_way(
    app: Flask, cast: Cast, ask: Callable[..., TestResponse]
) -> None:
    with app.app_context():
        db.session.add(
            Tally(
                pseudonym=cast.patient.collector,
                day=DAYS[0],
                key_id="0" * 64,
                recordings=3,
                ciphertext=b"under a retired key",
            )
        )
        db.session.commit()
    answer = ask(cast.patient, (cast.patient.collector, DAYS[:1]))
    assert answer.status_code == 503
    assert answer.get_json()["type"].endswith(":key-moving")


def test_nobody_opens_without_being_entitled(
    cast: Cast, ask: Callable[..., TestResponse], tally: Callable[..., None]
) -> None:
    tally(cast.patient, DAYS[0], 3, 1, 2)
    scope = (cast.patient.collector, DAYS[:1])
    for caller, status in (
        (cast.colleague, 404),
        (cast.doctor, 404),
        (cast.operator, 403),
        (cast.stranger, 401),
    ):
        assert ask(caller, scope).status_code == status
    grant = consent(cast.patient, cast.doctor)
    assert ask(cast.doctor, scope).status_code == 200
    assert ask(cast.other_doctor, scope).status_code == 404
    mixed = (scope, (cast.colleague.collector, DAYS[:1]))
    assert ask(cast.doctor, *mixed).status_code == 404, "one foreign cell spoils the scope"
    revoke(cast.patient, grant)
    assert ask(cast.doctor, scope).status_code == 404


def test_asking_wrongly(cast: Cast, ask: Callable[..., TestResponse], key: PublicKey) -> None:
    own = cast.patient.collector
    cell = {"pseudonym": own, "days": DAYS}
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"cells": []}, 400),
        ({"cells": [5]}, 400),
        ({"cells": [cell | {"more": 1}]}, 400),
        ({"cells": [{"pseudonym": own}]}, 400),
        ({"cells": [{"pseudonym": own, "days": []}]}, 400),
        ({"cells": [{"pseudonym": own, "days": ["2025-02-30"]}]}, 400),
        ({"cells": [{"pseudonym": own, "days": [1]}]}, 400),
        ({"cells": [{"pseudonym": own, "days": [DAYS[0], DAYS[0]]}]}, 400),
        ({"cells": [cell, cell]}, 400),
        ({"cells": [{"pseudonym": "x", "days": DAYS}]}, 400),
        ({"cells": [{"pseudonym": own, "days": [DAYS[0]] * 5000}]}, 400),
        ({"cells": [{"pseudonym": own, "days": [f"20{n:02}-01-01"]} for n in range(50)]}, 422),
        ({"kind": "other"}, 400),
        ({"kind": "range_check"}, 400),
        ({"cells": [cell], "range": new_id()}, 400),
        ({"cells": [cell], "recipient": b64u(bytes(32))}, 400),
        ({"cells": [cell], "recipient": "AAAA"}, 400),
        ({"cells": [cell], "recipient": "not base64!"}, 400),
    ]
    for change, status in wrong:
        answer = ask(cast.patient, **change)
        assert answer.status_code == status, (change, answer.text)
    assert max_cells(key.bits) < 50


def test_an_account_without_a_key_is_asked_to_make_one(
    app: Flask, cast: Cast, ask: Callable[..., TestResponse]
) -> None:
    with app.app_context():
        cast.patient.account().thumbprint = None
        db.session.commit()
    answer = ask(cast.patient, (cast.patient.collector, DAYS))
    assert answer.status_code == 409
    assert answer.get_json()["type"] == "urn:hushbeat:problem:not-enrolled"


def test_without_the_key_holder_an_opening_waits(
    cast: Cast, ask: Callable[..., TestResponse], line: Line
) -> None:
    line.down = True
    answer = ask(cast.patient, (cast.patient.collector, DAYS))
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_a_browser_needs_the_csrf_token(app: Flask, cast: Cast, recipient: SealingKey) -> None:
    browser = Browser(app, cast.patient.id)
    body = {
        "kind": "tally",
        "recipient": b64u(recipient.public),
        "cells": [{"pseudonym": cast.patient.collector, "days": DAYS}],
    }
    assert browser.client.post("/api/openings", json=body).status_code == 400
    headers = {"X-CSRFToken": browser.csrf}
    assert browser.client.post("/api/openings", json=body, headers=headers).status_code == 200


class TestRangeCheck:
    @pytest.fixture
    def checked(self, app: Flask, cast: Cast, key: PublicKey) -> str:
        consent(cast.patient, cast.doctor)
        token, range_id = range_token(cast.doctor, cast.patient.collector, key)
        path = f"/api/patients/{cast.patient.collector}/ranges"
        assert cast.doctor.post(path, {"range": token}).status_code == 201
        with app.app_context():
            row = db.session.get_one(Range, range_id)
            row.state, row.digest = RangeState.CHECKED, DIGEST
            db.session.commit()
        return range_id

    def ask(self, caller: Caller, recipient: SealingKey, range_id: str) -> TestResponse:
        body = {"kind": "range_check", "range": range_id, "recipient": b64u(recipient.public)}
        return caller.post("/api/openings", body)

    def test_its_doctor_is_told_what_the_digest_must_be(
        self,
        cast: Cast,
        checked: str,
        recipient: SealingKey,
        statement_jwk: dict[str, str],
        key: PublicKey,
    ) -> None:
        half = self.ask(cast.doctor, recipient, checked).get_json()
        assert set(half) == {"statement", "sealed_blind"}
        stated = RangeCheckStatement.verify(half["statement"], statement_jwk, time.time())
        assert (stated.range, stated.pseudonym) == (checked, cast.patient.collector)
        assert (stated.collector, stated.key_id) == (cast.doctor.collector, key.key_id)
        told = recipient.unseal(blind_info(stated.jti), unb64u(half["sealed_blind"]))
        assert range_is_valid(DIGEST, told)
        assert DIGEST not in told, "with the digest itself the doctor would not need the key holder"

    @pytest.mark.parametrize("valid", [True, False])
    def test_the_doctor_accepts_with_what_the_key_holder_says(
        self, cast: Cast, checked: str, recipient: SealingKey, keyholder: Keyholder, valid: bool
    ) -> None:
        for caller in (cast.patient, cast.doctor):
            enrol(keyholder, caller)
        token, _ = grant_token(cast.patient, cast.doctor)
        at_keyholder(keyholder, "/v1/grants", {"grant": token})
        half = self.ask(cast.doctor, recipient, checked).get_json()
        stated = Statement.claimed(half["statement"])
        assert isinstance(stated, RangeCheckStatement)
        with keyholder.app.app_context():
            at_b = DIGEST if valid else bytes(32)
            keyholder_db.session.add(
                RangeCheck(
                    range=checked,
                    pseudonym=stated.pseudonym,
                    key_id=stated.key_id,
                    digest=at_b,
                    served_at=0,
                )
            )
            keyholder_db.session.commit()
        digest, told = value_of(keyholder, cast.doctor, half, recipient)
        assert range_is_valid(digest, told) is valid
        body = {"accept": True, "digest": b64u(digest)}
        answer = cast.doctor.post(f"/api/ranges/{checked}/decision", body)
        assert answer.status_code == (200 if valid else 422)
        state = cast.doctor.get(f"/api/ranges/{checked}").get_json()["state"]
        assert state == ("active" if valid else "refused")

    def test_nobody_else_does(self, cast: Cast, checked: str, recipient: SealingKey) -> None:
        consent(cast.patient, cast.other_doctor)
        assert self.ask(cast.other_doctor, recipient, checked).status_code == 404
        assert self.ask(cast.patient, recipient, checked).status_code == 404
        assert self.ask(cast.operator, recipient, checked).status_code == 403
        assert self.ask(cast.stranger, recipient, checked).status_code == 401
        assert self.ask(cast.doctor, recipient, new_id()).status_code == 404

    @pytest.mark.parametrize("state", [s for s in RangeState if s is not RangeState.CHECKED])
    def test_only_a_checked_range_is_opened(
        self, app: Flask, cast: Cast, checked: str, recipient: SealingKey, state: RangeState
    ) -> None:
        with app.app_context():
            db.session.get_one(Range, checked).state = state
            db.session.commit()
        answer = self.ask(cast.doctor, recipient, checked)
        assert (answer.status_code, answer.get_json()["state"]) == (409, state.value)


def test_tallies_show_days_and_numbers_to_whom_they_belong(
    cast: Cast, tally: Callable[..., None]
) -> None:
    for day, recordings in zip(DAYS, (3, 1, 5), strict=True):
        tally(cast.patient, day, recordings, 0, 0)
    query = f"/api/tallies?first={DAYS[0]}&last={DAYS[1]}"
    assert cast.patient.get(query).get_json() == {"days": [[DAYS[0], 3], [DAYS[1], 1]]}
    assert cast.colleague.get(query).get_json() == {"days": []}
    of_patient = f"{query}&pseudonym={cast.patient.collector}"
    for caller, status in (
        (cast.patient, 200),
        (cast.colleague, 404),
        (cast.doctor, 404),
        (cast.operator, 403),
        (cast.stranger, 401),
    ):
        assert caller.get(of_patient).status_code == status
    grant = consent(cast.patient, cast.doctor)
    assert cast.doctor.get(of_patient).get_json() == {"days": [[DAYS[0], 3], [DAYS[1], 1]]}
    revoke(cast.patient, grant)
    assert cast.doctor.get(of_patient).status_code == 404
    for wrong in ("?first=2025-03-01", "?first=x&last=y", f"{query[12:]}&pseudonym=x"):
        assert cast.patient.get(f"/api/tallies{wrong}").status_code == 400
