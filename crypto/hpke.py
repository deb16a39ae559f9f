"""Sealing to a public key: HPKE base mode (RFC 9180, section 5.1.1), and what it is bound to.

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; a sealed message is enc (32 bytes) followed
by the ciphertext; `aad` is empty and `info` names the purpose (docs/protocol.md, section 1).
"""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from crypto.encoding import check_id
from crypto.errors import InvalidEncoding

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
PUBLIC_KEY_BYTES = 32
OVERHEAD_BYTES = 32 + 16
"""How much longer a sealed message is than its plaintext: enc and the tag."""


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seals to an X25519 public key of 32 bytes; raises InvalidEncoding for a bad key."""
    return SUITE.encrypt(plaintext, _public_key(public), info)


def recording_info(recording: str, pseudonym: str) -> bytes:
    """Binds a sealed recording to its id and its patient."""
    return b"\x00".join((b"hushbeat/recording/v1", _id(recording), _id(pseudonym)))


def blind_info(jti: str) -> bytes:
    """Binds the aggregator's blind to one opening."""
    return b"hushbeat/opening/blind/v1\x00" + _id(jti)


def value_info(jti: str) -> bytes:
    """Binds the key holder's value to one opening."""
    return b"hushbeat/opening/value/v1\x00" + _id(jti)


def check_public_key(public: object) -> bytes:
    """The key itself, or InvalidEncoding: wrong length, or a point of small order.

    RFC 9180, section 7.1.4: with such a point everybody knows the shared secret.
    """
    if not isinstance(public, bytes):
        raise InvalidEncoding("an X25519 public key is 32 bytes")
    _public_key(public)
    return public


def _public_key(public: bytes) -> X25519PublicKey:
    if len(public) != PUBLIC_KEY_BYTES:
        raise InvalidEncoding("an X25519 public key is 32 bytes")
    key = X25519PublicKey.from_public_bytes(public)
    try:
        X25519PrivateKey.generate().exchange(key)
    except ValueError as error:
        raise InvalidEncoding("an X25519 public key of small order") from error
    return key


def _id(text: str) -> bytes:
    return check_id(text).encode("ascii")
