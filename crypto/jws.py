"""Signed messages: JWS compact serialisation (RFC 7515) with a narrow, strict reader.

Servers sign with Ed25519 (`EdDSA`, RFC 8037), collectors with ECDSA P-256 (`ES256`, RFC 7518
section 3.4; deterministic nonces are left to the library). A header has exactly `alg`, `typ` and
`kid`, and `cert` where a passkey stands behind it (`crypto.webauthn`). The verifier names the type
and the key; the key decides the algorithm, so that a header cannot talk a verifier into `none` or
into using a public key as an HMAC secret (RFC 8725).
"""

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from crypto.encoding import b64u, json_bytes, json_object, sha256_hex, unb64u
from crypto.errors import BadSignature, InvalidEncoding, WrongType

MAX_TOKEN_CHARS = 1 << 20
"""A month of openings for a full doctor's list stays far below this."""

_SIGNATURE_BYTES = 64
_IGNORED_JWK_MEMBERS = {"alg", "ext", "key_ops", "kid", "use"}


class Signer(Protocol):
    """Whatever signs messages: a key of this module, or a session that a passkey certified."""

    def sign(self, typ: str, payload: Mapping[str, Any]) -> str: ...


@dataclass(frozen=True)
class Parsed:
    """A token taken apart; nothing of it is verified, and the header may hold any JSON."""

    alg: object
    kid: object
    certificate: dict[str, Any] | None
    payload: dict[str, Any]
    signed: bytes
    signature: bytes


