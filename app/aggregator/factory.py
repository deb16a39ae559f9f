"""The aggregator as a Flask application: with its web side, or for background work only."""

from __future__ import annotations

from pathlib import Path

import httpx
from flask import Flask

from app.aggregator.blobs import open_blob_store
from app.aggregator.keyholder_client import KeyholderClient
from app.aggregator.queueing import Queue
from app.aggregator.secrets import AggregatorSecrets
from app.aggregator.services import EXTENSION, Services
from app.aggregator.tables import db
from app.common.database import configure_database
from config import AggregatorConfig

_ROOT = Path(__file__).resolve().parents[2]


def create_background_app(
    config: AggregatorConfig | None = None, keyholder: httpx.BaseTransport | None = None
) -> Flask:
    """Database, secrets, blobs, queue and key holder, without a web side.

    For the aggregation workers and the sweeper: work inside its `app_context()`.

    Args:
        config: the environment's by default.
        keyholder: another way to the key holder than the network, for tests.
    """
    config = config or AggregatorConfig.from_environment()
    app = Flask(
        "app.aggregator",
        template_folder=str(_ROOT / "templates"),
        static_folder=str(_ROOT / "app" / "static"),
    )
    configure_database(app, db, config.database_url)
    secrets = AggregatorSecrets.load(config)
    app.extensions[EXTENSION] = Services(
        config=config,
        secrets=secrets,
        blobs=open_blob_store(config.blob_url),
        queue=Queue(config.broker_url),
        keyholder=KeyholderClient(config, secrets.statement_key, keyholder),
    )
    return app
