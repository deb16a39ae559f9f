"""Fields of signed messages: one codec a kind of value, strict in both directions.

A message class declares its fields once, `name: Annotated[type, codec]` or one of the aliases at
the end; `to_record` and `from_record` do the rest: exactly these names, each value of exactly this
kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

from crypto.encoding import b64u, check_day, check_hash, check_id, unb64u
from crypto.errors import InvalidEncoding
from crypto.hpke import check_public_key
from crypto.jws import check_collector_jwk, check_public_jwk
from crypto.paillier import MAX_KEY_BITS, modulus_from_text

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

MAX_TIME = 1 << 40
MAX_LIST = 1 << 12


@dataclass(frozen=True)
class Codec:
    """How a field is read from JSON (raising InvalidEncoding) and written to it."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


def to_record(message: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values."""
    codecs = _codecs(type(message))
    return {name: codec.write(getattr(message, name)) for name, codec in codecs.items()}


def from_record(cls: type[T], record: object) -> T:
    """A dataclass from JSON values. Raises InvalidEncoding naming the field."""
    codecs = _codecs(cls)
    if not isinstance(record, Mapping) or set(record) != set(codecs):
        raise InvalidEncoding(f"expected exactly the fields {', '.join(sorted(codecs))}")
    return cls(**{name: _read(name, codec, record[name]) for name, codec in codecs.items()})


def _find_codecs(cls: type[Any]) -> dict[str, Codec]:
    hints = get_type_hints(cls, include_extras=True).items()
    return {name: hint.__metadata__[0] for name, hint in hints if get_origin(hint) is Annotated}


_codecs: Callable[[Any], dict[str, Codec]] = cache(_find_codecs)
"""Of a message class, found once: one opening reads a record for every cell."""


def _read(name: str, codec: Codec, value: object) -> Any:
    try:
        return codec.read(value)
    except InvalidEncoding as error:
        raise InvalidEncoding(f"{name}: {error}") from error


def integer(low: int, high: int) -> Codec:
    """An integer in [low, high]; neither true nor 1.0 is one."""

    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise InvalidEncoding(f"expected an integer from {low} to {high}")
        return value

    return Codec(read)


def text(longest: int) -> Codec:
    """1 to `longest` printable characters."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            raise InvalidEncoding(f"expected 1 to {longest} printable characters")
        return value

    return Codec(read)


def one_of(kind: type[E]) -> Codec:
    """A member of an enumeration, by its value."""

    def read(value: object) -> E:
        if not isinstance(value, str):
            raise InvalidEncoding("expected text")
        try:
            return kind(value)
        except ValueError as error:
            raise InvalidEncoding(f"expected one of {', '.join(kind)}") from error

    return Codec(read, str)


def constant(expected: str | int) -> Codec:
    """A field that can have one value only."""

    def read(value: object) -> str | int:
        if type(value) is not type(expected) or value != expected:
            raise InvalidEncoding(f"expected {expected}")
        return expected

    return Codec(read)


def octets(longest: int) -> Codec:
    """1 to `longest` bytes as base64url."""

    def read(value: object) -> bytes:
        if not isinstance(value, str) or not 0 < len(value) <= (4 * longest + 2) // 3:
            raise InvalidEncoding(f"expected 1 to {longest} bytes as base64url")
        return unb64u(value)

    return Codec(read, b64u)


def record(cls: type[Any]) -> Codec:
    """A nested object."""
    return Codec(lambda value: from_record(cls, value), to_record)


def sequence(item: Codec, longest: int = MAX_LIST) -> Codec:
    """A list of 1 to `longest` items, as a tuple."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not 0 < len(value) <= longest:
            raise InvalidEncoding(f"expected a list of 1 to {longest}")
        return tuple(item.read(entry) for entry in value)

    return Codec(read, lambda values: [item.write(value) for value in values])


def pair(first: Codec, second: Codec) -> Codec:
    """A list of two."""

    def read(value: object) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidEncoding("expected a list of two")
        return first.read(value[0]), second.read(value[1])

    return Codec(read, lambda value: [first.write(value[0]), second.write(value[1])])


def _thumbprint(value: object) -> str:
    if not isinstance(value, str) or len(unb64u(value)) != 32:
        raise InvalidEncoding("expected an RFC 7638 thumbprint")
    return value


def _x25519(value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidEncoding("expected an X25519 public key as base64url")
    return check_public_key(unb64u(value))


def _write_modulus(n: int) -> str:
    return b64u(n.to_bytes((n.bit_length() + 7) // 8, "big"))


DAY = Codec(check_day)
Identifier = Annotated[str, Codec(check_id)]
Hash = Annotated[str, Codec(check_hash)]
Time = Annotated[int, integer(0, MAX_TIME)]
Thumbprint = Annotated[str, Codec(_thumbprint)]
SealingPublicKey = Annotated[bytes, Codec(_x25519, b64u)]
PublicJwk = Annotated[dict[str, str], Codec(check_public_jwk)]
CollectorJwk = Annotated[dict[str, str], Codec(check_collector_jwk)]
Modulus = Annotated[int, Codec(modulus_from_text, _write_modulus)]
CiphertextBytes = Annotated[bytes, octets(MAX_KEY_BITS // 4)]
