"""Fixtures that every part of the tests may use."""

from tests.support.fixtures import postgres_url, redis_url, running_system

__all__ = ["postgres_url", "redis_url", "running_system"]
