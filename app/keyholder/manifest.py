"""The manifest: every public key and parameter of the system, signed by role B."""

from __future__ import annotations

import time

from app.keyholder.keys import KeyholderKeys
from app.keyholder.public_files import PublicFile
from config import KeyholderConfig
from crypto.messages import KeyState, Manifest, PaillierEntry, SealingEntry
from crypto.slots import OPERATING_POINT


class ManifestIssuer:
    """Signs the manifest at first use, and again whenever a key in it was replaced."""

    def __init__(
        self,
        config: KeyholderConfig,
        keys: KeyholderKeys,
        statement_key: PublicFile[dict[str, str]],
        worker_keys: PublicFile[tuple[SealingEntry, dict[str, str]]],
    ) -> None:
        self._config = config
        self._keys = keys
        self._statement_key = statement_key
        self._worker_keys = worker_keys
        self._issued: tuple[object, object, str] | None = None

    def token(self) -> str:
        """The signed manifest of the keys as they are now. Raises NotSetUp."""
        statement_key, worker_keys = self._statement_key.current(), self._worker_keys.current()
        issued = self._issued
        if issued is None or issued[0] is not statement_key or issued[1] is not worker_keys:
            token = self._sign(statement_key, *worker_keys)
            issued = self._issued = (statement_key, worker_keys, token)
        return issued[2]

    def _sign(
        self, statement_key: dict[str, str], sealing: SealingEntry, report_key: dict[str, str]
    ) -> str:
        public = self._keys.paillier.public
        return Manifest(
            issued_at=int(time.time()),
            keyholder_url=self._config.public_url,
            aggregator_url=self._config.aggregator_url,
            paillier=(PaillierEntry(key_id=public.key_id, n=public.n, state=KeyState.ACTIVE),),
            sealing=sealing,
            report_key=report_key,
            statement_key=statement_key,
            operating_point=OPERATING_POINT,
        ).sign(self._keys.manifest)
