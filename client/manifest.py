"""The key holder's manifest: every public key there is, believed only for its pinned signer."""

from __future__ import annotations

from typing import Any

from client.errors import FingerprintMismatch
from client.service import Service, field
from crypto.encoding import check_hash
from crypto.errors import InvalidEncoding
from crypto.jws import fingerprint
from crypto.messages import Manifest
from crypto.paillier import PublicKey


def fetch_manifest(keyholder: Service, pinned: str, now: int) -> Manifest:
    """The manifest of `fetch_signed_manifest`."""
    return fetch_signed_manifest(keyholder, pinned, now)[0]


def fetch_signed_manifest(
    keyholder: Service, pinned: str, now: int
) -> tuple[Manifest, dict[str, Any]]:
    """Fetches and verifies the manifest; with the key holder's public key that signed it.

    Raises FingerprintMismatch if it is signed by another key than the `pinned` one (SHA-256 of the
    key holder's raw manifest key, 64 hex digits), and BadSignature if the signature fails.
    """
    answer = keyholder.get("/v1/manifest")
    key = field(answer, "key", dict)
    if fingerprint(key) != pinned:
        raise FingerprintMismatch(
            "The key holder shows another key than the pinned one. Do not go on: either this is "
            "not your key holder, or somebody is in between. Ask the clinic for its fingerprint."
        )
    return Manifest.verify(field(answer, "manifest", str), key, now), key


def check_fingerprint(text: str) -> str:
    """The 64 hex digits of a fingerprint as a person typed them: case, spaces and colons go."""
    try:
        return check_hash("".join(text.split()).replace(":", "").lower())
    except InvalidEncoding:
        raise FingerprintMismatch("A key holder's fingerprint has 64 hexadecimal digits.") from None


def known_key(manifest: Manifest, key_id: str) -> PublicKey | None:
    """The Paillier key of that id, which may be a retired one."""
    for entry in manifest.paillier:
        if entry.key_id == key_id:
            return PublicKey(entry.n)
    return None
