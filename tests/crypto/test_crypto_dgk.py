"""Hushbeat's side A against TNO's unmodified key holder, with bits under the DGK cryptosystem.

TNO's package lives in an environment of its own, which `make test` makes.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import StaleCiphertext
from crypto.paillier import PublicKey
from crypto.random import SeededRandom
from tests.crypto.dgk.adapter import DgkInitiator, DgkKey
from tests.crypto.test_crypto_fast_right import TNO_SMALLER

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
SCRIPT = Path(__file__).parent / "dgk" / "key_holder.py"

SCORE_BITS = 16
TOP = (1 << SCORE_BITS) - 1


def pairs() -> list[tuple[int, int]]:
    """TNO's published pairs both ways round and equal, all edges, and random ones."""
    moved = [(x + (1 << 15), y + (1 << 15)) for x, y in TNO_SMALLER]
    edges = [0, 1, TOP // 2, TOP // 2 + 1, TOP - 1, TOP]
    random = SeededRandom(bytes(32), b"tno")
    return [
        *moved,
        *((y, x) for x, y in moved),
        *((y, y) for _, y in moved),
        *((x, y) for x in edges for y in edges),
        *((random.bits(SCORE_BITS), random.bits(SCORE_BITS)) for _ in range(37)),
    ]


class KeyHolder:
    """TNO's process."""

    def __init__(self, runs: int) -> None:
        assert PEERS.exists(), "no environment for TNO's package: run `deploy/prepare peers`"
        self._process = subprocess.Popen(
            [PEERS, SCRIPT, str(SCORE_BITS), str(runs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, kind: str) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "TNO's key holder ended early"
        message = json.loads(line)
        assert message["id"].startswith(kind)
        return message["values"]

    def write(self, name: str, values: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": name, "values": values}) + "\n")
        self._process.stdin.flush()

    def close(self) -> int:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                return process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture
def key_holder(_small_keys_are_allowed: None) -> Iterator[KeyHolder]:
    holder = KeyHolder(len(pairs()))
    yield holder
    holder.close()


def test_side_a_against_tnos_key_holder(key_holder: KeyHolder) -> None:
    """[x >= bound], which is TNO's [bound <= x], for every pair and under both coins."""
    coins = []
    for number, (x, bound) in enumerate(pairs(), 1):
        modulus, dgk = key_holder.read("schemes")
        paillier = PublicKey(int(modulus, 16))
        key = DgkKey(**{name: int(text, 16) for name, text in dgk.items()})
        packed = paillier.encrypt((1 << SCORE_BITS) + x - bound)
        side = DgkInitiator(paillier, key, SCORE_BITS, packed, number.to_bytes(32, "big"))
        key_holder.write(f"step_1_session_{number}", f"{int(side.masked()):x}")
        _, bits = key_holder.read("step_4b")
        tests = side.tests([key.ciphertext(bit) for bit in bits])
        assert len(bits) + 1 == len(tests) == len(set(tests)) == SCORE_BITS + 1
        key_holder.write(f"step_4i_session_{number}", [f"{test:x}" for test in tests])
        quotient, _, zero_seen = (
            paillier.parse(int(cell, 16).to_bytes(paillier.ciphertext_bytes, "big"))
            for cell in key_holder.read("step_5")
        )
        key_holder.write("result", f"{int(side.result(quotient, zero_seen)):x}")
        assert key_holder.read("opened") == int(x >= bound)
        coins.append(side.coin)
    assert set(coins) == {0, 1}
    assert len(coins) == 100
    assert key_holder.close() == 0


def test_the_adapter_refuses_stale_ciphertexts() -> None:
    key = DgkKey(n=35, g=2, h=4, u=3, t=2)
    with pytest.raises(StaleCiphertext):
        key.constant(1).add_constant(1).to_wire()
    assert key.constant(1).rerandomised(SeededRandom(bytes(32), b"")).to_wire()
