"""Names and addresses of this machine."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import pytest

from deploy.local import network
from deploy.local.network import NotThisMachine


def test_its_own_names_and_addresses_are_found() -> None:
    assert "127.0.0.1" in network.addresses()
    for name in ("localhost", "127.0.0.1", *network.addresses()):
        network.require_own(name)
    network.require_own(network.default_address())


@pytest.mark.parametrize(
    "name", ["", "1", "0.0.0.0", "198.51.100.77", "224.0.0.1", "300.1.1.1", "::1", "*.local", "a b"]
)
def test_what_does_not_lead_here_is_refused(name: str) -> None:
    with pytest.raises(NotThisMachine):
        network.require_own(name)


def test_names_are_those_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, names in {
        "Ward": ["ward", "ward.local"],
        "ward.clinic.example": ["ward.clinic.example", "ward.local"],
        "localhost": ["localhost"],
        "not_a_name": [],
    }.items():
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        assert network.host_names() == names


def test_without_a_route_the_host_name_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert IPv4Address(network.default_address())

    def unreachable(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "gethostname", lambda: "ward")
    assert network.default_address() == "ward.local"
