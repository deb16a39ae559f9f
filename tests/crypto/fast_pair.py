"""Both sides of the fast comparison in one process, in a session made without base transfers."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from crypto.comparison.base_transfer import SEED_BYTES, TRANSFERS
from crypto.comparison.batches import decode_request
from crypto.comparison.fast import Checked, Counted, FastInitiator, Item
from crypto.comparison.parameters import MAX_ITEMS, Parameters
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.comparison.session import EvaluatorSession, GarblerSession
from crypto.keyholder.fast import FastResponder, Served
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import Ciphertext
from crypto.random import KERNEL, RandomSource, SeededRandom
from crypto.slots import COUNT_SLOT_BITS, join, rate_count_offset, zone_bits

SESSION = "5e551011" * 4
OTHER = "0" * 32
DAY = "2026-01-01"

Triple = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""(x, bound) in each zone: score and threshold, rate and lo, rate and hi + 1."""


def session_pair(
    seed: bytes = bytes(32), session: str = SESSION
) -> tuple[EvaluatorSession, GarblerSession]:
    """What both sides keep of a session, from a seed: uniform as the base transfers make it."""
    random = SeededRandom(seed, b"session")

    def draw() -> bytes:
        return random.bits(8 * SEED_BYTES).to_bytes(SEED_BYTES, "big")

    offset = (random.bits(128) | 1).to_bytes(16, "little")
    pairs = tuple((draw(), draw()) for _ in range(TRANSFERS))
    chosen = tuple(pair[offset[i // 8] >> i % 8 & 1] for i, pair in enumerate(pairs))
    return EvaluatorSession(session, pairs), GarblerSession(session, offset, chosen)


def recording(number: int) -> RecordingPosition:
    """The position of the `number`-th recording, each of a patient of its own."""
    return RecordingPosition(f"{number:032x}", DAY, 1)


def proposed(number: int) -> RangePosition:
    """The position of the `number`-th range check."""
    return RangePosition(f"{number:032x}", OTHER)


def findings(triple: Triple) -> tuple[int, int]:
    """Plain integers: what a recording adds to sound and to rate."""
    (score, threshold), (low, lo), (high, above) = triple
    return int(score >= threshold), int(low < lo) + int(high >= above)


def random_triples(score_bits: int, count: int) -> Iterator[tuple[int, int, int]]:
    """x, lo and hi: a third uniform, a third with x at a bound or one off, a third near another."""
    random = SeededRandom(bytes(32), b"triples" + bytes([score_bits]))
    top = (1 << score_bits) - 1
    for number in range(count):
        x, lo, hi = (random.bits(score_bits) for _ in range(3))
        if number % 3:
            lo, hi = sorted((lo, hi))
            near = (lo, hi)[random.bits(1)]
            spread = 1 if number % 3 == 1 else 1 << random.below(score_bits)
            x = min(max(near + random.below(2 * spread + 1) - spread, 0), top)
        yield x, lo, hi


def as_triple(x: int, lo: int, hi: int) -> Triple:
    """The sound is held against lo as its threshold."""
    return (x, lo), (x, lo), (x, hi + 1)


class FastPair:
    """A and B under one key and in one session."""

    def __init__(
        self, private: PrivateKey, masks: MaskKey, parameters: Parameters | None = None
    ) -> None:
        self.parameters = parameters or Parameters()
        self.private, self.key, self.masks = private, private.public, masks
        self.zone = zone_bits(self.key.bits, self.parameters.slot_bits)
        self.evaluator, self.garbler = session_pair()
        self.initiator = FastInitiator(self.key, self.evaluator, self.parameters)
        self.responder = FastResponder(private, masks, self.parameters)
        self.batches = count(1)

    def difference(self, triple: Triple) -> Ciphertext:
        """Enc(sum_z 2^(Zz) (x_z - bound_z)), stale as a result of arithmetic is."""
        return self.key.constant(join([x - b for x, b in triple], self.zone) % self.key.n)

    def bounds(self, threshold: int, lo: int, above: int) -> Ciphertext:
        """Enc of a proposed range, whatever the numbers are."""
        return self.key.constant(join([threshold, lo, above], self.zone) % self.key.n)

    def items(self, triples: Iterable[Triple]) -> list[Item]:
        return [Item(recording(i), self.difference(triple)) for i, triple in enumerate(triples)]

    def play(
        self, items: Sequence[Item], random: RandomSource = KERNEL
    ) -> tuple[list[Counted | Checked], Served]:
        """One batch, request and answer."""
        request = self.initiator.request(next(self.batches), items, random=random)
        served = self.responder.answer(self.garbler, decode_request(request))
        return self.initiator.finish(request, served.answer), served

    def opened(self, counted: Counted | Checked) -> tuple[int, int]:
        """What a recording added to sound and to rate."""
        assert isinstance(counted, Counted)
        mask = self.masks.step(self.key, counted.position)
        number = (self.private.decrypt(counted.contribution) - mask) % self.key.n
        rate, sound = divmod(number, 1 << rate_count_offset(self.key.bits))
        assert sound < 1 << COUNT_SLOT_BITS
        return sound, rate

    def compare(
        self, triples: Sequence[Triple], random: RandomSource = KERNEL
    ) -> list[tuple[int, int]]:
        """What the recordings added, batch by batch."""
        out: list[tuple[int, int]] = []
        for at in range(0, len(triples), MAX_ITEMS):
            results, _ = self.play(self.items(triples[at : at + MAX_ITEMS]), random)
            out += map(self.opened, results)
        return out

    def valid(self, ranges: Sequence[Ciphertext]) -> list[bool]:
        """Whether A's digest of each proposed range is B's."""
        items = [Item(proposed(i), bounds) for i, bounds in enumerate(ranges)]
        results, served = self.play(items)
        return [
            isinstance(result, Checked) and served.digests[result.position] == result.digest
            for result in results
        ]


class ScriptedMasks:
    """A source in which the low bits of A's masks are given; all else comes from a seed.

    Args:
        mask_bits: the length of a mask, by which a draw of one is known.
        low: the low bits of each mask, in the order of the comparators.
        width: how many low bits are given.
    """

    def __init__(self, mask_bits: int, low: Iterable[int], width: int) -> None:
        self._mask_bits, self._low, self._width = mask_bits, iter(low), width
        self._random = SeededRandom(bytes(32), b"scripted")

    def bits(self, k: int) -> int:
        drawn = self._random.bits(k)
        if k != self._mask_bits:
            return drawn
        return drawn >> self._width << self._width | next(self._low)

    def below(self, n: int) -> int:
        return self._random.below(n)

    def permutation(self, k: int) -> list[int]:
        return self._random.permutation(k)
