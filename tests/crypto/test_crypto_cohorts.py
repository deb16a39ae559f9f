"""A cohort's sum: A's and B's halves, with and without noise."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

from crypto.cohorts import (
    NOISE_OFFSET,
    CohortCounts,
    CohortTerms,
    blind_cohort,
    members_hash,
    packed,
    recordings_of,
    recover_cohort,
)
from crypto.encoding import new_id
from crypto.errors import InvalidEncoding, OpeningMismatch, PlaintextOutOfRange
from crypto.keyholder.cohort import open_cohort
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import Roster
from crypto.paillier import Ciphertext
from crypto.random import SeededRandom

OFF = CohortTerms(0, 0)
ON = CohortTerms(epsilon=1000, cap=10)
MEMBERS = [
    ("0" * 32, [("2026-03-01", 2), ("2026-03-31", 1)]),
    ("1" * 32, [("2026-03-05", 4)]),
]
COUNTS = [[(1, 0), (0, 1)], [(3, 2)]]  # sound and rate of each day


@pytest.fixture
def tallies(private_key: PrivateKey, mask_key: MaskKey) -> list[Ciphertext]:
    key = private_key.public
    made = []
    for (pseudonym, days), counts in zip(MEMBERS, COUNTS, strict=True):
        for (day, n), (sound, rate) in zip(days, counts, strict=True):
            mask = mask_key.total(key, pseudonym, day, n)
            made.append(key.encrypt((packed(key, sound, rate) + mask) % key.n))
    return made


def opened(
    private_key: PrivateKey,
    mask_key: MaskKey,
    tallies: Sequence[Ciphertext],
    terms: CohortTerms,
    roster: str = "a" * 32,
    seed: bytes = bytes(32),
) -> CohortCounts:
    key = private_key.public
    ciphertext, blind = blind_cohort(key, tallies, terms, SeededRandom(seed, roster.encode()))
    value = open_cohort(private_key, mask_key, ciphertext, roster, MEMBERS, terms)
    return recover_cohort(value, blind, key, recordings_of(MEMBERS), terms)


def test_without_noise_the_sums_come_out(
    private_key: PrivateKey, mask_key: MaskKey, tallies: list[Ciphertext]
) -> None:
    assert opened(private_key, mask_key, tallies, OFF) == CohortCounts(4, 3)


def test_a_missing_tally_is_a_mismatch(
    private_key: PrivateKey, mask_key: MaskKey, tallies: list[Ciphertext]
) -> None:
    for terms in (OFF, ON):
        with pytest.raises(OpeningMismatch):
            opened(private_key, mask_key, tallies[:-1], terms)


def test_noise_is_the_two_shares_and_stays_the_same(
    private_key: PrivateKey, mask_key: MaskKey, tallies: list[Ciphertext]
) -> None:
    roster = "b" * 32
    ours = ON.noise(SeededRandom(bytes(32), roster.encode()))
    theirs = ON.noise(mask_key.noise(roster))
    assert ours != (0, 0) != theirs
    expected = CohortCounts(4 + ours[0] + theirs[0], 3 + ours[1] + theirs[1])
    for _ in range(2):
        assert opened(private_key, mask_key, tallies, ON, roster) == expected
    assert opened(private_key, mask_key, tallies, ON, "c" * 32) != expected


def test_noise_below_zero_borrows_nothing(
    private_key: PrivateKey, mask_key: MaskKey, tallies: list[Ciphertext]
) -> None:
    """Among so many rosters both sums fall below zero and above it."""
    sums = [
        opened(private_key, mask_key, tallies, ON, new_id(), seed=bytes([i]) * 32)
        for i in range(30)
    ]
    for finding in ([one.sound for one in sums], [one.rate for one in sums]):
        assert min(finding) < 0 < max(finding)
        assert max(map(abs, finding)) < 40 * 4 * 10


def test_each_finding_gets_half_of_epsilon() -> None:
    """The mean of |x| is about the scale b: 2 cap / epsilon for each."""
    random = SeededRandom(bytes(32), b"scales")
    drawn = [ON.noise(random) for _ in range(4000)]
    sound = statistics.fmean(abs(s) for s, _ in drawn)
    rate = statistics.fmean(abs(r) for _, r in drawn)
    assert sound == pytest.approx(20, rel=0.1)
    assert rate == pytest.approx(20, rel=0.1)


def test_the_margin_holds_nineteen_times_of_twenty() -> None:
    random = SeededRandom(bytes(32), b"margins")
    drawn = [(ON.noise(random), ON.noise(random)) for _ in range(2000)]
    for finding in range(2):
        beyond = sum(abs(one[finding] + other[finding]) > ON.margin for one, other in drawn)
        assert 60 < beyond < 140
    assert OFF.margin == 0


def test_who_is_in_a_batch() -> None:
    assert not OFF.admits(0)
    assert OFF.admits(10**6)
    assert ON.admits(10)
    assert not ON.admits(11)
    assert CohortTerms.of(0, 62) == OFF
    assert CohortTerms.of(1, 62).cap == 62


def test_noise_without_room_is_refused() -> None:
    terms = CohortTerms(epsilon=1, cap=1 << 22)
    with pytest.raises(PlaintextOutOfRange, match="epsilon is too small"):
        terms.noise(SeededRandom(bytes(32), b"much"))


def test_a_number_that_is_no_sum_is_a_mismatch(private_key: PrivateKey) -> None:
    key = private_key.public
    for number in (
        packed(key, 7 + 2 * NOISE_OFFSET + 1, NOISE_OFFSET),
        packed(key, NOISE_OFFSET, 14 + 2 * NOISE_OFFSET + 1),
        packed(key, 1 << 24, 0),
        key.n - 1,
    ):
        value = number.to_bytes(key.plaintext_bytes, "big")
        with pytest.raises(OpeningMismatch):
            recover_cohort(value, bytes(key.plaintext_bytes), key, 7, ON)


def test_the_hash_is_of_everything() -> None:
    assert members_hash(MEMBERS) == members_hash([(p, tuple(days)) for p, days in MEMBERS])
    first, second = MEMBERS
    for other in (
        [first],
        [second, first],
        [first, (second[0], [("2026-03-05", 3)])],
        [first, (second[0], [("2026-03-06", 4)])],
    ):
        assert members_hash(other) != members_hash(MEMBERS)


def test_a_roster_is_sorted_without_repetitions() -> None:
    roster = Roster(
        roster="a" * 32, clinic="b" * 32, month="2026-03", pseudonyms=("0" * 32, "1" * 32), iat=0
    )
    for wrong in (("1" * 32, "0" * 32), ("0" * 32, "0" * 32)):
        with pytest.raises(InvalidEncoding, match="sorted"):
            replace(roster, pseudonyms=wrong)
    with pytest.raises(InvalidEncoding, match="list of 1 to 2000"):
        Roster.from_payload(roster.to_payload() | {"pseudonyms": ["0" * 32] * 2001})


def test_secrets_print_as_their_type() -> None:
    assert repr(CohortCounts(1, 2)) == "CohortCounts"
