"""After real comparisons and openings no decrypted number is in the database or the log."""

from __future__ import annotations

from typing import Any

import pytest

from app.common.logs import configure_logging
from crypto.comparison.messages import RangePosition
from crypto.encoding import b64u, new_id
from crypto.paillier import Ciphertext
from tests.keyholder.world import Party, World

MIN_BITS = 48
"""Shorter numbers occur anywhere by chance (a bit, a count of rows)."""


def spellings(number: int) -> list[bytes]:
    """How a number could stand in a file: decimal, hex, big- and little-endian, base64url."""
    size = (number.bit_length() + 7) // 8
    big = number.to_bytes(size, "big")
    texts = (str(number), f"{number:x}", f"{number:X}", b64u(big))
    return [text.encode() for text in texts] + [big, big[::-1]]


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
    position = RangePosition(new_id(), owner.collector)
    bits, mask = world.compared(position, world.range(600, 1000))
    check = bits[0].add(world.keys.paillier.public.parse(mask))
    world.ask_range(doctor, position, check).bit()
    asked = world.ask(doctor, tally)
    asked.counts()
    world.client.post("/v1/openings", json=asked.body())  # refused
    public = world.keys.paillier.public
    masks = [
        world.keys.masks.total(public, owner.collector, tally.day, number) for number in (1, 2)
    ]

    secrets = [n for n in decrypted + masks if n.bit_length() >= MIN_BITS]
    # Two rounds of two recordings and a range, two openings; slots and sums of them as well.
    assert len(decrypted) == 8
    secrets += [n - m for n in decrypted for m in masks if n > m]
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


def test_the_log_names_no_collector_and_no_statement(
    world: World, owner: Party, doctor: Party, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("keyholder")
    world.tally(owner, [(40_000, 720)])
    world.client.get(f"/v1/manifest?who={owner.collector}")
    world.client.get(f"/v1/{doctor.collector}")
    text = capfd.readouterr().err
    assert text.count("\n") >= 4
    assert owner.collector not in text
    assert doctor.collector not in text
