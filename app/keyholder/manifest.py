"""The manifest: every public key and parameter of the system, signed by role B."""

from __future__ import annotations

import time

from app.keyholder.keys import KeyholderKeys
from app.keyholder.keys.running import RunningKeys
from app.keyholder.public_files import PublicFile
from config import KeyholderConfig
from crypto.messages import Manifest, PaillierEntry, SealingEntry
from crypto.slots import OPERATING_POINT


class ManifestIssuer:
    """Signs the manifest at first use, and again whenever a key in it was replaced."""

    def __init__(
        self,
        config: KeyholderConfig,
        keys: RunningKeys,
        statement_key: PublicFile[dict[str, str]],
        worker_keys: PublicFile[tuple[SealingEntry, dict[str, str]]],
    ) -> None:
        self._config = config
        self._keys = keys
        self._statement_key = statement_key
        self._worker_keys = worker_keys
        self._issued: tuple[tuple[object, object, object], str] | None = None

    def token(self) -> str:
        """The signed manifest of the keys as they are now. Raises NotSetUp."""
        keys = self._keys.current()
        statement_key, worker_keys = self._statement_key.current(), self._worker_keys.current()
        parts = keys, statement_key, worker_keys
        issued = self._issued
        if issued is None or any(a is not b for a, b in zip(issued[0], parts, strict=True)):
            issued = self._issued = (parts, self._sign(keys, statement_key, *worker_keys))
        return issued[1]

    def _sign(
        self,
        keys: KeyholderKeys,
        statement_key: dict[str, str],
        sealing: SealingEntry,
        report_key: dict[str, str],
    ) -> str:
        return Manifest(
            issued_at=int(time.time()),
            keyholder_url=self._config.public_url,
            aggregator_url=self._config.aggregator_url,
            paillier=tuple(
                PaillierEntry(
                    key_id=one.private.public.key_id, n=one.private.public.n, state=one.state
                )
                for one in keys.all_paillier
            ),
            sealing=sealing,
            report_key=report_key,
            statement_key=statement_key,
            operating_point=OPERATING_POINT,
        ).sign(keys.manifest)
