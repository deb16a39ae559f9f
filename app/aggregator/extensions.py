"""Flask's extensions, made once and bound to an application by the factory."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

from flask import request
from flask_babel import Babel
from flask_limiter import Limiter
from flask_login import LoginManager, current_user
from flask_wtf.csrf import CSRFProtect

_IPV6_NETWORK_BITS = 64


def caller() -> str:
    """Whom a rate limit counts: the account, or the address of somebody who is not logged in."""
    if current_user.is_authenticated:
        return f"account:{current_user.id}"
    return f"address:{caller_address()}"


def caller_address() -> str:
    """Where the request comes from, as far as one person can choose it: an IPv6 network of 64 bits.

    A home or a rented machine has a whole such network, and would else have as many addresses as
    it likes.
    """
    try:
        address = ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _IPV6_NETWORK_BITS), strict=False))


babel = Babel()
csrf = CSRFProtect()
limiter = Limiter(key_func=caller, headers_enabled=True, in_memory_fallback_enabled=True)
login_manager = LoginManager()
