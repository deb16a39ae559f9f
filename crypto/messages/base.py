"""What every signed message can do: sign, verify, expire."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from crypto import jws
from crypto.errors import Expired, InvalidEncoding
from crypto.webauthn import CLOCK_LEEWAY, PinnedKey
from crypto.webauthn import verify as verify_collector
from crypto.wire import from_record, to_record

M = TypeVar("M")


class SignedMessage:
    """What all messages can do. Subclasses declare TYP and their fields."""

    TYP: ClassVar[str]
    LIFETIME: ClassVar[int | None] = None
    """The longest time from `iat` to `exp` in seconds, for messages that expire."""
    MAX_AGE: ClassVar[int | None] = None
    """How long after its `iat` a message may arrive, in seconds, for messages without `exp`."""

    def to_payload(self) -> dict[str, Any]:
        """The JSON object that is signed."""
        return to_record(self)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """The message of a JSON object. Raises InvalidEncoding unless it is exactly one."""
        return from_record(cls, payload)

    def sign(self, key: jws.Signer) -> str:
        """The message as a JWS. Raises InvalidEncoding for one that no verifier would take."""
        payload = self.to_payload()
        self.from_payload(payload)
        return key.sign(self.TYP, payload)

    @classmethod
    def verify(cls, token: str, key: Mapping[str, Any] | PinnedKey, now: float) -> Self:
        """The message of a JWS, at the time `now` (seconds since 1970).

        Args:
            key: a server's public JWK, or the pinned key of a collector.

        Raises:
            InvalidEncoding, WrongType, BadSignature: see `jws.verify`, `webauthn.verify`.
            Expired: past its `exp` or too old, issued in the future, or valid for longer than
                allowed; or not of the time of the passkey's session that it was signed in.
        """
        certificate = None
        if isinstance(key, PinnedKey):
            payload, certificate = verify_collector(token, cls.TYP, key)
        else:
            payload = jws.verify(token, cls.TYP, key)
        message = cls.from_payload(payload)
        message._check_time(now)
        if certificate is not None:
            certificate.check_time(message._signed_at(now))
        return message

    @classmethod
    def claimed(cls, token: str) -> Self:
        """The message with its signature NOT checked: whose key to ask for, nothing else."""
        return cls.from_payload(jws.claimed_payload(token, cls.TYP))

    def _check_time(self, now: float) -> None:
        if self.MAX_AGE is not None:
            self._check_age(now, self.MAX_AGE)
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

    def _check_age(self, now: float, longest: int) -> None:
        iat: int = self.iat  # type: ignore[attr-defined]
        if now >= iat + longest:
            raise Expired("signed too long ago: sign it anew")
        if iat > now + CLOCK_LEEWAY:
            raise Expired("issued in the future: compare the clocks of the two machines")

    def _signed_at(self, now: float) -> float:
        """When it was signed, as far as can be known: what is kept for later says so itself."""
        at: float = getattr(self, "iat", now)
        return at


def variant_of(cls: type[M], payload: Mapping[str, Any], name: str) -> type[M]:
    """The subclass that a payload's discriminator names; a subclass reads itself only."""
    variants = {getattr(variant, name): variant for variant in cls.__subclasses__()}
    if not variants:
        return cls
    value = payload.get(name)
    if not isinstance(value, str) or value not in variants:
        raise InvalidEncoding(f"{name}: expected one of {', '.join(variants)}")
    return variants[value]
