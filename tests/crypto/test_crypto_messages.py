"""Signed messages against the known answers in vectors/signed_messages.json."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import errors, messages
from crypto.encoding import sha256_hex
from crypto.errors import CryptoError, InvalidEncoding
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import Cell, Report, SignedMessage, Statement, TallyStatement

KNOWN = json.loads((Path(__file__).parent / "vectors" / "signed_messages.json").read_text())
SERVER = SigningKey.from_bytes(bytes.fromhex(KNOWN["keys"]["server"]["seed"]))
COLLECTOR = CollectorKey.from_bytes(bytes.fromhex(KNOWN["keys"]["collector"]["private"]))
KEYS: dict[str, SigningKey | CollectorKey] = {"server": SERVER, "collector": COLLECTOR}


def message_class(name: str) -> type[SignedMessage]:
    kind: type[SignedMessage] = getattr(messages, name)
    return kind


def named(vector: dict[str, Any]) -> str:
    return f"{vector['message']}: {vector['why']}" if "why" in vector else str(vector["message"])


@pytest.mark.parametrize("vector", KNOWN["valid"], ids=named)
def test_known_messages(vector: dict[str, Any]) -> None:
    kind, key = message_class(vector["message"]), KEYS[vector["signer"]]
    message = kind.verify(vector["token"], key.public_jwk, KNOWN["now"])
    assert type(message) is kind
    assert message == kind.from_payload(vector["payload"])
    assert message.to_payload() == vector["payload"]
    assert kind.claimed(vector["token"]) == message
    if key is SERVER:
        assert message.sign(key) == vector["token"]
    assert kind.verify(message.sign(key), key.public_jwk, KNOWN["now"]) == message


@pytest.mark.parametrize("vector", KNOWN["invalid"], ids=named)
def test_known_bad_messages(vector: dict[str, Any]) -> None:
    kind, key = message_class(vector["message"]), KEYS[vector["signer"]]
    with pytest.raises(CryptoError) as refusal:
        kind.verify(vector["token"], key.public_jwk, vector["now"])
    assert type(refusal.value) is getattr(errors, vector["error"])


def test_every_message_has_a_known_answer() -> None:
    def leaves(kind: type[SignedMessage]) -> set[str]:
        children = kind.__subclasses__()
        return set().union(*map(leaves, children)) if children else {kind.__name__}

    assert {vector["message"] for vector in KNOWN["valid"]} == leaves(SignedMessage)


def known(name: str) -> Any:
    vector = next(v for v in KNOWN["valid"] if v["message"] == name)
    return message_class(name).from_payload(vector["payload"])


@pytest.mark.parametrize("name", ["ReadableReport", "UnreadableReport", "FailedReport"])
def test_a_report_is_read_as_what_it_is(name: str) -> None:
    report = known(name)
    assert type(Report.verify(report.sign(SERVER), SERVER.public_jwk, 0)) is type(report)


@pytest.mark.parametrize("name", ["TallyStatement", "RangeCheckStatement"])
def test_a_statement_is_read_as_what_it_is(name: str) -> None:
    statement = known(name)
    token = statement.sign(SERVER)
    assert Statement.verify(token, SERVER.public_jwk, KNOWN["now"]) == statement


@pytest.mark.parametrize("kind", [Report, Statement])
@pytest.mark.parametrize("payload", [{}, {"outcome": [], "kind": {}}, {"outcome": 1, "kind": None}])
def test_an_unknown_kind_is_refused(kind: type[SignedMessage], payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidEncoding):
        kind.from_payload(payload)


def test_nobody_signs_what_nobody_accepts() -> None:
    with pytest.raises(InvalidEncoding, match="reason"):
        dataclasses.replace(known("FailedReport"), reason="").sign(SERVER)


def test_the_error_names_the_field() -> None:
    payload = known("Grant").to_payload() | {"doctor": "nobody"}
    with pytest.raises(InvalidEncoding, match="doctor: expected an identifier"):
        messages.Grant.from_payload(payload)


def test_a_cell_counts_its_days() -> None:
    statement: TallyStatement = known("TallyStatement")
    assert [cell.recordings for cell in statement.cells] == [3, 1]
    with pytest.raises(InvalidEncoding):
        Cell(pseudonym="0" * 32, days=(("2026-01-01", 1 << 24),))


def test_a_cell_fits_in_the_slots_of_its_statement() -> None:
    statement: TallyStatement = known("TallyStatement")
    assert dataclasses.replace(statement, slot_bits=2).slot_bits == 2
    with pytest.raises(InvalidEncoding, match="more recordings than its slots hold"):
        dataclasses.replace(statement, slot_bits=1)
    for width in (0, 25):
        with pytest.raises(InvalidEncoding, match="slot_bits"):
            Statement.from_payload(statement.to_payload() | {"slot_bits": width})


def test_manifest_names_the_active_key() -> None:
    manifest = known("Manifest")
    assert manifest.active_key.key_id == manifest.paillier[0].key_id
    retired = dataclasses.replace(
        manifest.paillier[0], state=messages.KeyState.RETIRED, n=3**400, key_id=_key_id(3**400)
    )
    both = dataclasses.replace(manifest, paillier=(retired, manifest.paillier[0]))
    assert both.active_key == manifest.active_key
    with pytest.raises(InvalidEncoding, match="exactly one active"):
        dataclasses.replace(manifest, paillier=(retired,))


def _key_id(n: int) -> str:
    return sha256_hex(n.to_bytes((n.bit_length() + 7) // 8, "big"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(KNOWN["valid"]), st.data())
def test_a_field_of_any_value_never_crashes(vector: dict[str, Any], data: st.DataObject) -> None:
    payload = dict(vector["payload"])
    payload[data.draw(st.sampled_from(sorted(payload)))] = data.draw(JSON)
    with contextlib.suppress(InvalidEncoding):
        message_class(vector["message"]).from_payload(payload)


@given(JSON)
def test_any_payload_never_crashes(payload: Any) -> None:
    for vector in KNOWN["valid"]:
        with pytest.raises(InvalidEncoding):
            message_class(vector["message"]).from_payload(payload)
