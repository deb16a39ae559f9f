"""Sets role B up, as often as one likes: `python -m app.keyholder.init`.

Makes the keys (once), publishes the manifest key's fingerprint, brings the database up to date.
"""

from __future__ import annotations

import logging
import sys

from app.common.logs import configure_logging
from app.common.migrate import upgrade
from app.common.secret_files import publish
from app.keyholder.keys import KeyholderKeys, renew_storage_key
from config import KeyholderConfig
from crypto.errors import KeyFileError
from crypto.jws import fingerprint

_log = logging.getLogger(__name__)


def initialise(config: KeyholderConfig) -> None:
    """Brings everything that role B needs of its own to where it should be.

    Keys that this version cannot use end it before the database is changed.

    Raises:
        KeyFileError: see `KeyholderKeys.load`.
    """
    if not config.secrets.exists():
        KeyholderKeys.generate().save(config.secrets)
        _log.info("made the key holder's keys")
    renew_storage_key(config.secrets)
    keys = KeyholderKeys.load(config.secrets)
    publish(config.fingerprint_file, fingerprint(keys.manifest.public_jwk).encode() + b"\n")
    upgrade("keyholder", config.database_url)


if __name__ == "__main__":
    configure_logging("keyholder")
    try:
        initialise(KeyholderConfig.from_environment())
    except KeyFileError as error:
        sys.exit(str(error))
