"""What was enrolled and granted before there were several keys and a log is in both afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from app.common.database import driver_url
from app.common.migrate import check as check_schema
from app.common.migrate import downgrade, upgrade
from app.keyholder.log.audit import check, entries
from app.keyholder.tables import db
from crypto.encoding import json_bytes, new_id
from crypto.jws import CollectorKey
from crypto.messages import Grant

BEFORE = "0003"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        made: str = request.getfixturevalue("postgres").new_database()
        return made
    return f"sqlite:///{tmp_path}/keyholder.sqlite3"


def test_keys_and_grants_begin_the_log_and_go_back(url: str) -> None:
    upgrade("keyholder", url)
    downgrade("keyholder", url, BEFORE)
    patient, doctor = new_id(), new_id()
    keys = {patient: CollectorKey.generate(), doctor: CollectorKey.generate()}
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        for at, (collector, key) in enumerate(keys.items(), 1):
            connection.execute(
                text(
                    "INSERT INTO collectors (collector, kind, key_jwk, thumbprint, enrolled_at)"
                    " VALUES (:c, :k, :j, :t, :at)"
                ),
                {
                    "c": collector,
                    "k": "patient" if collector == patient else "doctor",
                    "j": json_bytes(key.public_jwk).decode(),
                    "t": key.thumbprint,
                    "at": at,
                },
            )
        for at, revoked_at in ((3, None), (4, 5)):
            message = Grant(
                grant=new_id(),
                patient=patient,
                doctor=doctor,
                doctor_thumbprint=keys[doctor].thumbprint,
                iat=at,
            )
            connection.execute(
                text(
                    'INSERT INTO grants (grant_id, patient, doctor, doctor_thumbprint, "use",'
                    ' "grant", granted_at, revoked_at) VALUES (:g, :p, :d, :t, :u, :m, :at, :r)'
                ),
                {
                    "g": message.grant,
                    "p": patient,
                    "d": doctor,
                    "t": keys[doctor].thumbprint,
                    "u": message.use.value,
                    "m": message.sign(keys[patient]),
                    "at": at,
                    "r": revoked_at,
                },
            )
    upgrade("keyholder", url)
    check_schema("keyholder", url, db.metadata)
    with Session(engine) as session:
        assert check(session) == 3
        assert [entry.kind.value for entry in entries(session, patient)] == ["enrolment", "grant"]
    downgrade("keyholder", url, BEFORE)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT collector, key_jwk FROM collectors"))
        assert {row[0]: row[1] for row in rows} == {
            collector: json_bytes(key.public_jwk).decode() for collector, key in keys.items()
        }
        assert connection.execute(text("SELECT count(*) FROM grants")).scalar_one() == 2
    engine.dispose()
