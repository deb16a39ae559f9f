"""The one task of queue `inference`."""

from __future__ import annotations

from config import InferenceConfig
from workers.inference.aggregator_client import AggregatorClient
from workers.inference.attempt import Attempts
from workers.inference.celery import app
from workers.inference.judge import Judge
from workers.inference.manifest import ManifestSource
from workers.inference.secrets import InferenceSecrets
from workers.readiness import load_in_children
from workers.sighting import keep_sighted, worker_name

HARD_LIMIT_SECONDS = 50
"""Then the process is killed, before its lease (config.LEAST_LEASE_SECONDS at least) runs out."""

_attempts: Attempts | None = None


@app.task(name="hushbeat.inference.judge", time_limit=HARD_LIMIT_SECONDS)  # type: ignore[untyped-decorator]
def judge(recording_id: str) -> None:
    """Judge one recording. The message is a hint; a lease on the row decides who works."""
    if _attempts is None:
        raise RuntimeError("Tasks run in a pool process, where the models are loaded.")
    _attempts.run(recording_id)


def _load() -> None:
    global _attempts
    config = InferenceConfig.from_environment()
    secrets = InferenceSecrets.load(config)
    aggregator = AggregatorClient(
        config.aggregator_url, secrets.report_key, config.max_upload_bytes
    )
    manifests = ManifestSource(config.keyholder_url, config.fingerprint_file)
    _attempts = Attempts(secrets, aggregator, manifests, Judge.load())
    name = worker_name("inference")
    keep_sighted(lambda: aggregator.sighted(name, ready=True))


load_in_children(_load)
