"""Alembic's environment of both roles; the work is in app/common/migrate.py."""

from app.common.migrate import run_environment

run_environment()
