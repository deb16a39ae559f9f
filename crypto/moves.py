"""Moving tallies, reports and ranges to another Paillier key: A's side and the messages.

A masks each small number of a plaintext where it stands, B decrypts and encrypts them under the
other key, A takes the masks off (docs/protocol.md, section 5.1). A mask has sigma + 1 bits more
than what it hides and never reaches the next number nor n, so it comes off under any other key,
whose layout may be another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from crypto.comparison.positions import MAX_NUMBER
from crypto.encoding import check_day, check_hash, check_id
from crypto.errors import InvalidEncoding
from crypto.packed import expect_bin, expect_list, pack, read_map
from crypto.paillier import MAX_KEY_BITS, Ciphertext, PublicKey
from crypto.random import RandomSource
from crypto.slots import (
    COUNT_SLOT_BITS,
    SCORE_BITS,
    SIGMA,
    ZONES,
    rate_count_offset,
    zone_bits,
)

VERSION = 1
MAX_MOVED = 64
"""Tallies and zoned plaintexts together, in one request."""

MAX_MESSAGE_BYTES = MAX_MOVED * (MAX_KEY_BITS // 4 + 128) + 1024


@dataclass(frozen=True)
class Form:
    """Numbers of `value_bits` bits in a plaintext, and where they begin under a modulus."""

    value_bits: int
    offsets: Callable[[int], Sequence[int]]

    @property
    def mask_bits(self) -> int:
        """A mask hides its number but for 2^-(sigma + 1)."""
        return self.value_bits + SIGMA + 1

    def draw(self, random: RandomSource) -> list[int]:
        """A mask for each number."""
        return [random.bits(self.mask_bits) for _ in self.offsets(MAX_KEY_BITS)]

    def join(self, numbers: Sequence[int], bits: int) -> int:
        """The plaintext of these numbers, or of their masks, under a modulus of `bits` bits."""
        pairs = zip(numbers, self.offsets(bits), strict=True)
        return sum(number << offset for number, offset in pairs)

    def split(self, plaintext: int, bits: int) -> list[int]:
        """The masked numbers of a plaintext. Whatever else is in it is dropped."""
        window = (1 << (self.mask_bits + 1)) - 1
        return [plaintext >> offset & window for offset in self.offsets(bits)]


TALLY = Form(COUNT_SLOT_BITS, lambda bits: (0, rate_count_offset(bits)))
"""Sound and rate count."""

ZONED = Form(SCORE_BITS, lambda bits: [zone * zone_bits(bits) for zone in range(ZONES)])
"""A report or a healthy range."""


@dataclass(frozen=True)
class MovedTally:
    """A tally of the first `number` recordings of a patient's day, masked."""

    pseudonym: str
    day: str
    number: int
    ciphertext: bytes


@dataclass(frozen=True)
class MoveRequest:
    """A to B: from one key to another; each patient's day at most once."""

    source: str
    target: str
    tallies: tuple[MovedTally, ...] = ()
    zoned: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class MoveAnswer:
    """B to A: the same under the other key, in the same order, still masked."""

    tallies: tuple[bytes, ...]
    zoned: tuple[bytes, ...]


def masked(
    form: Form, ciphertext: Ciphertext, masks: Sequence[int], random: RandomSource
) -> Ciphertext:
    """What A sends: fresh."""
    added = form.join(masks, ciphertext.key.bits)
    return ciphertext.add_constant(added).rerandomised(random)


def unmasked(form: Form, ciphertext: Ciphertext, masks: Sequence[int]) -> Ciphertext:
    """What A keeps of B's answer."""
    return ciphertext.add_constant(-form.join(masks, ciphertext.key.bits))


def encode_move(request: MoveRequest) -> bytes:
    """The request as msgpack."""
    return pack(
        {
            "v": VERSION,
            "source": bytes.fromhex(check_hash(request.source)),
            "target": bytes.fromhex(check_hash(request.target)),
            "tallies": [
                [one.pseudonym, one.day, one.number, one.ciphertext] for one in request.tallies
            ],
            "zoned": list(request.zoned),
        }
    )


def decode_move(data: bytes) -> MoveRequest:
    """The request of msgpack, or InvalidEncoding."""
    fields = _fields(data, "source", "target", "tallies", "zoned")
    tallies = tuple(_tally(value) for value in expect_list(fields["tallies"]))
    zoned = tuple(_ciphertext(value) for value in expect_list(fields["zoned"]))
    if not 0 < len(tallies) + len(zoned) <= MAX_MOVED:
        raise InvalidEncoding(f"a request moves 1 to {MAX_MOVED} ciphertexts")
    if len({(one.pseudonym, one.day) for one in tallies}) != len(tallies):
        raise InvalidEncoding("a tally stands twice in this request")
    source, target = (expect_bin(fields[name], 32).hex() for name in ("source", "target"))
    if source == target:
        raise InvalidEncoding("expected two different keys")
    return MoveRequest(source, target, tallies, zoned)


def encode_moved(answer: MoveAnswer) -> bytes:
    """The answer as msgpack."""
    return pack({"v": VERSION, "tallies": list(answer.tallies), "zoned": list(answer.zoned)})


def decode_moved(data: bytes, request: MoveRequest, target: PublicKey) -> list[Ciphertext]:
    """The ciphertexts of the answer to this request, checked: tallies first.

    Raises:
        InvalidEncoding, CiphertextOutOfRange: not such an answer.
    """
    fields = _fields(data, "tallies", "zoned")
    tallies, zoned = (expect_list(fields[name]) for name in ("tallies", "zoned"))
    if (len(tallies), len(zoned)) != (len(request.tallies), len(request.zoned)):
        raise InvalidEncoding("the answer is to another request")
    return target.parse_all([_ciphertext(value) for value in (*tallies, *zoned)])


def _tally(value: Any) -> MovedTally:
    match value:
        case [pseudonym, day, int(number), ciphertext] if (
            type(number) is int and 1 <= number <= MAX_NUMBER
        ):
            return MovedTally(check_id(pseudonym), check_day(day), number, _ciphertext(ciphertext))
    raise InvalidEncoding("expected pseudonym, day, number and ciphertext of a tally")


def _ciphertext(value: Any) -> bytes:
    data = expect_bin(value)
    if not 0 < len(data) <= MAX_KEY_BITS // 4:
        raise InvalidEncoding("expected a ciphertext as bin")
    return data


def _fields(data: bytes, *names: str) -> dict[str, Any]:
    return read_map(data, VERSION, *names, max_bytes=MAX_MESSAGE_BYTES, max_items=MAX_MOVED)
