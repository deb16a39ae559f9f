"""Opening a scope: A packs and blinds tallies, the collector takes the blind off and checks.

B's part is `crypto.keyholder.opening`; the protocol is docs/protocol.md, section 6.
"""

import hashlib
import hmac
from collections.abc import Sequence

from crypto.errors import InvalidEncoding, OpeningMismatch, PlaintextOutOfRange
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import KERNEL, RandomSource
from crypto.slots import COUNT_SLOT_BITS, Counts, join, max_cells, rate_count_offset, split

RANGE_DIGEST_BYTES = 32
_NARROW_SLOT_BITS = 16


def recover_counts(
    value: bytes,
    blind: bytes,
    key: PublicKey,
    recordings: Sequence[int],
    slot_bits: int = COUNT_SLOT_BITS,
) -> list[Counts]:
    """The counts of each cell, lowest cell first.

    Args:
        value: B's answer, unsealed: `key.plaintext_bytes` bytes.
        blind: A's rho, unsealed: as many bytes.
        key: the Paillier key of the statement.
        recordings: how many recordings each cell counts.
        slot_bits: width of a slot, as the statement says.

    Raises:
        InvalidEncoding: a number of the wrong width, or not below n.
        PlaintextOutOfRange: more cells than fit under this key.
        OpeningMismatch: a count above the recordings of its cell, or anything outside the cells'
            slots.
    """
    _check_cells(key, len(recordings))
    packed = unblinded(value, blind, key)
    cells, offset = len(recordings), rate_count_offset(key.bits)
    sounds = split(packed, slot_bits, cells)
    rates = split(packed >> offset, slot_bits, cells)
    if packed != join(sounds, slot_bits) + (join(rates, slot_bits) << offset):
        raise OpeningMismatch("there is more in this number than counts: do not trust it")
    counts = []
    for sound, rate, limit in zip(sounds, rates, recordings, strict=True):
        if sound > limit or rate > limit:
            raise OpeningMismatch("a count exceeds its recordings: do not trust it")
        counts.append(Counts(sound, rate))
    return counts


def commit_digest(digest: bytes) -> bytes:
    """A's half of a range check: it tells B's digest from others, and is no digest itself.

    A takes a range only with the digest in hand, so what A tells the doctor must not be enough to
    name it: otherwise a doctor could accept a range that B never found valid.
    """
    return hashlib.sha256(b"hushbeat/range-check/commitment/v1\x00" + digest).digest()


def range_is_valid(digest: bytes, commitment: bytes) -> bool:
    """Whether B's digest of a range check is the one that A committed to: the range is valid.

    Raises InvalidEncoding: not two such halves.
    """
    if not len(digest) == len(commitment) == RANGE_DIGEST_BYTES:
        raise InvalidEncoding(f"a digest of a range check has {RANGE_DIGEST_BYTES} bytes")
    return hmac.compare_digest(commit_digest(digest), commitment)


def unblinded(value: bytes, blind: bytes, key: PublicKey) -> int:
    """What the two servers' answers hold together. Raises InvalidEncoding: not two such numbers."""
    return (_number(value, key) - _number(blind, key)) % key.n


def fitting_slot_bits(recordings: Sequence[int]) -> int:
    """The width of a slot in which each of these cells fits: the narrower, the less A computes.

    One of two, so that an opening costs the same for few recordings and for thousands a cell.
    """
    fits = max(recordings, default=0).bit_length() <= _NARROW_SLOT_BITS
    return _NARROW_SLOT_BITS if fits else COUNT_SLOT_BITS


def blind_tallies(
    key: PublicKey,
    cells: Sequence[Sequence[Ciphertext]],
    slot_bits: int = COUNT_SLOT_BITS,
    random: RandomSource = KERNEL,
) -> tuple[Ciphertext, bytes]:
    """A's C' and rho for tallies: C' encrypts sum_k 2^(w k) sum_days tally + rho and is fresh.

    Args:
        key: B's public key.
        cells: the tallies of each cell; an empty cell counts nothing.
        slot_bits: w, the width of a slot, enough for the recordings of each cell.

    Returns:
        C' and the blind, fixed-width big-endian, to be sealed to the collector.

    Raises:
        PlaintextOutOfRange: more cells than fit under this key.
        ForeignKey: a tally under another key.
    """
    _check_cells(key, len(cells))
    packed = key.constant(0)
    for tallies in reversed(cells):
        packed = packed.shifted(slot_bits)
        for tally in tallies:
            packed = packed.add(tally)
    return blind_single(key, packed, random)


def blind_single(
    key: PublicKey, ciphertext: Ciphertext, random: RandomSource = KERNEL
) -> tuple[Ciphertext, bytes]:
    """A's C' and rho for one ciphertext: rho is uniform in Z_n, so B decrypts a uniform number."""
    rho = random.below(key.n)
    blinded = key.constant(rho).add(ciphertext).rerandomised(random)
    return blinded, rho.to_bytes(key.plaintext_bytes, "big")


def _check_cells(key: PublicKey, count: int) -> None:
    if not 0 < count <= max_cells(key.bits):
        raise PlaintextOutOfRange(f"an opening has 1 to {max_cells(key.bits)} cells")


def _number(data: bytes, key: PublicKey) -> int:
    number = int.from_bytes(data, "big")
    if len(data) != key.plaintext_bytes or number >= key.n:
        raise InvalidEncoding(f"expected a number below n in {key.plaintext_bytes} bytes")
    return number
