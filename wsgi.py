"""The two web applications, each made on first use: `gunicorn wsgi:aggregator`, `wsgi:keyholder`.

A process serves one role and must not even import the other's code, so the factories are called
from module `__getattr__` (PEP 562) when gunicorn asks for the name.
"""

from __future__ import annotations

from flask import Flask


def __getattr__(name: str) -> Flask:
    if name == "aggregator":
        from app.aggregator.factory import create_app as create_aggregator

        return create_aggregator()
    if name == "keyholder":
        from app.keyholder.factory import create_app as create_keyholder

        return create_keyholder()
    raise AttributeError(name)
