"""The keys of a running process: the folder's, also once an operator has rotated them."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from app.common.secret_files import SecretFileError
from app.keyholder.keys.bundle import KeyholderKeys
from app.keyholder.keys.paillier import stamp
from crypto.comparison.parameters import MAX_ITEMS
from crypto.errors import CryptoError

_log = logging.getLogger(__name__)


class RunningKeys:
    """Loads the keys of `folder`, and its Paillier keys again whenever their states change.

    Raises KeyFileError or SecretFileError as `KeyholderKeys.load`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stamp = stamp(folder)
        self._keys = _ready(KeyholderKeys.load(folder))

    def current(self) -> KeyholderKeys:
        """The keys as they are now; the same object as before if nothing changed.

        What cannot be read is logged, once, and the keys stay as they were.
        """
        with self._lock:
            now = stamp(self._folder)
            if now != self._stamp:
                try:
                    self._keys = _ready(self._keys.reloaded(self._folder))
                except (CryptoError, SecretFileError, OSError) as error:
                    _log.error("the Paillier keys stay as they were: %s", error)
                else:
                    _log.info("the Paillier keys changed")
                self._stamp = now
            return self._keys


def _ready(keys: KeyholderKeys) -> KeyholderKeys:
    keys.paillier.keep_ready(MAX_ITEMS)
    return keys