def verify(token: str, typ: str, jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a JWS of that type, signed by that public key.

    Raises:
        InvalidEncoding: not a JWS as above.
        WrongType: another `typ`.
        BadSignature: another algorithm or key than `jwk` stands for, or a signature that fails.
    """
    parsed = parse(token, typ)
    if parsed.certificate is not None:
        raise BadSignature("this key signs by itself: no certificate belongs here")
    check_signer(parsed, jwk)
    check_signature(jwk, parsed.signed, parsed.signature)
    return parsed.payload


def check_signer(parsed: Parsed, jwk: Mapping[str, Any]) -> None:
    """Raises BadSignature unless the header names this key and its algorithm."""
    public = check_public_jwk(jwk)
    if parsed.alg != _algorithm(public):
        raise BadSignature(f"expected a signature by {_algorithm(public)}")
    if parsed.kid != thumbprint(public):
        raise BadSignature("signed by another key than the one expected here")


def claimed_payload(token: str, typ: str) -> dict[str, Any]:
    """The payload WITHOUT its signature checked, only to find out whose key to verify with.

    Raises InvalidEncoding or WrongType. Nothing in it may be believed before `verify`.
    """
    return parse(token, typ).payload


def claimed_signer(token: str, typ: str) -> str:
    """The thumbprint that the header names, NOT checked: which key of somebody's to verify with.

    Raises InvalidEncoding or WrongType.
    """
    kid = parse(token, typ).kid
    if not isinstance(kid, str):
        raise InvalidEncoding("a kid is an RFC 7638 thumbprint")
    return kid


def check_signature(jwk: Mapping[str, Any], signed: bytes, signature: bytes) -> None:
    """Checks a raw JWS signature (64 bytes for both algorithms) or raises BadSignature."""
    if len(signature) != _SIGNATURE_BYTES:
        raise BadSignature("a signature here has 64 bytes")
    try:
        if jwk["kty"] == "OKP":
            Ed25519PublicKey.from_public_bytes(unb64u(jwk["x"])).verify(signature, signed)
        else:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            _p256(jwk).verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise BadSignature("the signature does not fit the message and the key") from error


class _Signer(ABC):
    """What both kinds of keys share: a public JWK, its thumbprint, and signing JSON objects."""

    ALG: ClassVar[str]

    def __init__(self, public_jwk: dict[str, str]) -> None:
        self.public_jwk = public_jwk
        self.thumbprint = thumbprint(public_jwk)

    def sign(self, typ: str, payload: Mapping[str, Any]) -> str:
        """The payload as a JWS of that type."""
        header = {"alg": self.ALG, "kid": self.thumbprint, "typ": typ}
        signed = f"{b64u(json_bytes(header))}.{b64u(json_bytes(payload))}"
        return f"{signed}.{b64u(self._signature(signed.encode('ascii')))}"

    @abstractmethod
    def _signature(self, message: bytes) -> bytes: ...

    def __repr__(self) -> str:
        return type(self).__name__


class SigningKey(_Signer):
    """A server's Ed25519 key."""

    ALG = "EdDSA"

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        x = b64u(private.public_key().public_bytes_raw())
        super().__init__({"kty": "OKP", "crv": "Ed25519", "x": x})

    @classmethod
    def generate(cls) -> "SigningKey":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> "SigningKey":
        """From the 32 bytes of `to_bytes`; raises InvalidEncoding."""
        if len(data) != 32:
            raise InvalidEncoding("an Ed25519 private key is 32 bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored (`crypto.at_rest`)."""
        return self._private.private_bytes_raw()

    def _signature(self, message: bytes) -> bytes:
        return self._private.sign(message)


class CollectorKey(_Signer):
    """A collector's ES256 key, as the Python client holds it."""

    ALG = "ES256"

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private.curve, ec.SECP256R1):
            raise InvalidEncoding("a collector's key is on P-256")
        self._private = private
        numbers = private.public_key().public_numbers()
        x, y = (b64u(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
        super().__init__({"kty": "EC", "crv": "P-256", "x": x, "y": y})

    @classmethod
    def generate(cls) -> "CollectorKey":
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_bytes(cls, data: bytes) -> "CollectorKey":
        """From the 32 bytes of `to_bytes`; raises InvalidEncoding."""
        if len(data) != 32:
            raise InvalidEncoding("a P-256 private key is 32 bytes")
        try:
            return cls(ec.derive_private_key(int.from_bytes(data, "big"), ec.SECP256R1()))
        except ValueError as error:
            raise InvalidEncoding("a P-256 private key lies in the order of the curve") from error

    def to_bytes(self) -> bytes:
        """The secret itself: seal it before it is stored (`crypto.at_rest`)."""
        return self._private.private_numbers().private_value.to_bytes(32, "big")

    def _signature(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._private.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def check_public_jwk(jwk: object) -> dict[str, str]:
    """The required members of a public Ed25519 or P-256 JWK; what WebCrypto adds is dropped.

    Raises InvalidEncoding: another kind of key, a private key, or a point not on the curve.
    """
    if not isinstance(jwk, Mapping) or not all(isinstance(name, str) for name in jwk):
        raise InvalidEncoding("expected a public key as a JWK object")
    if "d" in jwk:
        raise InvalidEncoding("this JWK holds a private key: send the public one")
    kind = (jwk.get("kty"), jwk.get("crv"))
    if kind == ("OKP", "Ed25519"):
        names = {"kty", "crv", "x"}
    elif kind == ("EC", "P-256"):
        names = {"kty", "crv", "x", "y"}
    else:
        raise InvalidEncoding("expected a JWK for Ed25519 or P-256")
    if not names <= set(jwk) <= names | _IGNORED_JWK_MEMBERS:
        raise InvalidEncoding("this JWK lacks members or has unknown ones")
    public = {name: jwk[name] for name in sorted(names)}
    for coordinate in ("x", "y"):
        if coordinate in public and len(unb64u(public[coordinate])) != 32:
            raise InvalidEncoding("a coordinate of this JWK does not have 32 bytes")
    if public["kty"] == "EC":
        _p256(public)
    return public


def check_collector_jwk(jwk: object) -> dict[str, str]:
    """A collector's public key: `check_public_jwk`, and on P-256. Raises InvalidEncoding."""
    public = check_public_jwk(jwk)
    if public["kty"] != "EC":
        raise InvalidEncoding("a collector's key is on P-256 (ES256)")
    return public


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638: base64url of SHA-256 over the required members, 43 characters."""
    return b64u(hashlib.sha256(json_bytes(check_public_jwk(jwk))).digest())


def fingerprint(jwk: Mapping[str, Any]) -> str:
    """SHA-256 of a raw Ed25519 public key in hex: what clients pin of the manifest key."""
    public = check_public_jwk(jwk)
    if public["kty"] != "OKP":
        raise InvalidEncoding("only an Ed25519 key has a fingerprint")
    return sha256_hex(unb64u(public["x"]))


def doctor_code(thumb: str) -> str:
    """80 bits of a thumbprint to be read out or typed: ABCD-EFGH-IJKL-MNOP.

    A new device or a key in recovery shows the same code: two screens are compared. Fewer bits
    would not do, because whoever relays the key can make keys until the code of one fits.
    """
    code = base64.b32encode(hashlib.sha256(thumb.encode("ascii")).digest()[:10]).decode("ascii")
    return "-".join(code[i : i + 4] for i in range(0, 16, 4))


def _algorithm(jwk: Mapping[str, Any]) -> str:
    return SigningKey.ALG if jwk["kty"] == "OKP" else CollectorKey.ALG


def check_der_signature(jwk: Mapping[str, Any], signed: bytes, signature: bytes) -> None:
    """Checks an ECDSA P-256 signature in DER, as authenticators make it, or raises BadSignature."""
    try:
        _p256(jwk).verify(signature, signed, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise BadSignature("the signature does not fit the message and the key") from error


def _p256(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(unb64u(jwk[name]), "big") for name in ("x", "y"))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError as error:
        raise InvalidEncoding("this JWK is not a point on P-256") from error


def parse(token: str, typ: str) -> Parsed:
    """A token's parts with nothing verified. Raises InvalidEncoding or WrongType."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS:
        raise InvalidEncoding("expected a JWS of at most a mebibyte")
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise InvalidEncoding("a JWS has three parts")
    header = json_object(unb64u(parts[0]))
    if set(header) - {"cert"} != {"alg", "kid", "typ"}:
        raise InvalidEncoding("a JWS header has alg, kid and typ here, and cert for a passkey")
    certificate = header.get("cert")
    if "cert" in header and not isinstance(certificate, dict):
        raise InvalidEncoding("cert: expected an object")
    if header["typ"] != typ:
        raise WrongType(f"expected a message of type {typ}")
    return Parsed(
        alg=header["alg"],
        kid=header["kid"],
        certificate=certificate,
        payload=json_object(unb64u(parts[1])),
        signed=f"{parts[0]}.{parts[1]}".encode("ascii"),
        signature=unb64u(parts[2]),
    )
