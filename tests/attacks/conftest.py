from __future__ import annotations

import pytest

from crypto.messages import CollectorKind
from crypto.slots import Counts
from tests.attacks.thief import Thief
from tests.keyholder.conftest import (  # noqa: F401
    config,
    keys,
    make_world,
    small_keys,
    statement_key,
    world,
)
from tests.keyholder.world import Party, Tally, World

COUNTS = Counts(sound=2, rate=1)


@pytest.fixture
def victim(world: World) -> Party:  # noqa: F811
    return world.enrolled(CollectorKind.PATIENT)


@pytest.fixture
def tally(world: World, victim: Party) -> Tally:  # noqa: F811
    """Three recordings of the victim's day."""
    return world.tally_of(victim, 3, COUNTS)


@pytest.fixture
def thief(world: World) -> Thief:  # noqa: F811
    return Thief(world)
