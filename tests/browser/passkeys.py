"""Authenticators for pages of a test: what a phone or a password manager is to a person."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

_OPTIONS = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

WARNING = "pubKeyCredParams"
"""Chromium warns where no RSA keys are taken; ES256 alone is what the protocol has."""


class Authenticator:
    """A virtual one of the browser (CDP, domain WebAuthn), seen by the pages of one tab."""

    def __init__(self, page: Page) -> None:
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.send("WebAuthn.enable", {})
        made = self._devtools.send("WebAuthn.addVirtualAuthenticator", {"options": _OPTIONS})
        self._id = {"authenticatorId": made["authenticatorId"]}

    def credentials(self) -> list[dict[str, Any]]:
        """The passkeys that it holds, with their private keys."""
        answer = self._devtools.send("WebAuthn.getCredentials", self._id)
        found: list[dict[str, Any]] = answer["credentials"]
        return found

    def sync_from(self, other: Authenticator) -> None:
        """Takes over the passkeys of another one, as password managers do."""
        for credential in other.credentials():
            self._devtools.send("WebAuthn.addCredential", self._id | {"credential": credential})

    def forget(self) -> None:
        """Has no passkeys any more."""
        self._devtools.send("WebAuthn.clearCredentials", self._id)

    def recognise(self, person: bool) -> None:
        """Whether it recognises its person from now on."""
        sent = self._id | {"isUserVerified": person}
        self._devtools.send("WebAuthn.setUserVerified", sent)
