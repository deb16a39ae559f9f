"""The primitives of the fast comparison, against another code path and against their papers."""

import gmpy2
import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.comparison import base_transfer, ot_extension
from crypto.comparison.blocks import BlockHash, bits_of, rows_of_columns
from crypto.comparison.half_gates import evaluate, gate_tweaks, output_tweaks
from crypto.keyholder.garbler import garble
from crypto.random import SeededRandom
from tests.crypto import by_hand
from tests.crypto.views import number


def test_aes() -> None:
    """FIPS 197, appendix C.1, for the AES that the rest is compared with."""
    key, block = bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff")
    assert by_hand.aes_128(key, block).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


def test_block_hash() -> None:
    session, batch, random = bytes(range(16)), 300, np.random.default_rng(1)
    x = random.integers(0, 1 << 64, (20, 2), dtype=np.uint64)
    tweaks = random.integers(0, 1 << 64, (20, 2), dtype=np.uint64)
    key = by_hand.garbling_key(session, batch)
    for block, tweak, got in zip(x, tweaks, BlockHash(session, batch)(x, tweaks), strict=True):
        assert number(got) == by_hand.tmmo(key, number(block), number(tweak))


def test_tweaks() -> None:
    for level in (0, 1, 83):
        tweaks = gate_tweaks(5, 3, level)
        assert [[number(t) for t in half] for half in tweaks] == [
            [by_hand.gate_tweak(comparison, level, half) for comparison in (5, 6, 7)]
            for half in (0, 1)
        ]
    assert [number(t) for t in output_tweaks(5, 2)] == [by_hand.output_tweak(c) for c in (5, 6)]


def test_linear_hash() -> None:
    """GMAC without its constant is the polynomial of SP 800-38D, and it is linear."""
    random = SeededRandom(bytes(32), b"ghash")
    key = random.bits(128).to_bytes(16, "big")
    for blocks in (1, 2, 7):
        size = 16 * blocks
        linear = ot_extension._LinearHash(key, size)
        a, b = (random.bits(8 * size) for _ in range(2))
        h_a, h_b, h_sum, h_zero = (
            linear(value.to_bytes(size, "big")) for value in (a, b, a ^ b, 0)
        )
        assert h_a == by_hand.linear_hash(key, a.to_bytes(size, "big"))
        assert bytes(x ^ y for x, y in zip(h_a, h_b, strict=True)) == h_sum != bytes(16)
        assert h_zero == bytes(16)


def test_ghash_product() -> None:
    """Test case 2 of the GCM specification (McGrew, Viega): H and the tag of one zero block."""
    h = int.from_bytes(by_hand.aes_128(bytes(16), bytes(16)), "big")
    assert f"{h:032x}" == "66e94bd4ef8a2c3b884cfa59ca342b2e"
    cipher = int("0388dace60b6a392f328c2b971b2fe78", 16)
    x = by_hand.ghash_product(cipher, h)
    assert f"{x:032x}" == "5e2ec746917062882c85b0685353deb7"
    tag = AESGCM(bytes(16)).encrypt(bytes(12), bytes(16), b"")[16:]
    assert tag.hex() == "ab6e47d42cec13bdf53a67b21257bddf"


def test_half_gates_truth_table() -> None:
    """One bit: [d < r] for each d and r and each colour of the zero label."""
    random = np.random.default_rng(2)
    for _ in range(8):
        offset, zero = random.integers(0, 1 << 64, (2, 2), dtype=np.uint64)
        offset[0] |= np.uint64(1)
        for d in (0, 1):
            tables, output = garble(
                BlockHash(bytes(16), 1), offset, 0, zero[None, None], np.array([[d]], np.uint8)
            )
            for r in (0, 1):
                label = (zero ^ offset if r else zero)[None, None]
                got = evaluate(BlockHash(bytes(16), 1), 0, label, tables)
                assert number(got[0]) == number(output[0] ^ offset if d < r else output[0])


def test_columns_become_rows() -> None:
    columns = np.random.default_rng(3).integers(0, 256, (128, 32), dtype=np.uint8)
    rows = by_hand.rows([column.tobytes() for column in columns], 256)
    assert [number(block) for block in rows_of_columns(columns)] == rows


def test_bits_of_numbers() -> None:
    numbers = [0, 1, 0b1011, (1 << 84) - 1, 1 << 90]
    assert bits_of(numbers, 84).tolist() == [[n >> k & 1 for k in range(84)] for n in numbers]


def test_the_group_is_that_of_rfc_7919() -> None:
    p = by_hand.ffdhe3072()
    assert int(base_transfer._P) == p
    assert gmpy2.is_prime(p)
    assert gmpy2.is_prime((p - 1) // 2)
    assert p.bit_length() == 8 * base_transfer.ELEMENT_BYTES
    assert gmpy2.legendre(base_transfer._G, p) == 1
