"""Collectors for the tests; the servers are real (tests/support) or a MockTransport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.small_keys import small_keys


@pytest.fixture(autouse=True, scope="module")
def _small_keys() -> Iterator[None]:
    with small_keys():
        yield
