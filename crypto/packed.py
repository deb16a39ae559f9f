"""Strict reading of msgpack messages between the two servers: exact fields, bounded sizes."""

from typing import Any

import msgpack

from crypto.encoding import object_without_repeats
from crypto.errors import InvalidEncoding


def pack(message: dict[str, Any]) -> bytes:
    """The message as msgpack."""
    packed: bytes = msgpack.packb(message)
    return packed


def read_map(
    data: bytes, version: int, *names: str, max_bytes: int, max_items: int
) -> dict[str, Any]:
    """The map of msgpack with exactly `v`, which is this version, and these names.

    Args:
        max_bytes: the longest message.
        max_items: the longest array in it.

    Raises:
        InvalidEncoding: anything else.
    """
    value = _unpack(data, max_bytes, max_items)
    if not isinstance(value, dict) or set(value) != {"v", *names}:
        raise InvalidEncoding(f"expected a map with exactly v, {', '.join(names)}")
    if type(value["v"]) is not int or value["v"] != version:
        raise InvalidEncoding(f"expected version {version} of this message")
    return value


def expect_bin(value: Any, length: int | None = None) -> bytes:
    """The value itself if it is bin, of that length; else InvalidEncoding."""
    if not isinstance(value, bytes) or length not in (None, len(value)):
        raise InvalidEncoding("expected bin" + (f" of {length} bytes" if length else ""))
    return value


def expect_list(value: Any) -> list[Any]:
    """The value itself if it is an array, else InvalidEncoding."""
    if not isinstance(value, list):
        raise InvalidEncoding("expected an array")
    return value


def _unpack(data: bytes, max_bytes: int, max_items: int) -> Any:
    if not isinstance(data, bytes) or len(data) > max_bytes:
        raise InvalidEncoding(f"expected at most {max_bytes} bytes of msgpack")
    try:
        return msgpack.unpackb(
            data,
            strict_map_key=True,
            object_pairs_hook=object_without_repeats,
            max_array_len=max_items,
            max_map_len=16,
            max_str_len=64,
            max_bin_len=max_bytes,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise InvalidEncoding("not msgpack of this protocol") from error
