"""The inference worker's two private keys: it opens recordings and signs reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from config import ConfigurationError, InferenceConfig
from crypto.at_rest import write_private_file
from crypto.jws import SigningKey
from crypto.unsealing import SealingKey

_SEALING = "recordings.key"
_REPORT = "report-signing.key"


@dataclass(frozen=True, slots=True, repr=False)
class InferenceSecrets:
    """`sealing_key` opens recordings, `report_key` signs reports and requests to the aggregator."""

    sealing_key: SealingKey
    report_key: SigningKey

    @classmethod
    def load(cls, config: InferenceConfig) -> Self:
        """Read both. Raises ConfigurationError where one is missing or readable by others."""
        return cls(
            SealingKey.from_bytes(_read(config.secrets / _SEALING)),
            SigningKey.from_bytes(_read(config.secrets / _REPORT)),
        )

    @classmethod
    def make(cls, config: InferenceConfig) -> Self:
        """Read both, after making what is missing; a key that exists is never replaced."""
        config.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, key in ((_SEALING, SealingKey), (_REPORT, SigningKey)):
            if not (config.secrets / name).exists():
                write_private_file(config.secrets / name, key.generate().to_bytes())
        return cls.load(config)

    def __repr__(self) -> str:
        return "InferenceSecrets"


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} is readable by others: chmod 600 it.")
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} is missing: run python -m workers.inference.init."
        ) from None
