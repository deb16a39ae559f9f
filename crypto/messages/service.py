"""A request of one server or worker to another."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from crypto.messages.base import SignedMessage
from crypto.wire import Hash, Time, one_of, text


class Audience(StrEnum):
    """The server that a service request is for."""

    KEYHOLDER = "keyholder"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True, kw_only=True)
class ServiceRequest(SignedMessage):
    """A server's or worker's own request: method, path and body under its signature."""

    TYP: ClassVar[str] = "hushbeat-request"
    LIFETIME: ClassVar[int | None] = 60

    aud: Annotated[Audience, one_of(Audience)]
    method: Annotated[str, text(16)]
    path: Annotated[str, text(4096)]
    body_sha256: Hash
    iat: Time
    exp: Time
