"""One attempt at one recording: lease, fetch, open, judge, encrypt, sign, report, forget."""

from __future__ import annotations

import logging
from typing import Protocol

from crypto.errors import SealBroken
from crypto.hpke import recording_info
from crypto.messages import FailedReport, Manifest, ReadableReport, Report, UnreadableReport
from crypto.slots import pack_report
from workers.inference.aggregator_client import (
    AggregatorClient,
    AggregatorRefused,
    AggregatorUnavailable,
    Lease,
)
from workers.inference.audio import AudioError
from workers.inference.judge import Judgement, Unreadable
from workers.inference.manifest import ManifestSource, ManifestUnavailable
from workers.inference.secrets import InferenceSecrets

SEAL_BROKEN = "sealed_broken"

_log = logging.getLogger(__name__)


class JudgesAudio(Protocol):
    """What `workers.inference.judge.Judge` does."""

    def judge(self, data: bytes) -> Judgement: ...


class Attempts:
    """What one worker process works with."""

    def __init__(
        self,
        secrets: InferenceSecrets,
        aggregator: AggregatorClient,
        manifests: ManifestSource,
        judge: JudgesAudio,
    ) -> None:
        self._secrets = secrets
        self._aggregator = aggregator
        self._manifests = manifests
        self._judge = judge

    def run(self, recording: str) -> None:
        """Try to judge a recording; whatever happens, the aggregator's row tells how it went on.

        Where a server cannot be reached, the lease is given back and the sweeper sends the
        recording again. An unexpected error leaves the lease to expire: a failed attempt.
        """
        try:
            manifest = self._manifests.current()
            lease = self._aggregator.lease(recording)
        except (ManifestUnavailable, AggregatorUnavailable, AggregatorRefused) as error:
            _log.warning("left for later: %s", error)
            return
        if lease is None:
            return
        try:
            report = self._report(lease, manifest)
            self._aggregator.report(lease, report.sign(self._secrets.report_key))
        except AggregatorUnavailable as error:
            _log.warning("given back: the aggregator does not answer (%s)", error)
            self._give_back(lease)
        except AggregatorRefused as error:
            _log.error("an attempt was refused: %s", error)
        except Exception:  # noqa: BLE001 - the lease runs out and the attempt counts
            _log.exception("an attempt failed")

    def _report(self, lease: Lease, manifest: Manifest) -> Report:
        common = {
            "recording": lease.recording,
            "pseudonym": lease.pseudonym,
            "lease": lease.lease,
        }
        info = recording_info(lease.recording, lease.pseudonym)
        try:
            audio = self._secrets.sealing_key.unseal(info, self._aggregator.blob(lease))
            judgement = self._judge.judge(audio)
        except SealBroken:
            return FailedReport(**common, reason=SEAL_BROKEN)
        except AudioError as error:
            return FailedReport(**common, reason=error.reason.value)
        if isinstance(judgement, Unreadable):
            return UnreadableReport(**common, reason=judgement.reason.value)
        key = manifest.active_key
        packed = pack_report(key.bits, judgement.sound, judgement.heart_rate_tenths)
        return ReadableReport(
            **common,
            model=judgement.model_id,
            key_id=key.key_id,
            findings=key.encrypt(packed).to_wire(),
        )

    def _give_back(self, lease: Lease) -> None:
        try:
            self._aggregator.release(lease)
        except (AggregatorUnavailable, AggregatorRefused):
            _log.warning("the lease could not be given back; it runs out by itself")
