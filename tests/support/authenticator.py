"""A passkey in software, for tests: makes the assertions that an authenticator would."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from crypto.encoding import b64u, json_bytes
from crypto.jws import CollectorKey
from crypto.webauthn import KeyType, PinnedKey

PRESENT, VERIFIED = 0x01, 0x04


@dataclass
class Passkey:
    """A discoverable credential of one site."""

    rp_id: str = "hushbeat.example"
    origin: str = "https://hushbeat.example"
    key: CollectorKey = field(default_factory=CollectorKey.generate)

    @property
    def public_jwk(self) -> dict[str, str]:
        return self.key.public_jwk

    @property
    def thumbprint(self) -> str:
        return self.key.thumbprint

    def pinned(self, collector: str) -> PinnedKey:
        """As a server pins it."""
        return PinnedKey(
            self.public_jwk, collector, KeyType.PASSKEY, self.rp_id, origins=(self.origin,)
        )

    def session(
        self, collector: str, at: float | None = None, seconds: int = 3600, **changes: Any
    ) -> PasskeySession:
        """A session that the passkey certified, begun at `at`; `changes` break an assertion.

        `client_data`: members set in it (None: left out). `flags`, `rp_id`: of the authenticator's
        data. `content`: members of the certificate. `signer`: another key.
        """
        begun = int(time.time() if at is None else at)
        ephemeral = changes.get("ephemeral") or CollectorKey.generate()
        content = {
            "collector": collector,
            "session": ephemeral.public_jwk,
            "iat": begun,
            "exp": begun + seconds,
        } | changes.get("content", {})
        session = json_bytes(content)
        client_data = self._client_data(session, changes.get("client_data", {}))
        rp_id: str = changes.get("rp_id", self.rp_id)
        flags = bytes([changes.get("flags", PRESENT | VERIFIED)])
        data = hashlib.sha256(rp_id.encode()).digest() + flags + bytes(4)
        data += changes.get("extra", b"")
        signer: CollectorKey = changes.get("signer", self.key)
        signature = signer._private.sign(
            data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256())
        )
        certificate = {
            "session": b64u(session),
            "authenticator_data": b64u(data),
            "client_data": b64u(client_data),
            "signature": b64u(signature),
        } | changes.get("certificate", {})
        return PasskeySession(self, ephemeral, certificate)

    def _client_data(self, session: bytes, changes: Mapping[str, Any]) -> bytes:
        members = {
            "type": "webauthn.get",
            "challenge": b64u(hashlib.sha256(session).digest()),
            "origin": self.origin,
            "crossOrigin": False,
            **changes,
        }
        return json.dumps({k: v for k, v in members.items() if v is not None}).encode()


@dataclass
class PasskeySession:
    """Signs messages as a browser does in a visit."""

    passkey: Passkey
    ephemeral: CollectorKey
    certificate: dict[str, Any] | None

    @property
    def public_jwk(self) -> dict[str, str]:
        return self.passkey.public_jwk

    @property
    def thumbprint(self) -> str:
        return self.passkey.thumbprint

    def sign(self, typ: str, payload: Mapping[str, Any]) -> str:
        header: dict[str, Any] = {"alg": "ES256", "kid": self.thumbprint, "typ": typ}
        if self.certificate is not None:
            header["cert"] = self.certificate
        signed = f"{b64u(json_bytes(header))}.{b64u(json_bytes(payload))}"
        return f"{signed}.{b64u(self.ephemeral._signature(signed.encode()))}"
