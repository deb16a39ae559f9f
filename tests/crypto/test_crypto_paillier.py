"""Paillier against `phe`, against plain integers, and against bad ciphertexts and keys."""

import json
from typing import Any

import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phe import paillier as phe_paillier

from crypto import paillier
from crypto.encoding import b64u
from crypto.errors import (
    CiphertextOutOfRange,
    ForeignKey,
    InvalidEncoding,
    KeyTooSmall,
    PlaintextOutOfRange,
    StaleCiphertext,
)
from crypto.keyholder.private_key import PrivateKey
from crypto.paillier import PublicKey
from crypto.random import SeededRandom

NUMBERS = st.integers(min_value=0, max_value=(1 << 255) - 1)


def phe_key(private_key: PrivateKey) -> Any:
    jwk = private_key.to_jwk()
    p, q = (phe.util.base64_to_int(jwk[name]) for name in ("p", "q"))
    return phe_paillier.PaillierPrivateKey(phe_paillier.PaillierPublicKey(p * q), p, q)


@settings(max_examples=30, deadline=None)
@given(NUMBERS, NUMBERS, st.integers(min_value=-(1 << 40), max_value=1 << 40))
def test_arithmetic_is_that_of_integers_mod_n(
    private_key: PrivateKey, a: int, b: int, k: int
) -> None:
    key, n = private_key.public, private_key.public.n
    x, y = key.encrypt(a), private_key.encrypt(b)
    assert private_key.decrypt(x.add(y)) == (a + b) % n
    assert private_key.decrypt(x.add_constant(k)) == (a + k) % n
    assert private_key.decrypt(x.times(k)) == a * k % n
    assert private_key.decrypt(x.negated()) == -a % n
    assert private_key.decrypt(x.shifted(abs(k) % 600)) == (a << abs(k) % 600) % n
    assert int(x.add_constant(k)) == int(x) * int(key.constant(k % n)) % n**2
    assert private_key.decrypt(x.rerandomised()) == a
    assert private_key.decrypt(key.constant(a)) == a


@settings(max_examples=20, deadline=None)
@given(NUMBERS)
def test_phe_and_we_read_each_other(private_key: PrivateKey, m: int) -> None:
    theirs, key = phe_key(private_key), private_key.public
    assert theirs.raw_decrypt(int(key.encrypt(m))) == m
    assert theirs.raw_decrypt(int(private_key.encrypt(m))) == m
    foreign = theirs.public_key.raw_encrypt(m).to_bytes(key.ciphertext_bytes, "big")
    assert private_key.decrypt(key.parse(foreign)) == m


