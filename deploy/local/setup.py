"""Keys, public files and tables of every role, made once and again after an upgrade."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.roles import SETUP_STEPS
from deploy.local.supervisor import ROOT


class SetupFailed(Exception):
    """A set-up command failed; the message holds the end of what it said."""


def set_up(
    home: Path, python: Sequence[str], environment: Callable[[str], Mapping[str, str]]
) -> bool:
    """Run every role's `init` unless nothing has changed since they last ran; True if they ran."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = home / "set-up.json"
    wanted = _state(environment)
    if stamp.exists() and stamp.read_text() == wanted and _secrets_exist(home):
        return False
    for role, module in SETUP_STEPS:
        done = subprocess.run(
            [*python, "-m", module],
            cwd=ROOT,
            env=dict(environment(role)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            # Ctrl-C must not leave a half-made key behind; the caller stops after this step.
            start_new_session=True,
        )
        if done.returncode:
            raise SetupFailed(f"{module} failed ({done.returncode}):\n{done.stdout[-3000:]}")
    stamp.write_text(wanted)
    return True


def _state(environment: Callable[[str], Mapping[str, str]]) -> str:
    """What the set-up depends on: migrations, set-up code and where the databases are."""
    digest = hashlib.sha256()
    sources = [*ROOT.glob("migrations/*/versions/*.py")]
    sources += [ROOT.joinpath(*module.split(".")).with_suffix(".py") for _, module in SETUP_STEPS]
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for role, _ in SETUP_STEPS:
        settings = environment(role)
        for name in ("DATABASE_URL", "AGGREGATOR_URL", "KEYHOLDER_URL"):
            digest.update(f"{role} {name}={settings.get(name, '')}\0".encode())
    return json.dumps({"sha256": digest.hexdigest()}) + "\n"


def _secrets_exist(home: Path) -> bool:
    return all(
        (home / role / "secrets").is_dir() and any((home / role / "secrets").iterdir())
        for role, _ in SETUP_STEPS
    )
