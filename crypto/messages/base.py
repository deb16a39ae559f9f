"""What every signed message can do: sign, verify, expire."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from crypto import jws
from crypto.errors import Expired, InvalidEncoding
from crypto.wire import from_record, to_record

CLOCK_LEEWAY = 60
"""Seconds by which the issuer's clock may be ahead of the verifier's."""

M = TypeVar("M")


class SignedMessage:
    """What all messages can do. Subclasses declare TYP and their fields."""

    TYP: ClassVar[str]
    LIFETIME: ClassVar[int | None] = None
    """The longest time from `iat` to `exp` in seconds, for messages that expire."""

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that is signed."""
        return to_record(self)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """The message of a JSON object. Raises InvalidEncoding unless it is exactly one."""
        return from_record(cls, payload)

    def sign(self, key: jws.SigningKey | jws.CollectorKey) -> str:
        """The message as a JWS. Raises InvalidEncoding for one that no verifier would take."""
        payload = self.to_payload()
        self.from_payload(payload)
        return key.sign(self.TYP, payload)

    @classmethod
    def verify(cls, token: str, jwk: Mapping[str, Any], now: float) -> Self:
        """The message of a JWS signed by `jwk`, at the time `now` (seconds since 1970).

        Raises:
            InvalidEncoding, WrongType, BadSignature: see `jws.verify`.
            Expired: past its `exp`, issued in the future, or valid for longer than allowed.
        """
        message = cls.from_payload(jws.verify(token, cls.TYP, jwk))
        message._check_time(now)
        return message

    @classmethod
    def claimed(cls, token: str) -> Self:
        """The message with its signature NOT checked: whose key to ask for, nothing else."""
        return cls.from_payload(jws.claimed_payload(token, cls.TYP))

    def _check_time(self, now: float) -> None:
        if self.LIFETIME is None:
            return
        iat: int = self.iat  # type: ignore[attr-defined]
        exp: int = self.exp  # type: ignore[attr-defined]
        if not iat <= exp <= iat + self.LIFETIME:
            raise Expired(f"valid for longer than {self.LIFETIME} seconds: issue it anew")
        if now >= exp:
            raise Expired("past its time: ask for a new one")
        if iat > now + CLOCK_LEEWAY:
            raise Expired("issued in the future: compare the clocks of the two machines")


def variant_of(cls: type[M], payload: Mapping[str, Any], name: str) -> type[M]:
    """The subclass that a payload's discriminator names; a subclass reads itself only."""
    variants = {getattr(variant, name): variant for variant in cls.__subclasses__()}
    if not variants:
        return cls
    value = payload.get(name)
    if not isinstance(value, str) or value not in variants:
        raise InvalidEncoding(f"{name}: expected one of {', '.join(variants)}")
    return variants[value]
