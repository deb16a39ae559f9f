"""Both servers as one handler of `httpx.MockTransport`, for errors that real ones never make."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from client.collector import Collector
from client.profile import Identity, Profile
from crypto.jws import SigningKey, fingerprint
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import KeyState, Manifest, PaillierEntry, SealingEntry
from crypto.unsealing import SealingKey
from tests.support.small_keys import SMALL_BITS

KEYHOLDER = "http://keyholder.test"
AGGREGATOR = "http://aggregator.test"
PSEUDONYM = "ab" * 16

Handler = Callable[[httpx.Request], httpx.Response]


class FakeServers:
    """`on["PUT /api/recordings"]` answers requests whose method and path begin like that."""

    def __init__(self) -> None:
        self.manifest_key = SigningKey.generate()
        self.statement_key = SigningKey.generate()
        self.worker_key = SealingKey.generate()
        self.on: dict[str, Handler] = {}
        self.requests: list[httpx.Request] = []
        self.paillier = PrivateKey.generate(SMALL_BITS)
        self.on["GET /v1/manifest"] = lambda _: answer(
            manifest=self.manifest().sign(self.manifest_key), key=self.manifest_key.public_jwk
        )
        self.on["GET /api/account"] = lambda _: answer(collector=PSEUDONYM, kind="patient")

    def manifest(self) -> Manifest:
        public = self.paillier.public
        return Manifest(
            issued_at=int(time.time()),
            keyholder_url=KEYHOLDER,
            aggregator_url=AGGREGATOR,
            paillier=(PaillierEntry(key_id=public.key_id, n=public.n, state=KeyState.ACTIVE),),
            sealing=SealingEntry(key_id=self.worker_key.key_id, public=self.worker_key.public),
            report_key=SigningKey.generate().public_jwk,
            statement_key=self.statement_key.public_jwk,
            operating_point=32_768,
        )

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.manifest_key.public_jwk)

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self._handle))

    def profile(self, folder: Path) -> Profile:
        """A collector that registered before and is logged in."""
        profile = Profile(folder / "profile")
        profile.create(Identity.generate("somebody-12", KEYHOLDER, self.fingerprint))
        profile.keep_session("a-token", "a-device")
        return profile

    def collector(self, folder: Path) -> Collector:
        return Collector(self.profile(folder), self.client())

    def _handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        line = f"{request.method} {request.url.path}"
        for beginning, handler in self.on.items():
            if line.startswith(beginning):
                return handler(request)
        return problem(404, "not-found")


def answer(status: int = 200, **fields: object) -> httpx.Response:
    return httpx.Response(status, json=fields)


def problem(
    status: int, slug: str, detail: str = "Try something else", **members: str
) -> httpx.Response:
    content = {"type": f"urn:hushbeat:problem:{slug}", "title": "No", "detail": detail} | members
    return httpx.Response(
        status,
        content=json.dumps(content | {"status": status}),
        headers={"Content-Type": "application/problem+json"},
    )


def in_turn(*answers: httpx.Response | Exception) -> Handler:
    """Each request gets the next answer; the last one stays."""
    left = list(answers)

    def handle(_: httpx.Request) -> httpx.Response:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    return handle
