"""Flask's extensions, made once and bound to an application by the factory."""

from __future__ import annotations

from flask import request
from flask_babel import Babel
from flask_limiter import Limiter
from flask_login import LoginManager, current_user
from flask_wtf.csrf import CSRFProtect


def caller() -> str:
    """Whom a rate limit counts: the account, or the address of somebody who is not logged in."""
    if current_user.is_authenticated:
        return f"account:{current_user.id}"
    return f"address:{request.remote_addr}"


babel = Babel()
csrf = CSRFProtect()
limiter = Limiter(key_func=caller, headers_enabled=True, in_memory_fallback_enabled=True)
login_manager = LoginManager()