def test_same_noise_same_ciphertext_as_phe(private_key: PrivateKey) -> None:
    key, theirs = private_key.public, phe_key(private_key).public_key
    r = key.draw_unit(SeededRandom(bytes(32), b"noise"))
    for m in (0, 1, key.n - 1, key.n // 2):
        ours = key.encrypt(m, SeededRandom(bytes(32), b"noise"))
        assert int(ours) == theirs.raw_encrypt(m, r_value=r)


def test_edges_of_the_plaintexts(private_key: PrivateKey) -> None:
    key = private_key.public
    for m in (0, 1, key.n - 1):
        assert private_key.decrypt(key.encrypt(m)) == m
        assert private_key.decrypt(private_key.encrypt(m)) == m
    for m in (-1, key.n):
        for encrypt in (key.encrypt, key.constant, private_key.encrypt):
            with pytest.raises(PlaintextOutOfRange):
                encrypt(m)


def test_zero_test(private_key: PrivateKey) -> None:
    key = private_key.public
    assert private_key.is_zero(key.encrypt(0))
    assert private_key.is_zero(key.encrypt(5).times(0))
    for m in (1, 2, key.n - 1, key.draw_unit()):
        assert not private_key.is_zero(key.encrypt(m))


def test_noise_of_the_key_holder_is_an_nth_residue(private_key: PrivateKey) -> None:
    """Its noise decrypts to zero and differs each time, as the public key's does."""
    noises = {int(private_key.encrypt(0)) for _ in range(20)}
    assert len(noises) == 20
    assert all(phe_key(private_key).raw_decrypt(noise) == 0 for noise in noises)


def test_key_holders_noise_covers_all_residues() -> None:
    """At a toy size: both ways of drawing reach all (p-1)(q-1) residues and nothing else."""
    p, q = 11, 13
    n = p * q
    residues = {pow(r, n, n * n) for r in range(n) if r % p and r % q}
    mod_p = {pow(x, p, p * p) for x in range(1, p)}
    mod_q = {pow(x, q, q * q) for x in range(1, q)}
    assert len(residues) == (p - 1) * (q - 1)
    assert residues == {c for c in range(n * n) if c % (p * p) in mod_p and c % (q * q) in mod_q}


def test_only_fresh_ciphertexts_leave(key: PublicKey, private_key: PrivateKey) -> None:
    fresh = key.encrypt(3)
    assert fresh.to_wire() == fresh.to_bytes()
    assert private_key.encrypt(3).fresh
    stale = [
        key.constant(3),
        fresh.add(fresh),
        fresh.add_constant(1),
        fresh.times(2),
        fresh.negated(),
        fresh.shifted(3),
        key.parse(fresh.to_wire()),
        key.stored(fresh.to_bytes()),
        *key.parse_all([fresh.to_wire()]),
        *key.invert_all([fresh]),
    ]
    for ciphertext in stale:
        with pytest.raises(StaleCiphertext):
            ciphertext.to_wire()
        assert ciphertext.rerandomised().to_wire() != ciphertext.to_bytes()


def test_bad_ciphertexts_are_refused(key: PublicKey, private_key: PrivateKey) -> None:
    p = phe_key(private_key).p
    width = key.ciphertext_bytes
    for value in (0, key.n**2, key.n**2 + 1, p, key.n, p * key.n, (1 << 8 * width) - 1):
        with pytest.raises(CiphertextOutOfRange):
            key.parse(value.to_bytes(width, "big"))
    good = key.encrypt(1).to_wire()
    for data in (b"", good[:-1], b"\0" + good, good + b"\0", good.hex(), int(key.encrypt(1))):
        with pytest.raises(InvalidEncoding):
            key.parse(data)  # type: ignore[arg-type]


def test_parsing_many_names_the_first_bad_one(key: PublicKey, private_key: PrivateKey) -> None:
    p, width = phe_key(private_key).p, key.ciphertext_bytes
    good = [key.encrypt(m).to_wire() for m in range(5)]
    assert [private_key.decrypt(c) for c in key.parse_all(good)] == list(range(5))
    assert key.parse_all([]) == []
    for value in (0, key.n**2, p, key.n, p * key.n, key.n**2 // p):
        bad = [*good[:3], value.to_bytes(width, "big"), good[3], value.to_bytes(width, "big")]
        with pytest.raises(CiphertextOutOfRange, match="number 4 of 6"):
            key.parse_all(bad)
    for data in (b"", good[0][:-1], good[0] + b"\0", "text", None):
        with pytest.raises(InvalidEncoding, match="number 2 of 2"):
            key.parse_all([good[0], data])  # type: ignore[list-item]


def test_stored_ciphertexts_are_checked_for_size_alone(
    key: PublicKey, private_key: PrivateKey
) -> None:
    width, n = key.ciphertext_bytes, key.n
    assert private_key.decrypt(key.stored(key.encrypt(9).to_bytes())) == 9
    assert int(key.stored(n.to_bytes(width, "big"))) == n
    for value in (0, n**2, (1 << 8 * width) - 1):
        with pytest.raises(CiphertextOutOfRange):
            key.stored(value.to_bytes(width, "big"))
    with pytest.raises(InvalidEncoding):
        key.stored(n.to_bytes(width + 1, "big"))
    broken = key.stored(n.to_bytes(width, "big"))
    for invert in (broken.negated, lambda: key.invert_all([key.encrypt(1), broken])):
        with pytest.raises(CiphertextOutOfRange):
            invert()


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_inverting_together_is_negating_each(
    private_key: PrivateKey, other_private_key: PrivateKey, count: int
) -> None:
    key = private_key.public
    ciphertexts = [key.encrypt(m) for m in range(count)]
    inverted = key.invert_all(ciphertexts)
    assert [int(c) for c in inverted] == [int(c.negated()) for c in ciphertexts]
    with pytest.raises(ForeignKey):
        key.invert_all([*ciphertexts, other_private_key.public.encrypt(1)])


def test_keys_do_not_mix(private_key: PrivateKey, other_private_key: PrivateKey) -> None:
    mine, theirs = private_key.public.encrypt(1), other_private_key.public.encrypt(1)
    with pytest.raises(ForeignKey):
        mine.add(theirs)
    with pytest.raises(ForeignKey):
        private_key.decrypt(theirs)
    with pytest.raises(ForeignKey):
        private_key.is_zero(theirs)


def test_short_keys_are_refused_outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PublicKey((1 << 2047) + 1).bits == 2048
    monkeypatch.setattr(paillier, "MIN_KEY_BITS", 3072)
    with pytest.raises(KeyTooSmall, match="at least 3072"):
        PublicKey((1 << 3070) + 1)
    with pytest.raises(KeyTooSmall):
        PrivateKey.generate(512)
    assert PublicKey((1 << 3071) + 1).ciphertext_bytes == 768


@pytest.mark.parametrize("n", [-1, 0, 1, 1 << 200], ids=hex)
def test_moduli_that_are_no_keys(n: int) -> None:
    with pytest.raises(KeyTooSmall):
        PublicKey(n)


@pytest.mark.parametrize("n", [1 << 512, (1 << 16384) + 1], ids=["even", "endless"])
def test_even_and_endless_moduli(n: int) -> None:
    with pytest.raises(InvalidEncoding):
        PublicKey(n)


def test_private_key_wants_two_primes_of_a_length() -> None:
    p, q = (int(phe.util.getprimeover(256)) for _ in range(2))
    longer = int(phe.util.getprimeover(264))
    for bad in ((p, p), (p, q - 1), (p, longer), (p * q, 1), (0, 0), (-p, -q)):
        with pytest.raises(InvalidEncoding):
            PrivateKey(*bad)


def test_key_id_and_widths(key: PublicKey) -> None:
    assert key.bits == 512
    assert key.plaintext_bytes == 64
    assert key.ciphertext_bytes == 128
    assert len(key.key_id) == 64


def test_jwk_is_the_form_of_phe(private_key: PrivateKey) -> None:
    jwk = json.loads(json.dumps(private_key.to_jwk()))
    assert PrivateKey.from_jwk(jwk).public == private_key.public
    assert PublicKey.from_jwk(jwk["pub"]) == private_key.public
    assert jwk["pub"]["n"] == phe.util.int_to_base64(private_key.public.n)


def test_bad_jwks_are_refused(private_key: PrivateKey, other_private_key: PrivateKey) -> None:
    jwk, n = private_key.to_jwk(), private_key.public.n
    bad_public: list[dict[str, Any]] = [
        {},
        {**jwk["pub"], "kty": "RSA"},
        {**jwk["pub"], "n": None},
        {**jwk["pub"], "n": ""},
        {**jwk["pub"], "n": b64u(b"\0" + n.to_bytes(64, "big"))},
        {**jwk["pub"], "n": "A" * 10_000},
    ]
    for public in bad_public:
        with pytest.raises(InvalidEncoding):
            PublicKey.from_jwk(public)
    for private in (
        {},
        jwk["pub"],
        {**jwk, "p": jwk["q"]},
        {**jwk, "p": None},
        {**jwk, "pub": other_private_key.public.to_jwk()},
    ):
        with pytest.raises(InvalidEncoding):
            PrivateKey.from_jwk(private)
