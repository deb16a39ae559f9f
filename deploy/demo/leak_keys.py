"""Search for secrets outside the folder of their owner: keys, passwords, tokens, passphrases.

Needles are the collectors' own keys, passwords and tokens, the primes of the Paillier key, and
whatever lies in each role's folder of secrets, as bytes, hexadecimal, base64 and decimals.
"""

from __future__ import annotations

import base64
import hashlib
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from deploy.demo.evidence import Known, Leak, Place

ROLES = ("aggregator", "keyholder", "inference")

_SHORTEST = 8
_LONGEST = 4096
_PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_PRIVATE_JWK = re.compile(rb'"(?:d|p|q)"\s*:\s*"[A-Za-z0-9_-]{20,}"')


def find_secrets(home: Path, files: Iterable[Place], known: Known) -> list[Leak]:
    """Secrets in files where they do not belong, and folders of secrets that others can read."""
    places = list(files)
    leaks = []
    for role in ROLES:
        folder = home / role / "secrets"
        leaks += [
            Leak(str(path.relative_to(home)), "a secret that others on this machine can read")
            for path in (folder, *sorted(folder.rglob("*")))
            if stat.S_IMODE(path.stat().st_mode) & 0o077
        ]
        outside = [place for place in places if folder not in place.path.parents]
        for what, needle in _role_secrets(folder):
            leaks += _find(outside, f"a secret of the {role} ({what})", needle)
    for what, needle in (*_collector_secrets(known), *_keyholder_secrets(known)):
        leaks += _find(places, what, needle)
    for place in places:
        if _PEM.search(place.content) or _PRIVATE_JWK.search(place.content):
            leaks.append(Leak(place.name, "a private key in the clear"))
    return leaks


def _role_secrets(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield path.name, content
        yield path.name, content.strip()


def _collector_secrets(known: Known) -> Iterator[tuple[str, bytes]]:
    for person in known.people:
        yield "a password", person.password.encode()
        yield "a password", hashlib.sha256(person.password.encode()).digest()
        yield "a bearer token", person.token.encode()
        for key in person.private:
            yield "a collector's private key", key


def _keyholder_secrets(known: Known) -> Iterator[tuple[str, bytes]]:
    """Keys that even their owner keeps under a passphrase only."""
    for key in known.keyholder_private:
        yield "a key of the key holder", key
    jwk = known.paillier.to_jwk()
    for name in ("p", "q"):
        prime = base64.urlsafe_b64decode(jwk[name] + "==")
        yield "a prime of the Paillier key", prime
        yield "a prime of the Paillier key", str(int.from_bytes(prime, "big")).encode()


def _find(places: Iterable[Place], what: str, secret: bytes) -> list[Leak]:
    if not _SHORTEST <= len(secret) <= _LONGEST:
        return []
    needles = set(_encodings(secret))
    return [
        Leak(place.name, what)
        for place in places
        if any(needle in place.content for needle in needles)
    ]


def _encodings(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield quote(secret).encode()
    # Base64 of something that holds the secret at any offset: the characters wholly inside it.
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            text = encode(b"\x00" * offset + secret).rstrip(b"=")
            yield text[(offset * 8 + 5) // 6 : len(text) - 1]
