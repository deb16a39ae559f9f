"""Role A's side of the comparisons, as the tests of the key holder play it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from werkzeug.test import TestResponse

from app.common.database import in_transaction
from app.keyholder.sessions import add_session
from app.keyholder.tables import db
from crypto.comparison.base_transfer import SEED_BYTES, TRANSFERS
from crypto.comparison.batches import BatchName
from crypto.comparison.blocks import BLOCK_BYTES
from crypto.comparison.fast import Checked, Counted, FastInitiator, Item
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.comparison.session import EvaluatorSession, GarblerSession
from crypto.encoding import new_id
from crypto.slots import join, pack_range, pack_report, zone_bits

if TYPE_CHECKING:
    from tests.keyholder.world import World

BATCHES = "/v1/comparisons"
SESSIONS = "/v1/comparison-sessions"


def session_pair() -> tuple[EvaluatorSession, GarblerSession]:
    """Both sides' halves of a session as base transfers leave them, without their second."""
    name = new_id()
    offset = bytearray(secrets.token_bytes(BLOCK_BYTES))
    offset[0] |= 1
    pairs = tuple(
        (secrets.token_bytes(SEED_BYTES), secrets.token_bytes(SEED_BYTES)) for _ in range(TRANSFERS)
    )
    seeds = tuple(pair[offset[i // 8] >> i % 8 & 1] for i, pair in enumerate(pairs))
    return EvaluatorSession(name, pairs), GarblerSession(name, bytes(offset), seeds)


class Comparing:
    """A session with the key holder of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.evaluator, garbler = session_pair()
        with world.app.app_context():
            in_transaction(db, lambda: add_session(garbler))
        self._initiator = FastInitiator(world.keys.paillier.public, self.evaluator)
        self._numbers = count()

    @property
    def session(self) -> str:
        return self.evaluator.session

    def recording(self, position: RecordingPosition, score: int = 0, rate: int = 720) -> Item:
        """A recording, held against threshold 32768 and 60 to 100 bpm."""
        key = self.world.keys.paillier.public
        report = key.encrypt(pack_report(key.bits, score, rate))
        bounds = key.encrypt(pack_range(key.bits, 32_768, 600, 1000))
        return Item(position, report.add(bounds.negated()))

    def range(self, position: RangePosition, lo: int, hi: int, threshold: int = 32_768) -> Item:
        """A proposed range, valid or not."""
        key = self.world.keys.paillier.public
        packed = join([threshold, lo, hi + 1], zone_bits(key.bits))
        return Item(position, key.encrypt(packed))

    def request(
        self, *items: Item, number: int | None = None, settled: Sequence[BatchName] = ()
    ) -> bytes:
        """A batch under the next number, or under this one."""
        batch = next(self._numbers) if number is None else number
        return self._initiator.request(batch, items, settled)

    def send(self, request: bytes) -> TestResponse:
        return self.world.post(BATCHES, request)

    def finish(self, request: bytes, answer: TestResponse) -> list[Counted | Checked]:
        assert answer.status_code == 200, answer.text
        return self._initiator.finish(request, answer.data)

    def compare(self, *items: Item) -> list[Counted | Checked]:
        """The whole round trip."""
        request = self.request(*items)
        return self.finish(request, self.send(request))
