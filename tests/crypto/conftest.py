"""Small keys and fixed vectors for the tests of `crypto`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto import paillier
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey

SMALL_KEY_BITS = 256


@pytest.fixture(scope="session", autouse=True)
def _small_keys_are_allowed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier, "MIN_KEY_BITS", SMALL_KEY_BITS)
        yield


@pytest.fixture(scope="module", autouse=True)
def _small_keys_in_each_module() -> Iterator[None]:
    """Also when tests of other folders, with other keys, run between these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier, "MIN_KEY_BITS", SMALL_KEY_BITS)
        yield


@pytest.fixture(scope="session")
def private_key(_small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey.generate(512)


@pytest.fixture(scope="session")
def key(private_key: PrivateKey) -> PublicKey:
    return private_key.public


@pytest.fixture(scope="session")
def other_private_key(_small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey.generate(512)


@pytest.fixture(scope="session")
def mask_key() -> MaskKey:
    return MaskKey(bytes(range(32)))


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Reads a file of known answers by its name."""
    folder = Path(__file__).parent / "vectors"
    return lambda name: json.loads((folder / f"{name}.json").read_text())
