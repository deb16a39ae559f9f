"""Messages of a passkey's session against the known answers in vectors/webauthn.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import errors, messages
from crypto.encoding import new_id
from crypto.errors import BadSignature, CryptoError
from crypto.jws import CollectorKey
from crypto.messages import Opening, SignedMessage
from crypto.webauthn import KeyType, PinnedKey, origin_of, rp_id_of
from tests.support.authenticator import Passkey

KNOWN = json.loads((Path(__file__).parent / "vectors" / "webauthn.json").read_text())
PASSKEY = PinnedKey(
    KNOWN["passkey"]["jwk"],
    KNOWN["collector"],
    KeyType.PASSKEY,
    KNOWN["rp_id"],
    origins=(KNOWN["origin"],),
)
OPENING = Opening(statement_sha256="0" * 64, jti="1" * 32)


def message_class(vector: dict[str, Any]) -> type[SignedMessage]:
    kind: type[SignedMessage] = getattr(messages, vector["message"])
    return kind


def why(vector: dict[str, Any]) -> str:
    return str(vector["why"])


@pytest.mark.parametrize("vector", KNOWN["valid"], ids=why)
def test_known_messages(vector: dict[str, Any]) -> None:
    message = message_class(vector).verify(vector["token"], PASSKEY, vector["now"])
    assert message.to_payload() == vector["payload"]


@pytest.mark.parametrize("vector", KNOWN["invalid"], ids=why)
def test_known_bad_messages(vector: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as refusal:
        message_class(vector).verify(vector["token"], PASSKEY, vector["now"])
    assert type(refusal.value) is getattr(errors, vector["error"])


def test_a_software_key_has_no_certificate() -> None:
    """Not even one by a passkey on the same key."""
    software = PinnedKey(PASSKEY.jwk, PASSKEY.collector)
    vector = KNOWN["valid"][0]
    for key in (software, PASSKEY.jwk):
        with pytest.raises(BadSignature, match="no certificate belongs here"):
            message_class(vector).verify(vector["token"], key, vector["now"])


def test_a_software_key_signs_by_itself() -> None:
    key = CollectorKey.generate()
    pinned = PinnedKey(key.public_jwk, new_id())
    assert Opening.verify(OPENING.sign(key), pinned, 0) == OPENING
    with pytest.raises(BadSignature):
        Opening.verify(OPENING.sign(CollectorKey.generate()), pinned, 0)


def test_a_passkey_without_a_domain_is_refused() -> None:
    passkey, collector = Passkey(), new_id()
    token = OPENING.sign(passkey.session(collector, 0))
    assert Opening.verify(token, passkey.pinned(collector), 1) == OPENING
    for pinned in (
        PinnedKey(passkey.public_jwk, collector, KeyType.PASSKEY, None, (passkey.origin,)),
        PinnedKey(passkey.public_jwk, collector, KeyType.PASSKEY, passkey.rp_id, ()),
    ):
        with pytest.raises(BadSignature):
            Opening.verify(token, pinned, 1)


@given(st.data())
def test_a_certificate_of_any_content_never_crashes(data: st.DataObject) -> None:
    parts = st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.just([])
    session = Passkey(KNOWN["rp_id"], KNOWN["origin"]).session(KNOWN["collector"], 0)
    assert session.certificate is not None
    name = data.draw(st.sampled_from(sorted(session.certificate)))
    session.certificate[name] = data.draw(parts)
    with pytest.raises(CryptoError):
        Opening.verify(OPENING.sign(session), PASSKEY, 1)


@pytest.mark.parametrize(
    ("url", "origin", "rp_id"),
    [
        ("https://Hushbeat.example/", "https://hushbeat.example", "hushbeat.example"),
        ("https://hushbeat.example:443", "https://hushbeat.example", "hushbeat.example"),
        ("http://localhost:8000", "http://localhost:8000", "localhost"),
        ("http://[::1]:8000", "http://[::1]:8000", "::1"),
    ],
)
def test_origins_are_written_as_browsers_do(url: str, origin: str, rp_id: str) -> None:
    assert (origin_of(url), rp_id_of(url)) == (origin, rp_id)
