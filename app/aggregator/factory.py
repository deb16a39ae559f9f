"""The aggregator as a Flask application: with its web side, or for background work only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from app.aggregator.access import PAGES, register_access
from app.aggregator.accounts.api import accounts
from app.aggregator.accounts.sessions import register_loaders
from app.aggregator.blobs import open_blob_store
from app.aggregator.cohorts.api import cohorts
from app.aggregator.consents.api import consents
from app.aggregator.devices.api import devices
from app.aggregator.extensions import csrf, limiter, login_manager
from app.aggregator.internal.api import internal
from app.aggregator.keyholder_client import KeyholderClient
from app.aggregator.openings.api import openings
from app.aggregator.pages import register_pages, render_problem
from app.aggregator.queueing import Queue
from app.aggregator.ranges.api import ranges
from app.aggregator.recordings.api import recordings
from app.aggregator.recoveries.api import recoveries
from app.aggregator.secrets import AggregatorSecrets
from app.aggregator.services import EXTENSION, Services, services
from app.aggregator.tables import db
from app.aggregator.tallies.api import tallies
from app.common.body_deadline import BodyDeadline
from app.common.database import configure_database
from app.common.health import register_health
from app.common.logs import configure_logging
from app.common.migrate import check_at_head
from app.common.problems import register_problem_handlers
from app.common.request_log import log_requests
from app.common.security_headers import page_policy, register_security_headers
from config import AggregatorConfig

MAX_BODY_BYTES = 256 << 10
"""Largest body but that of an upload, which has its own limit."""

_ROOT = Path(__file__).resolve().parents[2]
_API = (
    accounts,
    recordings,
    tallies,
    consents,
    ranges,
    openings,
    cohorts,
    devices,
    recoveries,
    internal,
)


def create_app(
    config: AggregatorConfig | None = None, keyholder: httpx.BaseTransport | None = None
) -> Flask:
    """Role A's web application; `python -m app.aggregator.init` makes its secrets and database.

    Args:
        config: the environment's by default.
        keyholder: another way to the key holder than the network, for tests.

    Raises:
        ConfigurationError: a setting cannot be used, or the role was not set up.
    """
    config = config or AggregatorConfig.from_environment()
    configure_logging("aggregator")
    app = create_background_app(config, keyholder)
    _configure(app, config, app.extensions[EXTENSION].secrets)
    log_requests(app)
    register_problem_handlers(app, _wants_page, render_problem)
    https = config.secure_cookies
    register_security_headers(app, page_policy(config.keyholder_url), https=https)
    csrf.init_app(app)
    limiter.init_app(app)
    login_manager.init_app(app)
    register_loaders(login_manager)
    register_access(app)
    for blueprint in _API:
        app.register_blueprint(blueprint)
    register_pages(app, config)
    register_health(
        app,
        {
            "database": lambda: check_at_head("aggregator", db.session.connection()),
            "blobs": lambda: services().blobs.check(),
        },
    )
    app.wsgi_app = BodyDeadline(app.wsgi_app)  # type: ignore[method-assign]
    return app


def create_background_app(
    config: AggregatorConfig | None = None, keyholder: httpx.BaseTransport | None = None
) -> Flask:
    """Database, secrets, blobs, queue and key holder, without a web side.

    For the aggregation workers and the sweeper, which work inside its `app_context()`. Arguments
    and errors as of `create_app`.
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


def _configure(app: Flask, config: AggregatorConfig, secrets: AggregatorSecrets) -> None:
    app.config.update(
        SECRET_KEY=secrets.session_key,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        SESSION_COOKIE_NAME="hushbeat",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=config.secure_cookies,
        PERMANENT_SESSION_LIFETIME=timedelta(minutes=config.session_minutes),
        # The guard of app.aggregator.access asks for the token, in the order that it needs.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        # Pages are served with `Referrer-Policy: no-referrer`.
        WTF_CSRF_SSL_STRICT=False,
        RATELIMIT_STORAGE_URI=config.ratelimit_storage_url,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    if config.trusted_proxies:
        hops = config.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
        )


def _wants_page() -> bool:
    """Whether a person sees the answer: on a page's address, or on one that does not exist."""
    if request.blueprint is not None:
        return request.blueprint == PAGES
    return (
        request.endpoint is None
        and request.accept_mimetypes.accept_html
        and (not request.path.startswith(("/api/", "/internal/")))
    )
