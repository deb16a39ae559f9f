"""Makes a process unable to import what its role must never hold.

import-linter keeps the source code to the rules; this keeps a running process to them, whatever a
dependency or a later change tries.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NOT_FOR_THE_AGGREGATOR = ("app.keyholder", "crypto.keyholder", "crypto.unsealing")
NOT_FOR_THE_KEYHOLDER = ("app.aggregator", "crypto.unsealing")


class ForbiddenImport(ImportError):
    """This role must never import that module."""


class _Guard(MetaPathFinder):
    def __init__(self, role: str, forbidden: Sequence[str]) -> None:
        self._role = role
        self._forbidden = tuple(forbidden)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the signature is importlib's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        for name in self._forbidden:
            if fullname == name or fullname.startswith(f"{name}."):
                raise ForbiddenImport(f"The {self._role} must never import {fullname}.")
        return None


def forbid(role: str, forbidden: Sequence[str]) -> None:
    """From now on this process refuses to import these modules.

    Raises:
        ForbiddenImport: one of them is already imported.
    """
    for name in forbidden:
        if name in sys.modules:
            raise ForbiddenImport(f"The {role} must never import {name}, but already has.")
    sys.meta_path.insert(0, _Guard(role, forbidden))
