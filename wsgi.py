"""The two web applications, each made on first use: `gunicorn wsgi:aggregator`, `wsgi:keyholder`.

A process serves one role and cannot import the other's code, so the factories are called from
module `__getattr__` (PEP 562) when gunicorn asks for the name.
"""

from __future__ import annotations

from flask import Flask

from app.common.import_guard import NOT_FOR_THE_AGGREGATOR, NOT_FOR_THE_KEYHOLDER, forbid


def __getattr__(name: str) -> Flask:
    if name == "aggregator":
        forbid(name, NOT_FOR_THE_AGGREGATOR)
        from app.aggregator.factory import create_app as create_aggregator

        return create_aggregator()
    if name == "keyholder":
        forbid(name, NOT_FOR_THE_KEYHOLDER)
        from app.keyholder.factory import create_app as create_keyholder

        return create_keyholder()
    raise AttributeError(name)
