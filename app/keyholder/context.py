"""What the views of role B share: the settings, the keys and the files of the others' keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from app.keyholder.keys import KeyholderKeys
from app.keyholder.keys.running import RunningKeys
from app.keyholder.manifest import ManifestIssuer
from app.keyholder.public_files import PublicFile
from config import KeyholderConfig

_NAME = "hushbeat-keyholder"


@dataclass(frozen=True)
class Keyholder:
    """The parts of one running key holder."""

    config: KeyholderConfig
    running_keys: RunningKeys
    statement_key: PublicFile[dict[str, str]]
    manifest: ManifestIssuer

    @property
    def keys(self) -> KeyholderKeys:
        """The keys as they are now."""
        return self.running_keys.current()

    def attach(self, app: Flask) -> None:
        """Makes this the key holder of `app`."""
        app.extensions[_NAME] = self


def keyholder() -> Keyholder:
    """The key holder of the current request."""
    return cast(Keyholder, current_app.extensions[_NAME])
