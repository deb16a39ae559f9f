"""A running role refuses to import what it must never hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
from app.common.import_guard import NOT_FOR_THE_{role} as names, forbid
forbid("{role}", names)
import {module}
"""


def _import_as(role: str, module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(role=role, module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("role", "module"),
    [
        ("AGGREGATOR", "crypto.keyholder"),
        ("AGGREGATOR", "crypto.keyholder.private_key"),
        ("AGGREGATOR", "crypto.unsealing"),
        ("AGGREGATOR", "app.keyholder.tables"),
        ("KEYHOLDER", "app.aggregator.tables"),
        ("KEYHOLDER", "crypto.unsealing"),
    ],
)
def test_a_role_cannot_import_what_it_must_never_hold(role: str, module: str) -> None:
    done = _import_as(role, module)
    assert done.returncode == 1
    assert "must never import" in done.stderr


@pytest.mark.parametrize(
    ("role", "module"),
    [("AGGREGATOR", "app.aggregator.tables"), ("KEYHOLDER", "crypto.keyholder.private_key")],
)
def test_a_role_can_import_its_own(role: str, module: str) -> None:
    assert _import_as(role, module).returncode == 0


def test_what_is_already_imported_is_noticed() -> None:
    script = "import crypto.keyholder\n" + SCRIPT.format(role="AGGREGATOR", module="crypto")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "but already has" in done.stderr
