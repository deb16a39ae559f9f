"""The fast engine is held to plain integers: short numbers exhaustively, long ones at random."""

from itertools import product

import numpy as np
import pytest

from crypto.comparison.blocks import BlockHash, where
from crypto.comparison.fast import Checked, Counted, Item
from crypto.comparison.half_gates import evaluate, shares_with_bits
from crypto.comparison.parameters import MAX_ITEMS, Parameters
from crypto.keyholder.garbler import additive_shares, garble
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.random import SeededRandom
from crypto.slots import COUNT_SLOT_BITS, pack_range, pack_report
from tests.crypto.fast_pair import (
    FastPair,
    ScriptedMasks,
    Triple,
    as_triple,
    findings,
    proposed,
    random_triples,
    recording,
)

SHORT = range(1, 7)
LONG = [8, 16, 24]
TRIPLES = 100_000

TNO_SMALLER = [
    (-400, -383),
    (-1, 0),
    (0, 2),
    (1, 10),
    (230, 269),
    (1508, 2408),
    (3122, 6048),
    (4250, 7804),
    (8668, 9015),
]
"""Pairs x < y of TNO's tests (TNO-MPC/protocols.secure_comparison, test_secure_comparison.py)."""


@pytest.fixture(scope="module")
def small_key(_small_keys_are_allowed: None) -> PrivateKey:
    """Room for one recording at l = 24, and for two at l = 6."""
    return PrivateKey.generate(448)


def pair(private: PrivateKey, mask_key: MaskKey, score_bits: int) -> FastPair:
    return FastPair(private, mask_key, Parameters(score_bits))


@pytest.mark.parametrize("score_bits", SHORT)
def test_every_pair_of_short_numbers(
    small_key: PrivateKey, mask_key: MaskKey, score_bits: int
) -> None:
    """Each pair in each zone; the other zone that `rate` adds up is known, so both bits show."""
    numbers = range(1 << score_bits)
    top = numbers[-1]
    triples: list[Triple] = []
    for x, bound in product(numbers, numbers):
        triples.append(((x, bound), (x, bound), (0, top)))  # rate = [x < bound]
        triples.append(((bound, x), (0, 0), (x, bound)))  # rate = [x >= bound]
    got = pair(small_key, mask_key, score_bits).compare(triples)
    assert got == list(map(findings, triples))


@pytest.mark.parametrize("score_bits", SHORT)
def test_every_difference_under_every_mask(
    small_key: PrivateKey, mask_key: MaskKey, score_bits: int
) -> None:
    """All that a comparison depends on is z mod 2^(l+1) and r mod 2^(l+1): every pair of them.

    Equal low bits of d and r are among them, at every r.
    """
    size = 1 << score_bits
    cases = [(z, low) for z in range(1, 2 * size) for low in range(2 * size)]
    triples: list[Triple] = [((z - size, 0), (0, 0), (0, 1)) for z, _ in cases]
    parameters = Parameters(score_bits)
    lows = (low for _, low in cases for _ in range(3))
    source = ScriptedMasks(parameters.mask_bits, lows, score_bits + 1)
    got = pair(small_key, mask_key, score_bits).compare(triples, source)
    assert got == [(int(z >= size), 0) for z, _ in cases]


