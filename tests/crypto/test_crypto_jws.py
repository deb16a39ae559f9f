"""Signatures: the RFCs' own vectors, and the narrow reader."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from crypto import jws
from crypto.encoding import b64u, unb64u
from crypto.errors import BadSignature, CryptoError, InvalidEncoding, WrongType
from crypto.jws import CollectorKey, SigningKey

SERVER, COLLECTOR = SigningKey.generate(), CollectorKey.generate()

# RFC 8037, appendix A: key, thumbprint (A.3) and signature (A.4).
RFC_8037_D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC_8037_SIGNED = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
RFC_8037_SIGNATURE = (
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
# RFC 7515, appendix A.3.
RFC_7515_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC_7515_SIGNED = (
    b"eyJhbGciOiJFUzI1NiJ9"
    b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
    b"fQ"
)
RFC_7515_SIGNATURE = (
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)


def test_ed25519_vector_of_rfc_8037() -> None:
    key = SigningKey.from_bytes(unb64u(RFC_8037_D))
    assert key.public_jwk == {"kty": "OKP", "crv": "Ed25519", "x": RFC_8037_X}
    assert key.thumbprint == RFC_8037_THUMBPRINT
    jws.check_signature(key.public_jwk, RFC_8037_SIGNED, unb64u(RFC_8037_SIGNATURE))
    with pytest.raises(BadSignature):
        jws.check_signature(key.public_jwk, RFC_8037_SIGNED + b"A", unb64u(RFC_8037_SIGNATURE))


def test_es256_vector_of_rfc_7515() -> None:
    jws.check_signature(RFC_7515_KEY, RFC_7515_SIGNED, unb64u(RFC_7515_SIGNATURE))
    with pytest.raises(BadSignature):
        jws.check_signature(RFC_7515_KEY, RFC_7515_SIGNED + b"A", unb64u(RFC_7515_SIGNATURE))


@pytest.mark.parametrize("key", [SERVER, COLLECTOR])
def test_round_trip(key: SigningKey | CollectorKey) -> None:
    payload = {"a": 1, "b": ["é", None, {"c": True}]}
    token = key.sign("hushbeat-test", payload)
    assert jws.verify(token, "hushbeat-test", key.public_jwk) == payload
    assert jws.claimed_payload(token, "hushbeat-test") == payload
    header = json.loads(unb64u(token.split(".")[0]))
    assert header == {"alg": key.ALG, "kid": key.thumbprint, "typ": "hushbeat-test"}
    again = type(key).from_bytes(key.to_bytes())
    assert again.public_jwk == key.public_jwk


def test_every_byte_is_signed() -> None:
    token = SERVER.sign("hushbeat-test", {"a": 1})
    for position, character in enumerate(token):
        altered = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        with pytest.raises(CryptoError):
            jws.verify(altered, "hushbeat-test", SERVER.public_jwk)


def test_type_and_key_are_the_verifiers_choice() -> None:
    token = SERVER.sign("hushbeat-test", {})
    with pytest.raises(WrongType):
        jws.verify(token, "hushbeat-other", SERVER.public_jwk)
    with pytest.raises(WrongType):
        jws.claimed_payload(token, "hushbeat-other")
    for other in (SigningKey.generate(), COLLECTOR):
        with pytest.raises(BadSignature):
            jws.verify(token, "hushbeat-test", other.public_jwk)


@pytest.mark.parametrize("lie", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"kid": "x"}])
def test_a_header_that_lies_is_refused_though_signed(lie: dict[str, str]) -> None:
    """The right key's signature over a header that names another algorithm or key."""
    header = {"alg": "EdDSA", "kid": SERVER.thumbprint, "typ": "hushbeat-test", **lie}
    signed = f"{b64u(json.dumps(header).encode())}.{b64u(b'{}')}"
    token = f"{signed}.{b64u(SERVER._signature(signed.encode()))}"
    with pytest.raises(BadSignature):
        jws.verify(token, "hushbeat-test", SERVER.public_jwk)


def test_a_private_jwk_is_refused_as_such() -> None:
    with pytest.raises(InvalidEncoding, match="private key"):
        jws.check_public_jwk({**SERVER.public_jwk, "d": b64u(bytes(32))})


@given(st.text(max_size=200) | st.none() | st.binary(max_size=20))
def test_garbage_never_crashes(token: Any) -> None:
    with pytest.raises(InvalidEncoding):
        jws.verify(token, "hushbeat-test", SERVER.public_jwk)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), JSON), JSON)
def test_strange_headers_never_crash(header: dict[str, Any], payload: Any) -> None:
    parts = (*(b64u(json.dumps(part).encode()) for part in (header, payload)), b64u(bytes(64)))
    with pytest.raises((InvalidEncoding, WrongType, BadSignature)):
        jws.verify(".".join(parts), "hushbeat-test", SERVER.public_jwk)


def test_long_tokens_are_refused_unread() -> None:
    with pytest.raises(InvalidEncoding, match="mebibyte"):
        jws.verify("A" * (jws.MAX_TOKEN_CHARS + 1), "hushbeat-test", SERVER.public_jwk)


def test_webcrypto_members_are_dropped() -> None:
    exported = {**COLLECTOR.public_jwk, "ext": True, "key_ops": ["verify"]}
    assert jws.check_public_jwk(exported) == COLLECTOR.public_jwk
    assert jws.thumbprint(exported) == COLLECTOR.thumbprint


@given(JSON)
def test_strange_jwks_never_crash(jwk: Any) -> None:
    with pytest.raises(InvalidEncoding):
        jws.check_public_jwk(jwk)


@pytest.mark.parametrize(
    "change",
    [
        {"d": b64u(bytes(32))},
        {"kty": "oct"},
        {"kty": ["EC"]},
        {"crv": "P-384"},
        {"crv": None},
        {"x": b64u(bytes(31))},
        {"x": None},
        {"y": b64u(bytes(32))},
        {"oth": 1},
    ],
)
def test_other_jwks_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEncoding):
        jws.check_public_jwk({**COLLECTOR.public_jwk, **change})


def test_other_private_keys_are_refused() -> None:
    for kind, data in ((SigningKey, bytes(31)), (CollectorKey, bytes(31))):
        with pytest.raises(InvalidEncoding):
            kind.from_bytes(data)
    for scalar in (bytes(32), b"\xff" * 32):
        with pytest.raises(InvalidEncoding):
            CollectorKey.from_bytes(scalar)
    with pytest.raises(InvalidEncoding):
        CollectorKey(ec.generate_private_key(ec.SECP384R1()))


def test_known_codes_and_fingerprints(vectors: Callable[[str], Any]) -> None:
    keys = vectors("signed_messages")["keys"]
    assert jws.thumbprint(keys["collector"]["jwk"]) == keys["collector"]["thumbprint"]
    code = jws.doctor_code(keys["collector"]["thumbprint"])
    assert code == keys["collector"]["doctor_code"]
    assert [len(group) for group in code.split("-")] == [4, 4, 4, 4]
    assert jws.fingerprint(keys["server"]["jwk"]) == keys["server"]["fingerprint"]
    with pytest.raises(InvalidEncoding):
        jws.fingerprint(keys["collector"]["jwk"])
