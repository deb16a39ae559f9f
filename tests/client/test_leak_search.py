"""The demonstration's search must find what is there: one leak of each kind is planted."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from crypto.comparison.batches import (
    BatchAnswer,
    decode_request,
    encode_answer,
    encode_request,
)
from crypto.slots import pack_report
from deploy.demo.leak_search import search
from models.synthesis import phonocardiogram
from tests.client.clean_home import HEALTHY, RATE, SOUND, CleanHome, broker_message
from tests.support.small_keys import small_keys

Plant = Callable[[CleanHome], None]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanHome]:
    with small_keys():
        yield CleanHome(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def clean(pristine: CleanHome, tmp_path: Path) -> CleanHome:
    """A copy to plant in."""
    copy = object.__new__(CleanHome)
    copy.__dict__.update(pristine.__dict__)
    copy.home, copy.temporary = tmp_path / "home", tmp_path / "tmp"
    shutil.copytree(pristine.home, copy.home)
    copy.temporary.mkdir()
    return copy


def test_a_clean_home_has_no_leak(clean: CleanHome) -> None:
    assert search(clean.home, clean.temporary, clean.known) == []


def _sql(database: str, statement: str, *values: object) -> Plant:
    def plant(clean: CleanHome) -> None:
        with sqlite3.connect(getattr(clean, database)) as connection:
            changed = connection.execute(statement, values).rowcount
        connection.close()
        assert changed != 0, "the plant must take root"

    return plant


def _log(name: str, text: str) -> Plant:
    def plant(clean: CleanHome) -> None:
        line = text.format(sound=SOUND, rate=RATE, id=clean.known.recordings[0].id)
        with (clean.home / "logs" / f"{name}.log").open("a") as log:
            log.write(line + "\n")

    return plant


def _file(place: str, content: Callable[[CleanHome], bytes]) -> Plant:
    def plant(clean: CleanHome) -> None:
        path = clean.home.parent / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"before\x00" + content(clean) + b"\x00after")

    return plant


def _bare(place: str, content: Callable[[CleanHome], bytes]) -> Plant:
    def plant(clean: CleanHome) -> None:
        (clean.home.parent / place).write_bytes(content(clean))

    return plant


def _samples() -> np.ndarray:
    """The third second of the recording that was counted."""
    return phonocardiogram(123.4, murmur=0.3, seconds=6.0)[8_000:12_000]


def _small(column: str) -> Plant:
    def plant(clean: CleanHome) -> None:
        ciphertext = clean.key.encrypt((2 << 24) + 1).to_wire()
        _sql("aggregator", f"UPDATE tallies SET {column} = ?", ciphertext)(clean)

    return plant


def _unmasked(clean: CleanHome) -> None:
    asked = replace(decode_request(clean.request), masked=(_report(clean),))
    request = encode_request(asked)
    _sql("aggregator", "UPDATE comparison_batches SET request = ?", request)(clean)


def _contribution(clean: CleanHome) -> None:
    answer = BatchAnswer((clean.key.encrypt(1).to_wire(),), b"", b"")
    _sql("keyholder", "UPDATE comparison_batches SET answer = ?", encode_answer(answer))(clean)


def _plain_report(clean: CleanHome) -> int:
    return pack_report(clean.key.bits, SOUND, RATE)


def _report(clean: CleanHome) -> bytes:
    return clean.key.encrypt(_plain_report(clean)).to_wire()


def _report_as_tally(clean: CleanHome) -> None:
    _sql("aggregator", "UPDATE tallies SET ciphertext = ?", _report(clean))(clean)


def _result_left(clean: CleanHome) -> None:
    report = _report(clean)
    _sql("aggregator", "UPDATE recordings SET findings = ? WHERE state = 'counted'", report)(clean)


def _result_freed(clean: CleanHome) -> None:
    """As SQLite leaves it without secure_delete: set, then set to NULL."""
    with sqlite3.connect(clean.aggregator) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        where = "WHERE state = 'counted'"
        connection.execute(f"UPDATE recordings SET findings = ? {where}", [_report(clean)])
        connection.commit()
        connection.execute(f"UPDATE recordings SET findings = NULL {where}")
    connection.close()


def _number_as_ciphertext(clean: CleanHome) -> None:
    wide = SOUND.to_bytes(clean.key.ciphertext_bytes, "big")
    _sql("aggregator", "UPDATE ranges SET bounds = ?", wide)(clean)


def _open_secret(clean: CleanHome) -> None:
    (clean.home / "aggregator" / "secrets" / "a.key").chmod(0o644)


def _other_roles_secret(clean: CleanHome) -> None:
    secret = (clean.home / "inference" / "secrets" / "a.key").read_bytes()
    path = clean.home / "aggregator" / "secrets" / "b.key"
    path.write_bytes(base64.b64encode(b"x" + secret))
    path.chmod(0o600)


def _recording_id_at_keyholder(clean: CleanHome) -> None:
    id_ = clean.known.recordings[0].id
    _sql("keyholder", "UPDATE spent_openings SET jti = ?", id_)(clean)


def _primes(clean: CleanHome) -> bytes:
    return json.dumps(clean.paillier.to_jwk()).encode()


def _prime_number(clean: CleanHome) -> bytes:
    prime = clean.paillier.to_jwk()["p"]
    return str(int.from_bytes(base64.urlsafe_b64decode(prime + "=="), "big")).encode()


PLANTS: dict[str, tuple[Plant, str]] = {
    # columns
    "a table that nobody allowed": (
        _sql("aggregator", "CREATE TABLE results (recording TEXT, score INTEGER)"),
        "table results",
    ),
    "a column that nobody allowed": (
        _sql("keyholder", "ALTER TABLE served_tallies ADD COLUMN sound INTEGER"),
        "column sound",
    ),
    "a score as a lease": (
        _sql("aggregator", "UPDATE recordings SET lease_until = ?", SOUND),
        "column lease_until",
    ),
    "a score as attempts": (
        _sql("aggregator", "UPDATE recordings SET attempts = ?", SOUND),
        "column attempts",
    ),
    "a score as a size": (
        _sql("aggregator", "UPDATE recordings SET sealed_bytes = ?", SOUND),
        "column sealed_bytes",
    ),
    "a verdict as a reason": (
        _sql("aggregator", "UPDATE recordings SET reason = 'abnormal: 1'"),
        "column reason",
    ),
    "a score as a ciphertext": (_number_as_ciphertext, "column bounds"),
    "a heart rate in a name": (
        _sql("aggregator", "UPDATE accounts SET display_name = 'Some 123.4' WHERE id = 1"),
        "column display_name",
    ),
    "a password in the clear": (
        _sql("aggregator", "UPDATE accounts SET password_hash = 'correct horse'"),
        "column password_hash",
    ),
    "a count at the key holder": (
        _sql("keyholder", "UPDATE served_tallies SET served = 17"),
        "column served",
    ),
    "another message as a proposal": (
        _sql("aggregator", 'UPDATE ranges SET proposal = (SELECT "grant" FROM consents)'),
        "column proposal",
    ),
    # ciphertexts
    "a tally without its mask": (_small("ciphertext"), "tallies, column ciphertext"),
    "a report in a tally's place": (_report_as_tally, "tallies, column ciphertext"),
    "a comparison without its mask": (_unmasked, "comparison_batches, column request"),
    "a contribution without its mask": (_contribution, "comparison_batches, column answer"),
    "a score as a digest": (
        _sql("aggregator", "UPDATE ranges SET digest = ?", SOUND.to_bytes(4, "big")),
        "column digest",
    ),
    "the result of a counted recording": (_result_left, "table recordings"),
    "a result in a freed page": (_result_freed, "aggregator.sqlite3"),
    "something else as an answer": (
        _sql("keyholder", "UPDATE comparison_batches SET answer = ?", b"\x81\xa5sound\x01"),
        "column answer",
    ),
    # numbers
    "a score in a log": (_log("inference", "judged: {sound}"), "inference.log"),
    "a task's return value": (
        _log("inference", "Task hushbeat.inference.judge[4f] succeeded in 0.21s: {sound}"),
        "inference.log",
    ),
    "a heart rate in a log": (_log("inference", "heart beats at 73.4"), "inference.log"),
    "a result by name": (_log("aggregation", '{{"sound": 1, "ms": 3}}'), "aggregation.log"),
    "a heart rate by unit": (_log("aggregation", "at 61 bpm"), "aggregation.log"),
    "a short number beside the id": (_log("aggregator", "{id} has {rate}"), "aggregator.log"),
    "a hexadecimal score": (_log("aggregator", f"{SOUND:#x}"), "aggregator.log"),
    "a limit in a log": (_log("aggregation", f"limit {HEALTHY.threshold}"), "aggregation.log"),
    "a score in a message": (
        _bare(
            "home/broker/queue/1.msg",
            lambda clean: broker_message([[clean.known.recordings[0].id, SOUND], {}, {}]).encode(),
        ),
        "1.msg",
    ),
    "a packed result": (
        _file("tmp/x", lambda _: struct.pack("<2I", SOUND, RATE)),
        "tmp/x",
    ),
    "a result in msgpack": (
        _file("tmp/x", lambda _: msgpack.packb({"sound": SOUND})),
        "tmp/x",
    ),
    "a result in JSON among binary": (
        _file("tmp/x", lambda _: json.dumps([SOUND, RATE]).encode()),
        "tmp/x",
    ),
    "a report's plaintext": (
        _file("tmp/x", lambda clean: _plain_report(clean).to_bytes(128, "big")),
        "tmp/x",
    ),
    "a report's plaintext from its other end": (
        _file("tmp/x", lambda clean: _plain_report(clean).to_bytes(128, "little")),
        "tmp/x",
    ),
    "a report's plaintext in a log": (
        lambda clean: _log("inference", f"packed {_plain_report(clean)}")(clean),
        "inference.log",
    ),
    "a report's plaintext in hexadecimal": (
        lambda clean: _log("inference", f"packed {_plain_report(clean):x}")(clean),
        "inference.log",
    ),
    "a double": (_file("tmp/x", lambda _: struct.pack(">d", RATE / 10)), "tmp/x"),
    "two 16-bit numbers beside the id": (
        _file(
            "tmp/x",
            lambda clean: (
                bytes.fromhex(clean.known.recordings[0].id) + struct.pack(">2H", SOUND, RATE)
            ),
        ),
        "tmp/x",
    ),
    # audio
    "a recording's file": (
        _file("tmp/sound", lambda clean: clean.known.recordings[0].data),
        "tmp/sound",
    ),
    "the head of an unknown file": (
        _file("home/broker/x", lambda _: b"RIFF\x24\x00\x00\x00WAVEfmt "),
        "broker/x",
    ),
    "an excerpt of the file in base64": (
        _file(
            "tmp/x", lambda clean: base64.b64encode(clean.known.recordings[0].data[9_000:13_000])
        ),
        "tmp/x",
    ),
    "samples as 16-bit integers": (
        _file("tmp/x", lambda _: np.rint(_samples() * 32_767).astype(">i2").tobytes()),
        "tmp/x",
    ),
    "samples as floats": (
        _file(
            "tmp/x",
            lambda _: (np.rint(_samples() * 32_767) / 32_768).astype("<f4").tobytes(),
        ),
        "tmp/x",
    ),
    "samples as JSON": (
        _file(
            "tmp/x",
            lambda _: json.dumps((np.rint(_samples() * 32_767) / 32_768).tolist()).encode(),
        ),
        "tmp/x",
    ),
    "samples in a log": (
        _bare(
            "home/logs/inference.log",
            lambda _: str([int(n) for n in np.rint(_samples() * 32_767)]).encode(),
        ),
        "inference.log",
    ),
    "a sealed recording left": (
        _file("home/blobs/sealed/left", lambda _: b"sealed"),
        "blobs/sealed/left",
    ),
    # secrets
    "a secret that others can read": (_open_secret, "a.key"),
    "another role's secret": (_other_roles_secret, "b.key"),
    "a password in a log": (
        _bare("home/logs/x.log", lambda clean: clean.known.people[0].password.encode()),
        "x.log",
    ),
    "a bearer token": (
        _file("home/aggregator/x", lambda clean: clean.known.people[1].token.encode()),
        "aggregator/x",
    ),
    "a collector's key": (
        _file("tmp/x", lambda clean: clean.known.people[0].private[0].hex().encode()),
        "tmp/x",
    ),
    "the Paillier key in the clear": (_file("home/keyholder/x", _primes), "keyholder/x"),
    "a prime as a number": (_file("home/aggregator/x", _prime_number), "aggregator/x"),
    "the mask key in the clear": (
        _file("home/keyholder/secrets/x", lambda clean: clean.known.keyholder_private[0]),
        "secrets/x",
    ),
    "a private key file": (
        _file("home/public/x", lambda _: b"-----BEGIN PRIVATE KEY-----"),
        "public/x",
    ),
    # identities
    "a recording's id at the key holder": (_recording_id_at_keyholder, "keyholder.sqlite3"),
    "a name at the key holder": (_log("keyholder", "some-patient-4711"), "keyholder.log"),
}


@pytest.mark.parametrize("what", PLANTS)
def test_a_planted_leak_is_found(clean: CleanHome, what: str) -> None:
    plant, where = PLANTS[what]
    plant(clean)
    found = search(clean.home, clean.temporary, clean.known)
    assert any(where in str(leak) for leak in found), found


def test_a_report_does_not_repeat_the_secret(clean: CleanHome) -> None:
    _log("inference", "{id}: {sound} {rate}")(clean)
    found = search(clean.home, clean.temporary, clean.known)
    assert found
    assert not any(str(SOUND) in str(leak) or str(RATE) in str(leak) for leak in found)


def test_a_five_digit_number_in_an_identifier_is_no_leak(clean: CleanHome) -> None:
    _log("aggregator", "recording a{sound}f0 on 127.0.0.1:{sound}, request 0-{sound}-1")(clean)
    assert search(clean.home, clean.temporary, clean.known) == []
