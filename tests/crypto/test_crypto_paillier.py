"""Paillier against `phe`, against plain integers, and against bad ciphertexts and keys."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

import gmpy2
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
from crypto.paillier import PublicKey, noise_generator
from crypto.random import SeededRandom

NUMBERS = st.integers(min_value=0, max_value=(1 << 255) - 1)


def prime_factors(private_key: PrivateKey) -> tuple[int, int]:
    jwk = private_key.to_jwk()
    p, q = (int(phe.util.base64_to_int(jwk[name])) for name in ("p", "q"))
    return p, q


def phe_key(private_key: PrivateKey) -> Any:
    p, q = prime_factors(private_key)
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
    """h_n^s is (h^s)^n, so `phe` given r = h^s makes the same ciphertext."""
    key, theirs = private_key.public, phe_key(private_key).public_key
    s = SeededRandom(bytes(32), b"noise").bits(256)
    r = pow(noise_generator(key.n), s, key.n)
    for m in (0, 1, key.n - 1, key.n // 2):
        ours = key.encrypt(m, SeededRandom(bytes(32), b"noise"))
        assert int(ours) == theirs.raw_encrypt(m, r_value=r)
    assert int(key.constant(5).rerandomised(SeededRandom(bytes(32), b"noise"))) == (
        theirs.raw_encrypt(5, r_value=r)
    )


def test_known_answers(vectors: Callable[[str], Any]) -> None:
    """Another implementation, or a later one of this, must compute these numbers."""
    known = vectors("paillier")
    private = PrivateKey(int(known["p"], 16), int(known["q"], 16))
    key = private.public
    assert key.key_id == known["key_id"]
    assert noise_generator(key.n) == int(known["h"], 16)
    for case in known["encryptions"]:
        ours = key.encrypt(case["m"], _FixedExponent(int(case["s"], 16)))
        assert ours.to_wire().hex() == case["ciphertext"]
        assert private.decrypt(ours) == case["m"]
        theirs = phe_key(private).public_key.raw_encrypt(case["m"], r_value=int(case["r"], 16))
        assert theirs == int(ours)
    for case in known["of_phe"]:
        assert private.decrypt(key.parse(bytes.fromhex(case["ciphertext"]))) == case["m"]
    for case in known["malformed"]:
        error = {"range": CiphertextOutOfRange, "width": InvalidEncoding}[case["error"]]
        with pytest.raises(error):
            key.parse(bytes.fromhex(case["ciphertext"]))


class _FixedExponent(SeededRandom):
    """A source that draws the one exponent of a known answer."""

    def __init__(self, exponent: int) -> None:
        super().__init__(bytes(32), b"")
        self.exponent = exponent

    def bits(self, k: int) -> int:
        assert k == 256
        return self.exponent


def test_the_noise_generator_follows_from_n_alone(private_key: PrivateKey) -> None:
    """h = -y^2: no square mod p nor mod q, yet of Jacobi symbol 1, and 128 bits beyond n hashed."""
    n = private_key.public.n
    h, p = noise_generator(n), phe_key(private_key).p
    assert h == noise_generator(n) != noise_generator(n + 2)
    assert gmpy2.legendre(h, p) == gmpy2.legendre(h, n // p) == -1
    assert gmpy2.jacobi(h, n) == 1
    assert h.bit_length() > n.bit_length() - 40


def test_noise_is_drawn_of_half_the_length(key: PublicKey, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    class Source(SeededRandom):
        def bits(self, k: int) -> int:
            drawn.append(k)
            return super().bits(k)

    key.encrypt(1, Source(bytes(32), b""))
    key.constant(1).rerandomised(Source(bytes(32), b""))
    assert drawn == [256, 256]


def test_the_table_changes_no_ciphertext(private_key: PrivateKey) -> None:
    """Before and after `prepare`, and for another object of the same key, the same numbers."""
    fresh = PrivateKey.generate(512)
    for encrypt, prepare in (
        (fresh.encrypt, fresh.prepare),
        (fresh.public.encrypt, fresh.public.prepare),
    ):
        before = [int(encrypt(3, SeededRandom(bytes(32), bytes([i])))) for i in range(5)]
        prepare()
        assert before == [int(encrypt(3, SeededRandom(bytes(32), bytes([i])))) for i in range(5)]
        assert len(set(before)) == 5
    again = PublicKey(fresh.public.n)
    assert int(again.encrypt(3, SeededRandom(bytes(32), b"\0"))) == before[0]


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
    assert all(gmpy2.jacobi(noise, private_key.public.n) == 1 for noise in noises)


def test_key_holders_noise_is_uniform_in_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a toy size, over all that it can draw: every power of h_n, each as often as the others."""
    monkeypatch.setattr(paillier, "MIN_KEY_BITS", 8)
    p, q = 23, 31
    private, n = PrivateKey(p, q), p * q
    h_n = pow(noise_generator(n), n, n * n)
    group = {pow(h_n, s, n * n) for s in range((p - 1) * (q - 1))}

    class Source(SeededRandom):
        def __init__(self, parity: int, *halves: int) -> None:
            self.parity, self.halves = parity, list(halves)

        def bits(self, k: int) -> int:
            assert k == 1
            return self.parity

        def below(self, n: int) -> int:
            assert n == {2: (p - 1) // 2, 1: (q - 1) // 2}[len(self.halves)]
            return self.halves.pop(0)

    drawn = Counter(
        private.blinding_factor(Source(parity, half_p, half_q))
        for parity in range(2)
        for half_p in range((p - 1) // 2)
        for half_q in range((q - 1) // 2)
    )
    assert set(drawn) == group
    assert len(set(drawn.values())) == 1


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


def test_shifting_is_a_power_of_two(key: PublicKey) -> None:
    ciphertext = key.encrypt(5)
    for bits in (0, 1, 24, 82, 600):
        assert int(ciphertext.shifted(bits)) == pow(int(ciphertext), 1 << bits, key.n**2)
    with pytest.raises(ValueError, match="upwards"):
        ciphertext.shifted(-1)


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


def test_private_key_wants_two_primes_of_a_length(private_key: PrivateKey) -> None:
    p, q = prime_factors(private_key)
    longer = int(phe.util.getprimeover(264))
    for bad in ((p, p), (p, q - 1), (p, longer), (p * q, 1), (0, 0), (-p, -q)):
        with pytest.raises(InvalidEncoding, match="two primes"):
            PrivateKey(*bad)


def test_private_key_wants_primes_that_suit(private_key: PrivateKey) -> None:
    """3 mod 4 both, and nothing common in p - 1 and q - 1 but 2."""
    p, _ = prime_factors(private_key)
    one = next(x for x in iter(lambda: int(phe.util.getprimeover(256)), 0) if x % 4 == 1)
    left, right = (_prime_from(3 * 4, 7, skip) for skip in (0, 1))
    assert left % 4 == right % 4 == 3
    assert gmpy2.gcd(left - 1, right - 1) % 6 == 0
    for bad in ((p, one), (one, p), (left, right)):
        with pytest.raises(InvalidEncoding, match="3 mod 4"):
            PrivateKey(*bad)


def _prime_from(step: int, rest: int, skip: int) -> int:
    """The next prime of 256 bits that is `rest` mod `step`, after as many as are skipped."""
    candidates = range((3 << 254) // step * step + rest, 1 << 256, step)
    return next(islice(filter(gmpy2.is_prime, candidates), skip, None))


@pytest.mark.parametrize("bits", [256, 512, 514, 1024])
def test_generated_keys_suit(bits: int) -> None:
    for _ in range(5):
        private = PrivateKey.generate(bits)
        p, q = prime_factors(private)
        assert private.public.bits == bits
        assert p.bit_length() == q.bit_length() == bits // 2
        assert p % 4 == q % 4 == 3
        assert gmpy2.gcd(p - 1, q - 1) == 2
        assert private.decrypt(private.public.encrypt(77)) == 77


def test_keys_differ() -> None:
    assert len({PrivateKey.generate(256).public.n for _ in range(10)}) == 10


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
