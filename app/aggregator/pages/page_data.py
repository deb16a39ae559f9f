"""What a page hands to its scripts as a block of JSON: account, key holder, texts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_address

from flask import current_app
from flask_login import current_user
from flask_wtf.csrf import generate_csrf

from app.aggregator.devices.keys import in_force, public_jwk
from app.aggregator.pages.language import current_language
from app.aggregator.pages.words import words_of
from app.aggregator.tables import Account
from crypto.webauthn import origin_of, rp_id_of


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What pages need to know of the role's configuration."""

    public_url: str
    keyholder_url: str
    fingerprint: str
    max_upload_bytes: int


def page_data(*groups: str, **more: str) -> dict[str, object]:
    """The block of a page whose scripts use the texts of these groups, and what else they need."""
    settings: PageSettings = current_app.extensions["hushbeat_pages"]
    return {
        "language": current_language(),
        "csrf": generate_csrf(),
        "now": int(time.time()),
        "passkeys": _passkeys(settings.public_url),
        "keyholder": {"url": settings.keyholder_url, "fingerprint": settings.fingerprint},
        "limits": {"maxUploadBytes": settings.max_upload_bytes},
        "account": _account(),
        "words": words_of(*groups),
        **more,
    }


def pinned_fingerprint() -> str:
    """The fingerprint of the key holder's manifest key, in groups that a person can compare."""
    settings: PageSettings = current_app.extensions["hushbeat_pages"]
    hexadecimal = settings.fingerprint
    return " ".join(hexadecimal[i : i + 4] for i in range(0, len(hexadecimal), 4))


def _account() -> dict[str, object] | None:
    if not current_user.is_authenticated:
        return None
    return {
        "login": current_user.login,
        "kind": current_user.kind,
        "collector": current_user.collector,
        "display_name": current_user.display_name,
        "thumbprint": current_user.thumbprint,
        "keys": _keys_of(current_user),
    }


def _keys_of(account: Account) -> list[dict[str, object]]:
    """The public keys that can sign in the account's name now."""
    return [
        {"thumbprint": key.thumbprint, "type": key.type, "key": public_jwk(key)}
        for key in in_force(account.id)
    ]


def _passkeys(public_url: str) -> dict[str, str] | None:
    """What passkeys are made for; none where the address is a number, which they do not know."""
    host = rp_id_of(public_url)
    try:
        ip_address(host)
    except ValueError:
        return {"rpId": host, "origin": origin_of(public_url)}
    return None
