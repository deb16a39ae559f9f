"""Passkeys: a message under a session key that a WebAuthn assertion certified (WebAuthn level 2).

A passkey signs nothing but login challenges, so it never signs a message itself. Once a visit it
signs the hash of a *session certificate*: who the collector is, an ephemeral ES256 key, and for how
long. The session key signs the messages; the certificate travels in their header. Attestation is
not asked for: which make of authenticator holds the key is not known here.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from crypto import jws
from crypto.encoding import b64u, json_object
from crypto.errors import BadSignature, Expired, InvalidEncoding
from crypto.wire import CollectorJwk, Identifier, Time, from_record, octets

SESSION_SECONDS = 3600
"""The longest a certificate is good for."""

CLOCK_LEEWAY = 60
"""Seconds by which the issuer's clock may be ahead of the verifier's."""

_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_LEAST_AUTHENTICATOR_DATA = 37  # hash of the rp id, flags, counter


class KeyType(StrEnum):
    """What holds a collector's key."""

    SOFTWARE = "software"
    PASSKEY = "passkey"


@dataclass(frozen=True)
class PinnedKey:
    """A collector's public key as a server has pinned it.

    Attributes:
        jwk: the public P-256 key.
        collector: whose it is.
        rp_id: of a passkey, the domain that it was made for.
        origins: of a passkey, the origins from which its assertions are taken.
    """

    jwk: Mapping[str, Any]
    collector: str
    type: KeyType = KeyType.SOFTWARE
    rp_id: str | None = None
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SessionCertificate:
    """What a passkey vouches for: this key signs for this collector from `iat` until `exp`."""

    collector: Identifier
    session: CollectorJwk
    iat: Time
    exp: Time

    def check_time(self, at: float) -> None:
        """Raises Expired unless a message of the moment `at` may be signed under this."""
        if not self.iat < self.exp <= self.iat + SESSION_SECONDS:
            raise Expired(f"a session lasts at most {SESSION_SECONDS} seconds: begin another")
        if at >= self.exp:
            raise Expired("signed after the passkey's session ended: use the passkey again")
        if at < self.iat - CLOCK_LEEWAY:
            raise Expired("signed before the passkey's session began: compare the clocks")


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """The header's `cert`: the certificate's JSON bytes and the passkey's signature over them."""

    session: Annotated[bytes, octets(1024)]
    authenticator_data: Annotated[bytes, octets(1024)]
    client_data: Annotated[bytes, octets(1024)]
    signature: Annotated[bytes, octets(80)]

    def certificate(self, key: PinnedKey) -> SessionCertificate:
        """The certificate, if this passkey signed it in front of its person.

        Raises:
            InvalidEncoding: parts that are not what WebAuthn prescribes.
            BadSignature: another challenge, origin, domain or key, or nobody was verified.
        """
        self._check_client_data(key)
        self._check_authenticator_data(key)
        hashed = hashlib.sha256(self.client_data).digest()
        jws.check_der_signature(key.jwk, self.authenticator_data + hashed, self.signature)
        return from_record(SessionCertificate, json_object(self.session))

    def _check_client_data(self, key: PinnedKey) -> None:
        # Members that are not known here must be ignored (WebAuthn, section 5.8.1).
        said = json_object(self.client_data)
        if said.get("type") != "webauthn.get":
            raise BadSignature("the passkey was asked for something else than a login")
        if said.get("challenge") != b64u(hashlib.sha256(self.session).digest()):
            raise BadSignature("the passkey signed another session")
        if said.get("origin") not in key.origins:
            raise BadSignature("the passkey was used on another site")
        if said.get("crossOrigin", False) is not False or "topOrigin" in said:
            raise BadSignature("the passkey was used inside a page of another site")

    def _check_authenticator_data(self, key: PinnedKey) -> None:
        data = self.authenticator_data
        if len(data) < _LEAST_AUTHENTICATOR_DATA:
            raise InvalidEncoding("the authenticator's data are too short")
        if key.rp_id is None or data[:32] != hashlib.sha256(key.rp_id.encode()).digest():
            raise BadSignature("the passkey was used for another domain")
        if not data[32] & _USER_PRESENT or not data[32] & _USER_VERIFIED:
            raise BadSignature("the authenticator did not verify its person")


def verify(
    token: str, typ: str, key: PinnedKey
) -> tuple[dict[str, Any], SessionCertificate | None]:
    """The payload of a JWS signed by a collector, and the certificate that it was signed under.

    A software key has no certificate. Whether a certificate was good at the time of the message is
    for the caller to check, who knows that time: `SessionCertificate.check_time`.

    Raises:
        InvalidEncoding, WrongType, BadSignature: see `jws.verify`, `Assertion.certificate`; a
            software key with a certificate, or a passkey without one.
    """
    if key.type is KeyType.SOFTWARE:
        return jws.verify(token, typ, key.jwk), None
    parsed = jws.parse(token, typ)
    if parsed.certificate is None:
        raise BadSignature("a passkey signs no message: the certificate of its session is missing")
    jws.check_signer(parsed, key.jwk)
    certificate = from_record(Assertion, parsed.certificate).certificate(key)
    if certificate.collector != key.collector:
        raise BadSignature("the passkey's session is another collector's")
    jws.check_signature(certificate.session, parsed.signed, parsed.signature)
    return parsed.payload, certificate


def rp_id_of(url: str) -> str:
    """The rp id of the passkeys of a site: the host of its URL."""
    return urlsplit(url).hostname or ""


def origin_of(url: str) -> str:
    """The origin of a URL as browsers write it: lower case, without a default port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{parts.port}"


_DEFAULT_PORTS = {"http": 80, "https": 443}
