"""The key holder's web application."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint, Flask, jsonify
from flask.typing import ResponseReturnValue

from app.common.body_deadline import BodyDeadline
from app.common.database import configure_database
from app.common.health import register_health
from app.common.logs import configure_logging
from app.common.migrate import check_at_head
from app.common.problems import register_problem_handlers
from app.common.request_log import log_requests
from app.common.security_headers import API_POLICY, register_security_headers
from app.keyholder import (
    cohorts,
    comparisons,
    devices,
    enrolment,
    grants,
    moves,
    openings,
    recoveries,
    rosters,
)
from app.keyholder.context import Keyholder, keyholder
from app.keyholder.cors import register_cors
from app.keyholder.keys.running import RunningKeys
from app.keyholder.log import api as log
from app.keyholder.manifest import ManifestIssuer
from app.keyholder.public_files import statement_key_file, worker_keys_file
from app.keyholder.tables import db
from config import KeyholderConfig

MAX_BODY_BYTES = 16 << 10
"""Largest body of an enrolment, a grant or a revocation; the other views set their own."""

_SELF_TEST_SECONDS = 60

manifest = Blueprint("manifest", __name__)


@manifest.get("/v1/manifest")
def show_manifest() -> ResponseReturnValue:
    b = keyholder()
    return jsonify(manifest=b.manifest.token(), key=b.keys.manifest.public_jwk)


def create_app(config: KeyholderConfig | None = None) -> Flask:
    """Role B as configured; its keys and database are made by `python -m app.keyholder.init`.

    Raises KeyFileError or SecretFileError: the keys cannot be loaded.
    """
    config = config or KeyholderConfig.from_environment()
    configure_logging("keyholder")
    app = Flask("keyholder", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    configure_database(app, db, config.database_url)

    keys = RunningKeys(config.secrets)
    statement_key = statement_key_file(config)
    issuer = ManifestIssuer(config, keys, statement_key, worker_keys_file(config))
    Keyholder(config, keys, statement_key, issuer).attach(app)

    log_requests(app)
    register_problem_handlers(app)
    register_security_headers(app, API_POLICY, https=config.public_url.startswith("https://"))
    for_collectors = (
        manifest,
        enrolment.blueprint,
        devices.blueprint,
        recoveries.blueprint,
        log.blueprint,
        grants.blueprint,
        openings.blueprint,
        rosters.blueprint,
        cohorts.blueprint,
    )
    for blueprint in (
        *for_collectors,
        comparisons.blueprint,
        moves.blueprint,
        cohorts.for_aggregator,
    ):
        app.register_blueprint(blueprint)
    register_cors(app, config.aggregator_url, frozenset(b.name for b in for_collectors))
    register_health(
        app,
        {
            "database": _check_database,
            "keys": _now_and_then(lambda: keys.current().self_test()),
            "public_keys": issuer.token,
        },
    )
    app.wsgi_app = BodyDeadline(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _check_database() -> None:
    check_at_head("keyholder", db.session.connection())


def _now_and_then(check: Callable[[], object]) -> Callable[[], None]:
    """The check at most once a minute: anybody may ask, and it computes for a while."""
    passed_at = float("-inf")

    def run() -> None:
        nonlocal passed_at
        if time.monotonic() - passed_at > _SELF_TEST_SECONDS:
            check()
            passed_at = time.monotonic()

    return run
