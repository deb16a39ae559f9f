"""What a page hands to its scripts as a block of JSON: account, key holder, texts."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from flask_login import current_user
from flask_wtf.csrf import generate_csrf

from app.aggregator.pages.language import current_language
from app.aggregator.pages.words import words_of


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What pages need to know of the role's configuration."""

    keyholder_url: str
    fingerprint: str
    max_upload_bytes: int


def page_data(*groups: str, **more: str) -> dict[str, object]:
    """The block of a page whose scripts use the texts of these groups, and what else they need."""
    settings: PageSettings = current_app.extensions["hushbeat_pages"]
    return {
        "language": current_language(),
        "csrf": generate_csrf(),
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
        "thumbprint": current_user.thumbprint,
    }
