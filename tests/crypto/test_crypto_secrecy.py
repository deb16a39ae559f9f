"""Secrets print as their type's name; the private halves stay where they belong."""

import ast
from pathlib import Path
from typing import Any

import pytest

import crypto
from crypto.at_rest import StorageKey
from crypto.comparison.positions import RangePosition
from crypto.comparison.reference import ReferenceInitiator
from crypto.findings import FindingInputs
from crypto.jws import CollectorKey, SigningKey
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.keyholder.reference import ReferenceResponder
from crypto.random import SeededRandom, new_seed
from crypto.slots import Counts
from crypto.unsealing import SealingKey

SOURCES = sorted(Path(crypto.__path__[0]).rglob("*.py"))


def secrets(private_key: PrivateKey) -> list[Any]:
    one = private_key.public.encrypt(1)
    return [
        private_key,
        one,
        ReferenceResponder(private_key, MaskKey.generate()),
        ReferenceInitiator(private_key.public, RangePosition("0" * 32, "1" * 32), one, new_seed()),
        MaskKey.generate(),
        SigningKey.generate(),
        CollectorKey.generate(),
        SealingKey.generate(),
        StorageKey(bytes(32)),
        SeededRandom(bytes(32), b""),
        Counts(3, 4),
    ]


def test_secrets_print_as_their_types_name(private_key: PrivateKey) -> None:
    for secret in secrets(private_key):
        name = type(secret).__name__
        assert (repr(secret), str(secret), f"{secret}", f"{[secret]}") == (
            name,
            name,
            name,
            f"[{name}]",
        )


def test_what_holds_ciphertexts_prints_no_number(private_key: PrivateKey) -> None:
    one = private_key.public.encrypt(1)
    inputs = FindingInputs(one, one)
    shown = repr((inputs, inputs.differences(private_key.public)))
    assert not any(character.isdigit() for character in shown)


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_imports_the_private_halves(path: Path) -> None:
    names = imports_of(path)
    assert not any(name.startswith("crypto.unsealing") for name in names)
    if "keyholder" not in path.parts:
        assert not any(name.startswith("crypto.keyholder") for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_logs_prints_or_draws_weak_randomness(path: Path) -> None:
    assert not imports_of(path) & {"logging", "random", "warnings", "pickle"}
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "print" not in calls
