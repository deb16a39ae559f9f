"""Passwords for people who did not choose one themselves."""

from __future__ import annotations

import secrets

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_LETTERS = 5, 4


def generated_password() -> str:
    """Twenty random letters and digits in groups (99 bits), none of them easily mistaken."""
    return "-".join(
        "".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LETTERS)) for _ in range(_GROUPS)
    )
