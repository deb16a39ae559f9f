"""What this machine is called on its network, found without sending anything."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from ipaddress import IPv4Address

_SIOCGIFADDR = 0x8915  # "get interface address", linux/sockios.h
_SOMEWHERE_ELSE = ("198.51.100.1", 9)  # an address for documentation, RFC 5737
_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"(?!\d+(\.\d+)*$){_LABEL}(\.{_LABEL})*")


class NotThisMachine(Exception):
    """A name or address does not lead to this machine; the message says what does."""


def default_address() -> str:
    """The address of the default route's interface; without one the last of the host names."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket chooses the way; no packet leaves.
            probe.connect(_SOMEWHERE_ELSE)
        except OSError:
            return (host_names() or ["localhost"])[-1]
        return str(probe.getsockname()[0])


def host_names() -> list[str]:
    """The host name and the name that it has by multicast DNS."""
    name = socket.gethostname().lower()
    names = [name, f"{name.partition('.')[0]}.local"]
    return [one for one in names if _NAME.fullmatch(one) and one != "localhost.local"]


def addresses() -> list[str]:
    """The first IPv4 address of every interface that has one."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, interface in socket.if_nameindex():
            request = struct.pack("256s", interface.encode()[:15])
            try:
                answer = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue  # it has none
            found.append(str(IPv4Address(answer[20:24])))
    return found


def require_own(name: str) -> None:
    """Raises NotThisMachine unless this machine finds itself under a name or IPv4 address.

    Where it does not, its own workers would not either.
    """
    try:
        IPv4Address(name)
    except ValueError:
        if not _NAME.fullmatch(name):
            raise NotThisMachine(f"{name!r} is neither a host name nor an IPv4 address.") from None
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    except OSError:
        found = set()
    if not any(_is_here(address) for address in found):
        raise NotThisMachine(
            f"{name} does not lead to this machine, whose addresses are {', '.join(addresses())}. "
            "A name must also be known here, for instance in /etc/hosts."
        )


def _is_here(address: str) -> bool:
    if IPv4Address(address).is_unspecified or IPv4Address(address).is_multicast:
        return False
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
