"""Masks telescope; an opening gives the counts, or says that it cannot be trusted."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.encoding import unb64u
from crypto.errors import ForeignKey, InvalidEncoding, OpeningMismatch, PlaintextOutOfRange
from crypto.findings import DEFAULT_RATE_RANGES, AgeBand, contribution
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.opening import open_tally
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import Cell
from crypto.opening import (
    blind_tallies,
    commit_digest,
    fitting_slot_bits,
    range_is_valid,
    recover_counts,
)
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import SeededRandom
from crypto.slots import (
    Counts,
    join,
    max_cells,
    pack_range,
    rate_count_offset,
)

PATIENT, OTHER = "ab" * 16, "cd" * 16
DAYS = [f"2026-01-{day:02}" for day in range(1, 31)]
FULL = 3072


def position(number: int, day: str = DAYS[0], pseudonym: str = PATIENT) -> RecordingPosition:
    return RecordingPosition(pseudonym, day, number)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 60))
def test_masks_telescope(key: PublicKey, mask_key: MaskKey, number: int) -> None:
    steps = sum(mask_key.step(key, position(i)) for i in range(1, number + 1))
    assert steps % key.n == mask_key.total(key, PATIENT, DAYS[0], number)


def test_masks_depend_on_everything_they_name(
    key: PublicKey, other_private_key: PrivateKey, mask_key: MaskKey
) -> None:
    totals = [
        mask_key.total(key, PATIENT, DAYS[0], 1),
        mask_key.total(key, PATIENT, DAYS[0], 2),
        mask_key.total(key, PATIENT, DAYS[1], 1),
        mask_key.total(key, OTHER, DAYS[0], 1),
        mask_key.total(other_private_key.public, PATIENT, DAYS[0], 1),
        MaskKey.generate().total(key, PATIENT, DAYS[0], 1),
        mask_key.check(key, PATIENT, OTHER),
        mask_key.check(key, OTHER, PATIENT),
    ]
    assert len(set(totals)) == len(totals)
    assert all(0 < total < key.n for total in totals[:4])
    assert mask_key.total(key, PATIENT, DAYS[0], 0) == 0
    assert mask_key.step(key, RangePosition(PATIENT, OTHER)) == totals[6]


def test_masks_fill_their_range(key: PublicKey, mask_key: MaskKey) -> None:
    """The top four bits of 800 masks (15 degrees of freedom, 99.9 % below 37.7)."""
    seen = [0] * 16
    for number in range(1, 801):
        seen[mask_key.total(key, PATIENT, DAYS[0], number) * 16 // key.n] += 1
    assert sum((count - 50) ** 2 / 50 for count in seen) < 37.7


def test_known_masks(vectors: Callable[[str], Any]) -> None:
    known = vectors("transcript")
    mask_key = MaskKey(bytes.fromhex(known["mask_key"]))
    p, q = (known[name] for name in ("p", "q"))
    key = PrivateKey.from_jwk(
        {"kty": "DAJ", "p": p, "q": q, "pub": _public_jwk(p, q)},
    ).public
    at = RecordingPosition(*known["position"][1:])
    for number, value in known["mask_totals"].items():
        assert mask_key.total(key, at.pseudonym, at.day, int(number)) == value
    assert mask_key.step(key, at) == known["mask_step"]
    check = known["mask_of_range"]
    assert mask_key.check(key, check["range"], check["pseudonym"]) == check["value"]


def _public_jwk(p: str, q: str) -> dict[str, Any]:
    return PublicKey(int.from_bytes(unb64u(p), "big") * int.from_bytes(unb64u(q), "big")).to_jwk()


def test_bad_mask_requests(key: PublicKey, mask_key: MaskKey) -> None:
    with pytest.raises(InvalidEncoding):
        mask_key.step(key, position(0))
    with pytest.raises(InvalidEncoding):
        mask_key.total(key, PATIENT, DAYS[0], -1)
    with pytest.raises(InvalidEncoding):
        mask_key.total(key, PATIENT + "\0", DAYS[0], 1)
    with pytest.raises(InvalidEncoding):
        mask_key.check(key, "x", PATIENT)
    with pytest.raises(InvalidEncoding):
        MaskKey(b"short")


class Month:
    """Thirty days of one patient, counted as A counts them, and their plain sums."""

    def __init__(self, private_key: PrivateKey, mask_key: MaskKey) -> None:
        self.private, self.mask_key, self.key = private_key, mask_key, private_key.public
        random = SeededRandom(bytes(32), b"month")
        self.tallies: list[Ciphertext] = []
        self.counts: list[Counts] = []
        self.recordings: list[int] = []
        for day in DAYS:
            bits = [(random.bits(1), random.bits(1)) for _ in range(random.below(4))]
            tally = self.key.constant(0)
            for number, (sound, rate) in enumerate(bits, start=1):
                tally = tally.add(self._contribution(sound, rate, position(number, day)))
            self.tallies.append(tally)
            self.counts.append(Counts(sum(s for s, _ in bits), sum(r for _, r in bits)))
            self.recordings.append(len(bits))

    def _contribution(self, sound: int, rate: int, at: RecordingPosition) -> Ciphertext:
        mask = self.private.encrypt(self.mask_key.step(self.key, at))
        bits = [self.private.encrypt(bit) for bit in (sound, 1 - rate, 0)]
        return contribution(bits, mask)

    def cells(self, recordings: list[int] | None = None) -> list[Cell]:
        pairs = zip(DAYS, recordings or self.recordings, strict=True)
        return [Cell(pseudonym=PATIENT, days=(pair,)) for pair in pairs]


@pytest.fixture(scope="module")
def month(_small_keys_are_allowed: None, mask_key: MaskKey) -> Month:
    return Month(PrivateKey.generate(1536), mask_key)


@pytest.fixture(scope="module")
def blinded(month: Month) -> tuple[Ciphertext, bytes]:
    return blind_tallies(month.key, [[tally] for tally in month.tallies])


def received(month: Month, ciphertext: Ciphertext) -> Ciphertext:
    return month.key.parse(ciphertext.to_wire())


def test_a_month_by_days(month: Month, blinded: tuple[Ciphertext, bytes]) -> None:
    ciphertext, blind = blinded
    value = open_tally(month.private, month.mask_key, received(month, ciphertext), month.cells())
    assert recover_counts(value, blind, month.key, month.recordings) == month.counts
    assert sum(month.recordings) > 30


def test_a_month_in_one_cell_and_an_empty_one(month: Month) -> None:
    days = tuple(zip(DAYS, month.recordings, strict=True))
    cells = [Cell(pseudonym=OTHER, days=((DAYS[0], 0),)), Cell(pseudonym=PATIENT, days=days)]
    ciphertext, blind = blind_tallies(month.key, [[], month.tallies])
    value = open_tally(month.private, month.mask_key, received(month, ciphertext), cells)
    counts = recover_counts(value, blind, month.key, [0, sum(month.recordings)])
    total = Counts(sum(c.sound for c in month.counts), sum(c.rate for c in month.counts))
    assert counts == [Counts(0, 0), total]


def test_a_wrong_opening_is_noticed(
    month: Month, blinded: tuple[Ciphertext, bytes], mask_key: MaskKey
) -> None:
    ciphertext, blind = blinded
    cells = month.cells()
    one_more = month.cells([month.recordings[0] + 1, *month.recordings[1:]])
    other_day = [Cell(pseudonym=PATIENT, days=((DAYS[1], 1),)), *cells[1:]]
    openings = [
        open_tally(month.private, mask_key, ciphertext, one_more),
        open_tally(month.private, mask_key, ciphertext, other_day),
        open_tally(month.private, mask_key, ciphertext, cells[::-1]),
        open_tally(month.private, MaskKey.generate(), ciphertext, cells),
        open_tally(month.private, mask_key, month.key.encrypt(5), cells),
    ]
    for value in openings:
        with pytest.raises(OpeningMismatch):
            recover_counts(value, blind, month.key, month.recordings)
    value = open_tally(month.private, mask_key, ciphertext, cells)
    with pytest.raises(OpeningMismatch):
        recover_counts(value, bytes(len(blind)), month.key, month.recordings)


def test_another_key_is_noticed(month: Month, blinded: tuple[Ciphertext, bytes]) -> None:
    """Bytes that were encrypted under one key and opened under another of the same length."""
    ciphertext, blind = blinded
    other = PrivateKey.generate(1536)
    taken = Ciphertext(other.public, int(ciphertext) % other.public.n**2, fresh=False)
    value = open_tally(other, month.mask_key, taken, month.cells())
    blind = (int.from_bytes(blind, "big") % other.public.n).to_bytes(len(blind), "big")
    with pytest.raises(OpeningMismatch):
        recover_counts(value, blind, other.public, month.recordings)


def test_only_the_own_key_opens(
    month: Month, blinded: tuple[Ciphertext, bytes], private_key: PrivateKey
) -> None:
    with pytest.raises(ForeignKey):
        open_tally(private_key, month.mask_key, blinded[0], month.cells()[:1])
    with pytest.raises(ForeignKey):
        blind_tallies(private_key.public, [[month.tallies[0]]])


def test_what_is_sent_is_fresh_and_blinded_anew(month: Month) -> None:
    (one, blind), (two, other) = (blind_tallies(month.key, [month.tallies]) for _ in range(2))
    assert one.fresh
    assert one.to_wire() != two.to_wire()
    assert blind != other
    difference = month.private.decrypt(one) - month.private.decrypt(two)
    rhos = int.from_bytes(blind, "big") - int.from_bytes(other, "big")
    assert (difference - rhos) % month.key.n == 0


def test_slots_may_be_narrow(month: Month) -> None:
    slot_bits = max(month.recordings).bit_length()
    ciphertext, blind = blind_tallies(month.key, [[tally] for tally in month.tallies], slot_bits)
    taken = received(month, ciphertext)
    value = open_tally(month.private, month.mask_key, taken, month.cells(), slot_bits)
    assert recover_counts(value, blind, month.key, month.recordings, slot_bits) == month.counts
    with pytest.raises(OpeningMismatch):
        recover_counts(value, blind, month.key, month.recordings, slot_bits + 1)
    other = open_tally(month.private, month.mask_key, taken, month.cells(), slot_bits + 1)
    with pytest.raises(OpeningMismatch):
        recover_counts(other, blind, month.key, month.recordings, slot_bits)


@pytest.mark.parametrize(
    ("recordings", "bits"),
    [([], 16), ([0], 16), ([3, 65_535], 16), ([65_536, 0], 24), ([(1 << 24) - 1], 24)],
)
def test_a_slot_holds_the_recordings_of_each_cell(recordings: list[int], bits: int) -> None:
    assert fitting_slot_bits(recordings) == bits


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=10))
def test_bounds_of_each_slot(key: PublicKey, counts: list[tuple[int, int]]) -> None:
    width = key.plaintext_bytes
    sounds, rates = zip(*counts, strict=True)
    packed = join(sounds, 24) + (join(rates, 24) << rate_count_offset(key.bits))
    value, blind = packed.to_bytes(width, "big"), bytes(width)
    exact = [max(count) for count in counts]
    assert recover_counts(value, blind, key, exact) == [Counts(*count) for count in counts]
    for cell, limit in enumerate(exact):
        if limit:
            with pytest.raises(OpeningMismatch):
                recover_counts(value, blind, key, [*exact[:cell], limit - 1, *exact[cell + 1 :]])
    rate_end = rate_count_offset(key.bits) + 24 * len(counts)
    for outside in {24 * len(counts), rate_end} - {rate_count_offset(key.bits)}:
        wrong = packed + (1 << outside)
        with pytest.raises(OpeningMismatch):
            recover_counts(wrong.to_bytes(width, "big"), blind, key, exact)


def test_numbers_that_are_no_openings(key: PublicKey) -> None:
    width = key.plaintext_bytes
    for bad in (b"", bytes(width - 1), bytes(width + 1), key.n.to_bytes(width, "big")):
        for value, blind in ((bad, bytes(width)), (bytes(width), bad)):
            with pytest.raises(InvalidEncoding):
                recover_counts(value, blind, key, [1])


def test_a_range_is_valid_by_the_digest_that_was_committed_to() -> None:
    digest = bytes(range(32))
    commitment = commit_digest(digest)
    assert commitment == sha256(b"hushbeat/range-check/commitment/v1\0" + digest).digest()
    assert range_is_valid(digest, commitment)
    for other in (bytes(32), commitment, digest[:-1] + b"\0"):
        assert not range_is_valid(other, commitment)
    assert not range_is_valid(digest, digest), "what A tells the doctor is not the digest itself"
    for short in ((digest[:-1], commitment), (digest, commitment[:-1]), (b"", b"")):
        with pytest.raises(InvalidEncoding):
            range_is_valid(*short)


def test_no_more_cells_than_fit(key: PublicKey, private_key: PrivateKey, mask_key: MaskKey) -> None:
    width, limit = key.plaintext_bytes, max_cells(key.bits)
    cell = Cell(pseudonym=PATIENT, days=((DAYS[0], 1),))
    for count in (0, limit + 1):
        with pytest.raises(PlaintextOutOfRange):
            recover_counts(bytes(width), bytes(width), key, [1] * count)
        with pytest.raises(PlaintextOutOfRange):
            blind_tallies(key, [[]] * count)
        with pytest.raises(PlaintextOutOfRange):
            open_tally(private_key, mask_key, key.encrypt(0), [cell] * count)


def test_default_ranges_can_be_packed() -> None:
    assert set(DEFAULT_RATE_RANGES) == set(AgeBand)
    for lo, hi in DEFAULT_RATE_RANGES.values():
        assert lo < hi
        pack_range(FULL, 32_768, lo, hi)
