"""Role A's own secrets: files of mode 0600, made once by `python -m app.aggregator.init`."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Self

from app.common.secret_files import private_folder, publish, read_or_create, read_secret
from config import AggregatorConfig, ConfigurationError
from crypto.at_rest import StorageKey
from crypto.jws import SigningKey

_SESSION_KEY = "session-key"
_STATEMENT_KEY = "statement-key"
_STORAGE_KEY = "storage-key"


class SecretsMissing(ConfigurationError):
    """The role was not set up: run `python -m app.aggregator.init`."""


@dataclass(frozen=True, slots=True, repr=False)
class AggregatorSecrets:
    """What role A signs and seals with. None of it opens a recording, a result or a tally.

    Attributes:
        session_key: signs session cookies and CSRF tokens.
        statement_key: signs statements, enrolments and requests to the key holder.
        storage_key: seals the seeds of comparisons in A's own database.
    """

    session_key: bytes
    statement_key: SigningKey
    storage_key: StorageKey

    @classmethod
    def load(cls, config: AggregatorConfig) -> Self:
        """The secrets made before. Raises SecretsMissing, or SecretFileError for a lax mode."""
        try:
            return cls(
                session_key=read_secret(config.secrets / _SESSION_KEY),
                statement_key=SigningKey.from_bytes(read_secret(config.secrets / _STATEMENT_KEY)),
                storage_key=StorageKey(read_secret(config.secrets / _STORAGE_KEY)),
            )
        except FileNotFoundError as error:
            raise SecretsMissing(
                f"{error.filename} is missing: run python -m app.aggregator.init"
            ) from None

    @classmethod
    def create(cls, config: AggregatorConfig) -> Self:
        """Makes what is missing, publishes the statement key's public half, and loads all."""
        # The database lies beside the secrets and is nobody else's to read either.
        private_folder(config.secrets.parent)
        read_or_create(config.secrets / _SESSION_KEY, lambda: secrets.token_bytes(32))
        read_or_create(config.secrets / _STATEMENT_KEY, lambda: SigningKey.generate().to_bytes())
        read_or_create(config.secrets / _STORAGE_KEY, lambda: secrets.token_bytes(32))
        made = cls.load(config)
        jwk = json.dumps(made.statement_key.public_jwk)
        publish(config.home / "public" / "aggregator.json", jwk.encode() + b"\n")
        return made

    def __repr__(self) -> str:
        return "AggregatorSecrets"
