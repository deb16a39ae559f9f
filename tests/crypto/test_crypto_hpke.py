"""Sealing: the vectors of RFC 9180, round trips, and everything that must not open."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from crypto import hpke
from crypto.errors import InvalidEncoding, SealBroken
from crypto.unsealing import SealingKey

KEY = SealingKey.generate()
ID = "0123456789abcdef" * 2
# Points of order 1, 2, 4 and 8 on Curve25519 and their other encodings (RFC 7748, section 7).
SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def rfc_9180(vectors: Callable[[str], Any], aead_id: int) -> dict[str, bytes]:
    vector = next(v for v in vectors("hpke")["vectors"] if v["aead_id"] == aead_id)
    first = vector["encryptions"][0]
    texts = {k: v for k, v in (vector | first).items() if isinstance(v, str)}
    return {name: bytes.fromhex(text) for name, text in texts.items()}


@pytest.mark.parametrize("aead_id", [1, 2])
def test_vectors_of_rfc_9180(vectors: Callable[[str], Any], aead_id: int) -> None:
    """The vectors have an `aad`, which the library takes in a private function only."""
    v = rfc_9180(vectors, aead_id)
    aead = {1: AEAD.AES_128_GCM, 2: AEAD.AES_256_GCM}[aead_id]
    suite = hpke.SUITE if aead_id == 2 else Suite(KEM.X25519, KDF.HKDF_SHA256, aead)
    private = X25519PrivateKey.from_private_bytes(v["skRm"])
    opened = openssl.hpke._decrypt_with_aad(suite, v["enc"] + v["ct"], private, v["info"], v["aad"])
    assert opened == v["pt"]


def test_key_schedule_of_rfc_9180_through_our_own_interface(
    vectors: Callable[[str], Any],
) -> None:
    """With the vector's key and nonce, a message without `aad` opens as ours do."""
    v = rfc_9180(vectors, 2)
    key = SealingKey.from_bytes(v["skRm"])
    assert key.public == v["pkRm"]
    sealed = v["enc"] + AESGCM(v["key"]).encrypt(v["base_nonce"], v["pt"], b"")
    assert key.unseal(v["info"], sealed) == v["pt"]


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_round_trip(plaintext: bytes, info: bytes) -> None:
    sealed = hpke.seal(KEY.public, info, plaintext)
    assert len(sealed) == len(plaintext) + hpke.OVERHEAD_BYTES
    assert KEY.unseal(info, sealed) == plaintext


def test_two_seals_of_a_message_differ() -> None:
    assert hpke.seal(KEY.public, b"", b"x") != hpke.seal(KEY.public, b"", b"x")


def test_nothing_altered_opens() -> None:
    sealed = hpke.seal(KEY.public, b"info", b"message")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(SealBroken):
            KEY.unseal(b"info", bytes(altered))
    for wrong in (b"", sealed[:31], sealed[:-1], sealed + b"\0", bytes(32) + sealed[32:]):
        with pytest.raises(SealBroken):
            KEY.unseal(b"info", wrong)
    with pytest.raises(SealBroken):
        KEY.unseal(b"other", sealed)
    with pytest.raises(SealBroken):
        SealingKey.generate().unseal(b"info", sealed)


@given(st.binary(max_size=200))
def test_garbage_never_crashes(data: bytes) -> None:
    with pytest.raises(SealBroken):
        KEY.unseal(b"", data)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_points_of_small_order_are_refused(public: str) -> None:
    with pytest.raises(InvalidEncoding, match="small order"):
        hpke.seal(bytes.fromhex(public), b"", b"")


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), "00" * 32, None])
def test_other_public_keys_are_refused(public: object) -> None:
    with pytest.raises(InvalidEncoding):
        hpke.check_public_key(public)


def test_private_keys_come_back() -> None:
    again = SealingKey.from_bytes(KEY.to_bytes())
    assert (again.public, again.key_id) == (KEY.public, KEY.key_id)
    with pytest.raises(InvalidEncoding):
        SealingKey.from_bytes(bytes(31))


def test_infos_are_the_documented_bytes() -> None:
    assert hpke.recording_info(ID, "f" * 32) == b"hushbeat/recording/v1\0" + ID.encode() + (
        b"\0" + b"f" * 32
    )
    assert hpke.blind_info(ID) == b"hushbeat/opening/blind/v1\0" + ID.encode()
    assert hpke.value_info(ID) == b"hushbeat/opening/value/v1\0" + ID.encode()
    with pytest.raises(InvalidEncoding):
        hpke.recording_info(ID, "../x")
