"""A collector: a patient's or a doctor's session with both servers, and its own keys."""

from __future__ import annotations

import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpx

from client.errors import BadAnswer, NotLoggedIn, ProfileError
from client.manifest import fetch_manifest, fetch_signed_manifest, known_key
from client.profile import Identity, Profile
from client.service import Service, field
from crypto.encoding import check_id, sha256_hex
from crypto.jws import thumbprint
from crypto.messages import Enrolment, EnrolmentProof
from crypto.paillier import PublicKey

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Seconds. An opening or an answer under load may take several; connecting may not."""


class Collector:
    """The owner of one profile, talking to the aggregator and, directly, to the key holder.

    The aggregator's address comes from the key holder's signed manifest, so the key holder's
    address and fingerprint are all that has to be trusted. Use it as a context manager.

    Attributes:
        identity: the keys and what is pinned.
        manifest: the verified manifest of this session.
        manifest_key: the key holder's public key that signed it.
        aggregator, keyholder: the two servers.
    """

    def __init__(self, profile: Profile, http: httpx.Client | None = None) -> None:
        self.profile = profile
        self.identity = profile.identity()
        self._http = http or httpx.Client(timeout=TIMEOUT)
        self.keyholder = Service("key holder", self.identity.keyholder_url, self._http)
        self.fetch_manifest()
        self.aggregator = Service("aggregator", self.manifest.aggregator_url, self._http)
        self.aggregator.token = profile.token()
        self._collector: str | None = None

    def fetch_manifest(self) -> None:
        """The manifest as it is now: the key holder's keys change rarely, but they do."""
        self.manifest, self.manifest_key = fetch_signed_manifest(
            self.keyholder, self.identity.fingerprint, now()
        )

    def paillier_key(self, key_id: str) -> PublicKey:
        """The key of an opening, which may be retired, or newer than this session."""
        key = known_key(self.manifest, key_id)
        if key is None:
            self.fetch_manifest()
            key = known_key(self.manifest, key_id)
        if key is None:
            raise BadAnswer(
                "The opening is under a key that the key holder's manifest does not have."
            )
        return key

    @classmethod
    def register(
        cls,
        profile: Profile,
        keyholder_url: str,
        fingerprint: str,
        password: str,
        *,
        display_name: str,
        kind: str,
        age_band: str | None = None,
        http: httpx.Client | None = None,
    ) -> Self:
        """Makes an account and keys, logs in and enrols. `kind`: `patient` or `doctor`.

        Nothing is sent before the key holder has shown the pinned key.
        """
        if profile.exists():
            raise ProfileError(f"{profile.folder} belongs to a collector already.")
        client = http or httpx.Client(timeout=TIMEOUT)
        manifest = fetch_manifest(Service("key holder", keyholder_url, client), fingerprint, now())
        aggregator = Service("aggregator", manifest.aggregator_url, client)
        asked: dict[str, object] = {
            "display_name": display_name,
            "password": password,
            "kind": kind,
        }
        if age_band is not None:
            asked["age_band"] = age_band
        login = field(aggregator.post("/api/accounts", **asked), "login", str)
        profile.create(Identity.generate(login, keyholder_url, fingerprint))
        collector = cls(profile, client)
        collector.log_in(password)
        collector.enrol()
        return collector

    @classmethod
    def join(
        cls,
        profile: Profile,
        keyholder_url: str,
        fingerprint: str,
        login: str,
        password: str,
        *,
        http: httpx.Client | None = None,
    ) -> Self:
        """Makes this device's own key for an account that is used elsewhere, and logs in.

        The key counts for nothing until another device signs for it, or a recovery is complete.
        """
        if profile.exists():
            raise ProfileError(f"{profile.folder} belongs to a collector already.")
        client = http or httpx.Client(timeout=TIMEOUT)
        manifest = fetch_manifest(Service("key holder", keyholder_url, client), fingerprint, now())
        aggregator = Service("aggregator", manifest.aggregator_url, client)
        answer = aggregator.post("/api/tokens", login=login, password=password)
        aggregator.token = field(answer, "token", str)
        root = aggregator.get("/api/account").get("thumbprint")
        if not isinstance(root, str):
            raise ProfileError("This account has no key yet: log in where it was registered.")
        profile.create(Identity.generate(login, keyholder_url, fingerprint, root))
        profile.keep_session(aggregator.token, field(answer, "device", str))
        return cls(profile, client)

    def log_in(self, password: str) -> None:
        """Gets a bearer token and keeps it in the profile."""
        asked: dict[str, object] = {"login": self.identity.login, "password": password}
        if (device := self.profile.device()) is not None:
            asked["device"] = device
        answer = self.aggregator.post("/api/tokens", **asked)
        token = field(answer, "token", str)
        self.profile.keep_session(token, field(answer, "device", str))
        self.aggregator.token = token

    def log_out(self) -> None:
        """Ends the bearer token at the aggregator and in the profile; again is harmless."""
        if self.aggregator.token is not None:
            with suppress(NotLoggedIn):  # it has ended by itself
                self.aggregator.delete("/api/tokens")
        self.profile.forget_token()
        self.aggregator.token = None

    def enrol(self) -> None:
        """Pins this collector's first public key at both servers; again is harmless.

        A further device has nothing to enrol: another one signs for it (client.devices).

        Raises Conflict if another key is pinned for this account: whoever holds that one can sign
        for this device, and without it there is recovery (client.recovery).
        """
        if not self.identity.is_first:
            return
        key = self.identity.key
        statement = field(
            self.aggregator.post("/api/enrolments", key=key.public_jwk), "statement", str
        )
        enrolment = Enrolment.verify(statement, self.manifest.statement_key, now())
        if enrolment.thumbprint != key.thumbprint:
            raise BadAnswer("The aggregator enrolled another key than the one it was sent.")
        proof = EnrolmentProof(statement_sha256=sha256_hex(statement.encode()), jti=enrolment.jti)
        answer = self.keyholder.post(
            "/v1/enrolments", statement=statement, proof=proof.sign(key), key=key.public_jwk
        )
        if field(answer, "thumbprint", str) != thumbprint(key.public_jwk):
            raise BadAnswer("The key holder pinned another key than the one it was sent.")

    def account(self) -> dict[str, Any]:
        """The account as the aggregator knows it: login, kind, collector, enrolled, ..."""
        return self.aggregator.get("/api/account")

    @property
    def pseudonym(self) -> str:
        """The identifier by which both servers know this collector."""
        if self._collector is None:
            if self.aggregator.token is None:
                raise NotLoggedIn(401, "not-logged-in", "Log in first: `login`.")
            self._collector = check_id(field(self.account(), "collector", str))
        return self._collector

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def now() -> int:
    """Unix seconds (UTC)."""
    return int(time.time())
