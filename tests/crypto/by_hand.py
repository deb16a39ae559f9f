"""The fast comparison written a second time, from docs/protocol.md and in plain integers.

One bit and one block after the other, with an AES, a GHASH and an HKDF of its own and no NumPy: it
shares no code with `crypto.comparison`, so that what both make alike is what the protocol says.
Blocks are integers, read little-endian.
"""

import hashlib
import hmac
from collections.abc import Sequence
from functools import cache

MASK_64 = (1 << 64) - 1


def aes_128(key: bytes, block: bytes) -> bytes:
    """FIPS 197, one block."""
    keys = _round_keys(key)
    state = _xor(block, keys[0])
    for number, round_key in enumerate(keys[1:], 1):
        state = bytes(_sbox()[byte] for byte in state)
        state = bytes(state[(i + 4 * (i % 4)) % 16] for i in range(16))
        if number < 10:
            state = b"".join(_mixed(state[at : at + 4]) for at in range(0, 16, 4))
        state = _xor(state, round_key)
    return state


@cache
def _round_keys(key: bytes) -> list[bytes]:
    words = [key[at : at + 4] for at in range(0, 16, 4)]
    constant = 1
    for number in range(4, 44):
        word = words[-1]
        if number % 4 == 0:
            word = bytes(_sbox()[byte] for byte in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _times_x(constant)
        words.append(_xor(words[-4], word))
    return [b"".join(words[at : at + 4]) for at in range(0, 44, 4)]


def _times_x(a: int) -> int:
    return (a << 1) ^ (0x11B if a & 0x80 else 0)  # x^8 + x^4 + x^3 + x + 1


def _product(a: int, b: int) -> int:
    total = 0
    while b:
        total ^= a if b & 1 else 0
        a, b = _times_x(a), b >> 1
    return total


@cache
def _sbox() -> bytes:
    inverse = [next((b for b in range(256) if _product(a, b) == 1), 0) for a in range(256)]

    def affine(a: int) -> int:
        turned = a
        for turn in range(1, 5):
            turned ^= (a << turn | a >> (8 - turn)) & 255
        return turned ^ 0x63

    return bytes(map(affine, inverse))


@cache
def _doubled() -> bytes:
    return bytes(map(_times_x, range(256)))


def _mixed(column: bytes) -> bytes:
    """Rows 2 3 1 1, 1 2 3 1, 1 1 2 3 and 3 1 1 2: 2a + 3b + c + d = 2(a + b) + b + c + d."""
    a, b, c, d = column
    everything, double = a ^ b ^ c ^ d, _doubled()
    return bytes(x ^ everything ^ double[x ^ y] for x, y in ((a, b), (b, c), (c, d), (d, a)))


def _xor(a: bytes, b: bytes) -> bytes:
    number = int.from_bytes(a, "big") ^ int.from_bytes(b, "big")
    return number.to_bytes(len(a), "big")


def ctr(seed: bytes, batch: int, length: int) -> bytes:
    """G: the stream of AES-128-CTR with the batch's number as the counter block's upper half."""
    counter = batch << 64
    stream = b""
    while len(stream) < length:
        stream += aes_128(seed, counter.to_bytes(16, "big"))
        counter += 1
    return stream[:length]


def ghash_product(a: int, b: int) -> int:
    """NIST SP 800-38D, algorithm 1: blocks read big-endian, the highest bit is that of x^0."""
    total = 0
    for bit in range(127, -1, -1):
        if a >> bit & 1:
            total ^= b
        b = (b >> 1) ^ (0xE1 << 120 if b & 1 else 0)
    return total


def linear_hash(key: bytes, column: bytes) -> bytes:
    """sum_i c_i H^(k + 2 - i) over the blocks c_1 .. c_k: GHASH without the block of lengths."""
    h = int.from_bytes(aes_128(key, bytes(16)), "big")
    total = 0
    for at in range(0, len(column), 16):
        total = ghash_product(total ^ int.from_bytes(column[at : at + 16], "big"), h)
    return ghash_product(total, h).to_bytes(16, "big")


def challenge(session: bytes, batch: int, columns: bytes) -> bytes:
    name = b"hushbeat/transfer-check/v1\x00" + session + batch.to_bytes(8, "big")
    return hashlib.sha256(name + columns).digest()[:16]


def padded(bits: Sequence[int], mask: bytes) -> bytes:
    """A's bits as bytes, zeros up to a multiple of 128, then the 128 random ones."""
    number = sum(bit << place for place, bit in enumerate(bits))
    return number.to_bytes(16 * -(-len(bits) // 128), "little") + mask


def rows(columns: Sequence[bytes], count: int) -> list[int]:
    """Bit i of row j is bit j of column i."""
    numbers = [int.from_bytes(column, "little") for column in columns]
    return [sum((c >> j & 1) << i for i, c in enumerate(numbers)) for j in range(count)]


def send_bits(
    session: bytes,
    batch: int,
    pairs: Sequence[tuple[bytes, bytes]],
    bits: Sequence[int],
    mask: bytes,
) -> tuple[bytes, bytes, list[int]]:
    """A: columns, check, and the labels of its bits."""
    choices = padded(bits, mask)
    own = [ctr(first, batch, len(choices)) for first, _ in pairs]
    columns = b"".join(
        _xor(_xor(t, ctr(second, batch, len(choices))), choices)
        for t, (_, second) in zip(own, pairs, strict=True)
    )
    key = challenge(session, batch, columns)
    digest = hashlib.sha256(b"".join(linear_hash(key, t) for t in own)).digest()
    return columns, linear_hash(key, choices) + digest, rows(own, len(bits))


def receive_bits(
    session: bytes, batch: int, seeds: Sequence[bytes], offset: int, columns: bytes, count: int
) -> tuple[list[int], list[bytes], bytes]:
    """B: the zero labels, L(q^i) of each column, and K."""
    length = len(columns) // 128
    own = []
    for i, seed in enumerate(seeds):
        sent = columns[i * length : (i + 1) * length]
        stream = ctr(seed, batch, length)
        own.append(_xor(stream, sent) if offset >> i & 1 else stream)
    key = challenge(session, batch, columns)
    return rows(own, count), [linear_hash(key, q) for q in own], key


def check_agrees(hashes: Sequence[bytes], offset: int, check: bytes) -> bool:
    parts = [_xor(part, check[:16]) if offset >> i & 1 else part for i, part in enumerate(hashes)]
    return hashlib.sha256(b"".join(parts)).digest() == check[16:]


def garbling_key(session: bytes, batch: int) -> bytes:
    name = b"hushbeat/garbling/v1\x00" + session + batch.to_bytes(8, "big")
    return hashlib.sha256(name).digest()[:16]


def tmmo(key: bytes, x: int, tweak: int) -> int:
    """H(x, i) = P(P(x) xor i) xor P(x)."""

    def permuted(block: int) -> int:
        return int.from_bytes(aes_128(key, block.to_bytes(16, "little")), "little")

    once = permuted(x)
    return permuted(once ^ tweak) ^ once


def gate_tweak(comparison: int, bit: int, half: int) -> int:
    return 512 * comparison + 2 * bit + half


def output_tweak(comparison: int) -> int:
    return comparison | 1 << 64


def garble(
    key: bytes, offset: int, comparison: int, zeros: Sequence[int], d: Sequence[int]
) -> tuple[list[tuple[int, int]], int]:
    """B: the two blocks of each bit, and the zero label of [d < r]."""
    tables, carry = [], 0
    for bit, (r, d_bit) in enumerate(zip(zeros, d, strict=True)):
        a, b = r ^ carry, carry ^ (offset if d_bit else 0)
        first, second = (gate_tweak(comparison, bit, half) for half in (0, 1))
        p_a, p_b = a & 1, b & 1
        generator = tmmo(key, a, first) ^ tmmo(key, a ^ offset, first) ^ (offset if p_b else 0)
        evaluator = tmmo(key, b, second) ^ tmmo(key, b ^ offset, second) ^ a
        # Zahur, Rosulek, Evans, figure 2: W = W_G + W_E.
        w_g = tmmo(key, a, first) ^ (generator if p_a else 0)
        w_e = tmmo(key, b, second) ^ ((evaluator ^ a) if p_b else 0)
        tables.append((generator, evaluator))
        carry = r ^ w_g ^ w_e
    return tables, carry


def evaluate(
    key: bytes, comparison: int, labels: Sequence[int], tables: Sequence[tuple[int, int]]
) -> int:
    """A: the label of [d < r]."""
    carry = 0
    for bit, (r, (generator, evaluator)) in enumerate(zip(labels, tables, strict=True)):
        a, b = r ^ carry, carry
        gate = tmmo(key, a, gate_tweak(comparison, bit, 0)) ^ (generator if a & 1 else 0)
        gate ^= tmmo(key, b, gate_tweak(comparison, bit, 1)) ^ ((evaluator ^ a) if b & 1 else 0)
        carry = r ^ gate
    return carry


def share(key: bytes, offset: int, comparison: int, zero: int) -> tuple[int, int]:
    """B: s, and the correction of the label of colour 1."""
    value_at_zero = zero & 1
    at_zero = zero ^ (offset if value_at_zero else 0)
    h_0, h_1 = (
        tmmo(key, label, output_tweak(comparison)) & MASK_64
        for label in (at_zero, at_zero ^ offset)
    )
    s = (h_0 - value_at_zero) & MASK_64
    return s, (s + 1 - value_at_zero - h_1) & MASK_64


def opened_share(key: bytes, comparison: int, label: int, correction: int) -> int:
    """A: s + bit."""
    hashed = tmmo(key, label, output_tweak(comparison)) & MASK_64
    return (hashed + (correction if label & 1 else 0)) & MASK_64


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, section 2.3, with SHA-256."""
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([number]), hashlib.sha256).digest()
        out, number = out + block, number + 1
    return out[:length]


def hash_to_square(p: int, session: bytes, transfer: int, element: int) -> int:
    data = session + transfer.to_bytes(2, "big") + element.to_bytes(384, "big")
    info = b"hushbeat/base-transfer/group/v1"
    wide = hkdf_expand(hashlib.sha512(data).digest(), info, 400)
    return int.from_bytes(wide, "big") ** 2 % p


def transfer_seed(session: bytes, transfer: int, first: int, shared: int) -> bytes:
    data = b"hushbeat/base-transfer/seed/v1\x00" + session + transfer.to_bytes(2, "big")
    numbers = first.to_bytes(384, "big") + shared.to_bytes(384, "big")
    return hashlib.sha256(data + numbers).digest()[:16]


def euler_to(bits: int) -> int:
    """floor(2^bits e), from the series of 1 / k!, for the primes of RFC 7919."""
    guard = bits + 64
    total, term, k = 0, 1 << guard, 0
    while term:
        total += term
        k += 1
        term //= k
    return total >> 64


def ffdhe3072() -> int:
    """2^3072 - 2^3008 + (floor(2^2942 e) + 2625351) 2^64 - 1 (RFC 7919, appendix A.2)."""
    return (1 << 3072) - (1 << 3008) + ((euler_to(2942) + 2625351) << 64) - 1