@pytest.mark.parametrize("score_bits", LONG)
@pytest.mark.parametrize(
    "count",
    [TRIPLES // 10, pytest.param(TRIPLES, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])],
)
def test_random_triples(
    small_key: PrivateKey, mask_key: MaskKey, score_bits: int, count: int
) -> None:
    triples = [as_triple(*numbers) for numbers in random_triples(score_bits, count)]
    game = pair(small_key, mask_key, score_bits)
    for at in range(0, len(triples), 100 * MAX_ITEMS):
        part = triples[at : at + 100 * MAX_ITEMS]
        assert game.compare(part) == list(map(findings, part))


@pytest.mark.parametrize("score_bits", LONG)
def test_random_triples_of_the_circuit_alone(score_bits: int) -> None:
    """All of them, garbled, evaluated and shared, without the encryption around it."""
    random = np.random.default_rng(score_bits)
    numbers = np.array(list(random_triples(score_bits, TRIPLES)), dtype=np.int64)
    x, bound = numbers[:, [0, 0, 0]].ravel(), (numbers[:, [1, 1, 2]] + [0, 0, 1]).ravel()
    size = 1 << score_bits
    r = random.integers(0, 2 * size, len(x))
    d = r + size + x - bound
    width = score_bits + 1
    d_bits, r_bits = (((v[:, None] >> np.arange(width)) & 1).astype(np.uint8) for v in (d, r))
    offset = random.integers(0, 1 << 63, 2, dtype=np.uint64) | np.uint64(1)
    zero = random.integers(0, 1 << 63, (*d_bits.shape, 2), dtype=np.uint64)
    labels = zero ^ where(r_bits, offset)

    hashing = BlockHash(bytes(16), score_bits)
    tables, less = garble(hashing, offset, 0, zero[:, :-1], d_bits[:, :-1])
    output = less ^ zero[:, -1] ^ where(d_bits[:, -1], offset)
    shares, corrections = additive_shares(hashing, offset, 0, output)
    evaluated = evaluate(hashing, 0, labels[:, :-1], tables) ^ labels[:, -1]
    sums = shares_with_bits(hashing, 0, evaluated, corrections)
    bits = np.array(sums, dtype=np.uint64) - np.array(shares, dtype=np.uint64)
    assert (bits == (x >= bound)).all()
    assert len(bits) == 3 * TRIPLES
    assert 0.2 < bits.mean() < 0.8


@pytest.mark.parametrize("score_bits", LONG)
def test_edges(small_key: PrivateKey, mask_key: MaskKey, score_bits: int) -> None:
    """0, 2^l - 1, x = lo, x = hi, lo = hi, and their neighbours, under masks of extreme low bits.

    With x = bound the low bits of d and r are equal.
    """
    top = (1 << score_bits) - 1
    edges = [0, 1, top // 2, top // 2 + 1, top - 1, top]
    triples = [as_triple(x, lo, hi) for x, lo, hi in product(edges, edges, edges)]
    width = score_bits + 1
    low = (0, 1, top // 2, top, top + 1, 2 * top + 1)
    repeated = [triple for triple in triples for _ in low]
    lows = (bits for _ in triples for bits in low for _ in range(3))
    source = ScriptedMasks(Parameters(score_bits).mask_bits, lows, width)
    got = pair(small_key, mask_key, score_bits).compare(repeated, source)
    assert got == list(map(findings, repeated))


def test_findings_of_a_recording(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """Reports and ranges packed and encrypted as they are in the system."""
    game, random = FastPair(small_key, mask_key), SeededRandom(bytes(32), b"findings")
    key = game.key
    items, expected = [], []
    for number in range(MAX_ITEMS):
        score, rate, threshold = (random.bits(16) for _ in range(3))
        lo, hi = sorted((random.below(65535), random.below(65535)))
        report = key.encrypt(pack_report(key.bits, score, rate))
        bounds = key.encrypt(pack_range(key.bits, threshold, lo, hi))
        items.append(Item(recording(number), report.add(bounds.negated())))
        expected.append((int(score >= threshold), int(not lo <= rate <= hi)))
    results, _ = game.play(items)
    assert [game.opened(result) for result in results] == expected


def test_pairs_that_tno_published(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """Ours asks for x >= bound, theirs for x <= y. Negative ones are moved up by 2^15."""
    pairs = [(x + (1 << 15), y + (1 << 15)) for x, y in TNO_SMALLER]
    pairs += [(y, x) for x, y in pairs] + [(y, y) for _, y in pairs]
    triples: list[Triple] = [((y, x), (x, y), (0, 1)) for x, y in pairs]
    got = FastPair(small_key, mask_key).compare(triples)
    assert got == [(int(x <= y), int(x < y)) for x, y in pairs]
    assert [sound for sound, _ in got] == [1] * 9 + [0] * 9 + [1] * 9


def test_a_batch_mixes_everything(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """Recordings, range checks and void ones of both in any order, in any number."""
    game, random = FastPair(small_key, mask_key), SeededRandom(bytes(32), b"mixed")
    for size in (1, 2, 3, 7, 64, MAX_ITEMS):
        items: list[Item] = []
        expected: list[tuple[int, int] | bool | None] = []
        for number in range(size):
            x, lo, hi = (random.bits(16) for _ in range(3))
            kind, void = random.below(4), random.below(4) == 0
            if kind:
                triple = as_triple(x, lo, hi)
                items.append(Item(recording(number), None if void else game.difference(triple)))
                expected.append((0, 0) if void else findings(triple))
            else:
                items.append(Item(proposed(number), None if void else game.bounds(x, lo, hi)))
                expected.append(None if void else lo < hi)
        results, served = game.play(items)
        assert [result.position for result in results] == [item.position for item in items]
        got: list[tuple[int, int] | bool | None] = []
        for result, item in zip(results, items, strict=True):
            if isinstance(result, Counted):
                assert result.void is (item.ciphertext is None)
                got.append(game.opened(result))
            else:
                digest = served.digests.get(result.position)
                assert (digest is None) is (result.digest is None)
                got.append(None if digest is None else digest == result.digest)
        assert got == expected


def test_a_tally_of_many_is_the_sum(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """Contributions are added under encryption; the shares of 64 bits leave nothing behind."""
    game = FastPair(small_key, mask_key)
    triples = [as_triple(*numbers) for numbers in random_triples(16, 200)]
    results, _ = game.play(game.items(triples))
    tally, mask = game.key.constant(0), 0
    for result in results:
        assert isinstance(result, Counted)
        tally = tally.add(result.contribution)
        mask += game.masks.step(game.key, result.position)
    number = (game.private.decrypt(tally) - mask) % game.key.n
    sounds, rates = zip(*map(findings, triples), strict=True)
    assert number == sum(sounds) + (sum(rates) << 24 * ((game.key.bits - 2) // 48))
    assert sum(sounds) < 1 << COUNT_SLOT_BITS


TOP = (1 << 16) - 1
WIDE = 1 << 80


def test_ranges_that_are_valid(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """Every bound at every edge of [0, 2^l), lo < hi + 1."""
    game = FastPair(small_key, mask_key)
    edges = [0, 1, 2, TOP // 2, TOP // 2 + 1, TOP - 1, TOP]
    ranges = list(product([0, 1, TOP], edges, edges))
    got = game.valid([game.bounds(*bounds) for bounds in ranges])
    assert got == [lo < above for _, lo, above in ranges]


def test_ranges_of_short_numbers(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """l = 2: every bound from -3 to 6, hence all of both sides of each edge."""
    game = pair(small_key, mask_key, 2)
    ranges = list(product(range(-3, 7), repeat=3))
    got: list[bool] = []
    for at in range(0, len(ranges), MAX_ITEMS):
        got += game.valid([game.bounds(*bounds) for bounds in ranges[at : at + MAX_ITEMS]])
    assert got == [all(0 <= b < 4 for b in bounds) and bounds[1] < bounds[2] for bounds in ranges]


def test_hostile_ranges_are_not_valid(private_key: PrivateKey, mask_key: MaskKey) -> None:
    """A doctor who encrypts anything at all: no number other than a range's passes.

    Zones are two slots wide under this key, so numbers fit in them of which a comparator, 84 bits
    wide, sees only a part that is valid.
    """
    game, random = FastPair(private_key, mask_key), SeededRandom(bytes(32), b"hostile")
    zone, n = game.zone, game.key.n
    assert zone == 2 * 82
    good = [5, 600, 1000]
    hostile = []
    for place, bound in enumerate(good):
        wide = [bound + (1 << bit) for bit in (16, 17, 80, 82, 83, 84, 85, 100, zone - 1)]
        for value in (-1, TOP + 1, WIDE, -WIDE, (1 << zone) - 1, n - 1, bound - (1 << 84), *wide):
            bounds = list(good)
            bounds[place] = value
            hostile.append(game.bounds(*bounds))
    hostile += [game.key.constant(number) for number in (n - 1, n // 2, n - (1 << zone))]
    hostile += [game.key.constant(random.below(n)) for _ in range(100)]
    assert not any(game.valid(hostile))
    assert game.valid([game.bounds(*good)]) == [True]


def test_what_is_a_range_is_the_plaintext_alone(small_key: PrivateKey, mask_key: MaskKey) -> None:
    """A bound one zone too high that borrows from the next one is the same plaintext."""
    game = FastPair(small_key, mask_key)
    borrowed = game.bounds(5 + (1 << game.zone), 599, 1000)
    assert int(borrowed) == int(game.bounds(5, 600, 1000))
    assert game.valid([borrowed]) == [True]


def test_a_void_range_has_no_digest(small_key: PrivateKey, mask_key: MaskKey) -> None:
    game = FastPair(small_key, mask_key)
    results, served = game.play([Item(proposed(1), None), Item(proposed(2), game.bounds(1, 2, 3))])
    assert results[0] == Checked(proposed(1), None)
    assert set(served.digests) == {proposed(2)}
