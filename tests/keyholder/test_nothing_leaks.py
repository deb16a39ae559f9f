"""After real comparisons and openings no decrypted number is in the database or the log."""

from __future__ import annotations

from typing import Any

import pytest

from app.common.logs import configure_logging
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.comparison.session import GarblerSession, SessionOpener
from crypto.encoding import b64u, new_id
from crypto.paillier import Ciphertext
from crypto.slots import COMPARISON_SLOT_BITS, zone_bits
from tests.keyholder.comparing import SESSIONS, Comparing
from tests.keyholder.conftest import TEST_BITS
from tests.keyholder.world import DAY, Party, World

MIN_BITS = 48
"""Shorter numbers occur anywhere by chance (a bit, a count of rows)."""


def spellings(number: int) -> list[bytes]:
    """How a number could stand in a file: decimal, hex, big- and little-endian, base64url."""
    size = (number.bit_length() + 7) // 8
    big = number.to_bytes(size, "big")
    texts = (str(number), f"{number:x}", f"{number:X}", b64u(big))
    return [text.encode() for text in texts] + [big, big[::-1]]


def slots(number: int) -> list[int]:
    """The masked numbers that a plaintext packs, each as a slot and as a zone."""
    bits = number.bit_length()
    widths = (COMPARISON_SLOT_BITS, zone_bits(TEST_BITS))
    found = [number >> at & (1 << width) - 1 for width in widths for at in range(0, bits, width)]
    return [slot for slot in found if slot.bit_length() >= MIN_BITS]


@pytest.fixture
def decrypted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every number that role B decrypts from here on."""
    numbers: list[int] = []
    kind = type(world.keys.paillier)
    original = kind.decrypt

    def recording(self: Any, ciphertext: Ciphertext) -> int:
        numbers.append(original(self, ciphertext))
        return numbers[-1]

    monkeypatch.setattr(kind, "decrypt", recording)
    return numbers


def stored(world: World) -> bytes:
    folder = world.config.home / "keyholder"
    return b"".join(path.read_bytes() for path in folder.glob("*.sqlite3*"))


def test_no_decrypted_number_is_kept(
    world: World,
    owner: Party,
    doctor: Party,
    decrypted: list[int],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure_logging("keyholder")  # to the captured standard error
    caplog.set_level("DEBUG")
    tally = world.tally(owner, [(40_000, 720), (0, 1200)])
    position, comparing = RangePosition(new_id(), owner.collector), Comparing(world)
    batch = comparing.request(comparing.range(position, 600, 1000))
    comparing.finish(batch, comparing.send(batch))
    comparing.send(batch)  # the stored answer
    checked = world.ask_range(doctor, position)
    checked.value(checked.send())
    asked = world.ask(doctor, tally)
    asked.counts()
    world.client.post("/v1/openings", json=asked.body())  # refused
    public = world.keys.paillier.public
    masks = [
        world.keys.masks.total(public, owner.collector, tally.day, number) for number in (1, 2)
    ]

    secrets = [n for n in decrypted + masks if n.bit_length() >= MIN_BITS]
    # Two recordings packed in one, a range and an opening; slots and sums of them as well.
    assert len(decrypted) == 3
    secrets += [n - m for n in decrypted for m in masks if n > m]
    packed, bounds, _ = decrypted
    secrets += [slot for n in (packed, bounds) for slot in slots(n)]
    logged = capfd.readouterr()
    places = {
        "database": stored(world),
        "log": (logged.err + logged.out + caplog.text).encode(),
    }
    assert owner.collector.encode() in places["database"]
    assert b"/v1/openings" in places["log"]
    for secret in secrets:
        for spelling in spellings(secret):
            for name, content in places.items():
                assert spelling not in content, name


def test_the_halves_of_a_session_are_not_kept_in_the_clear(
    world: World, owner: Party, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Offset, seeds, storage key, labels: who had them could read A's bits off the columns."""
    sessions: list[GarblerSession] = []

    def keeping(session: GarblerSession) -> bytes:
        sessions.append(session)
        return original(session)

    original = GarblerSession.to_bytes
    monkeypatch.setattr(GarblerSession, "to_bytes", keeping)
    configure_logging("keyholder")
    opener = SessionOpener()
    answer = world.post(SESSIONS, opener.request())
    evaluator = opener.session(answer.data)
    comparing = Comparing(world)
    comparing.compare(comparing.recording(RecordingPosition(owner.collector, DAY, 1)))
    opened, direct = sessions
    assert opened.session == evaluator.session
    kept, logged = stored(world), capfd.readouterr().err.encode()
    assert comparing.session.encode() in kept
    for secret in (
        *opened.seeds,
        *direct.seeds,
        opened.offset,
        direct.offset,
        world.keys.storage.to_bytes(),
        *(seed for pair in evaluator.pairs for seed in pair),
    ):
        for place in (kept, logged):
            assert secret not in place
            assert secret.hex().encode() not in place


def test_the_log_names_no_collector_and_no_statement(
    world: World, owner: Party, doctor: Party, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("keyholder")
    world.tally(owner, [(40_000, 720)])
    world.client.get(f"/v1/manifest?who={owner.collector}")
    world.client.get(f"/v1/{doctor.collector}")
    text = capfd.readouterr().err
    assert text.count("\n") >= 3
    assert owner.collector not in text
    assert doctor.collector not in text
