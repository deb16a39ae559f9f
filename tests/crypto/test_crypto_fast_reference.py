"""The reference engine, the oracle, is held to the same triples as the fast one, and both agree."""

import pytest

from crypto.comparison.parameters import Parameters
from crypto.comparison.reference import FirstItem, ReferenceInitiator, SecondItem
from crypto.keyholder.masks import MaskKey
from crypto.keyholder.private_key import PrivateKey
from crypto.keyholder.reference import ReferenceResponder
from crypto.random import SeededRandom
from crypto.slots import join, zone_bits
from tests.crypto.fast_pair import FastPair, Triple, as_triple, findings, random_triples, recording


def reference_findings(
    private: PrivateKey, masks: MaskKey, score_bits: int, triples: list[Triple]
) -> list[tuple[int, int]]:
    """What the reference engine adds to sound and to rate."""
    key, parameters = private.public, Parameters(score_bits)
    zone = zone_bits(key.bits, parameters.slot_bits)
    responder = ReferenceResponder(private, masks, score_bits=score_bits)
    seeds = SeededRandom(bytes(32), b"reference")
    out = []
    for number, triple in enumerate(triples):
        at = recording(number)
        packed = key.constant(join([(1 << score_bits) + x - b for x, b in triple], zone))
        seed = seeds.bits(256).to_bytes(32, "big")
        initiator = ReferenceInitiator(key, at, packed, seed, score_bits=score_bits)
        count, masked = initiator.first()
        tests = initiator.second(responder.first(FirstItem(at, count, masked)))
        answer = responder.second(SecondItem(at, count, masked, tests))
        bits = [private.decrypt(bit) for bit in initiator.bits(answer)]
        assert set(bits) <= {0, 1}
        out.append((bits[0], 1 - bits[1] + bits[2]))
    return out


@pytest.fixture(scope="module")
def oracle_key(_small_keys_are_allowed: None) -> PrivateKey:
    return PrivateKey.generate(288)


@pytest.mark.parametrize("score_bits", [8, 16, 24])
@pytest.mark.parametrize(
    "count", [700, pytest.param(5_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
)
def test_reference_engine_on_the_same_triples(
    oracle_key: PrivateKey, mask_key: MaskKey, score_bits: int, count: int
) -> None:
    triples = [as_triple(*numbers) for numbers in random_triples(score_bits, count)]
    expected = list(map(findings, triples))
    assert reference_findings(oracle_key, mask_key, score_bits, triples) == expected
    fast = FastPair(oracle_key, mask_key, Parameters(score_bits))
    assert fast.compare(triples) == expected
