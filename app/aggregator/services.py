"""What the aggregator's code reaches for, made once a process and kept on the application."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from app.aggregator.blobs import BlobStore
from app.aggregator.keyholder_client import KeyholderClient
from app.aggregator.queueing import Queue
from app.aggregator.secrets import AggregatorSecrets
from config import AggregatorConfig

EXTENSION = "hushbeat"


@dataclass(frozen=True, slots=True)
class Services:
    """The aggregator's surroundings."""

    config: AggregatorConfig
    secrets: AggregatorSecrets
    blobs: BlobStore
    queue: Queue
    keyholder: KeyholderClient


def services() -> Services:
    """Those of the current application."""
    found: Services = current_app.extensions[EXTENSION]
    return found
