"""What the peers take, in an environment of their own; prints one line of JSON.

Run by `benchmarks.crypto` as `.venv-peers/bin/python benchmarks/peers/measure.py`. It imports
nothing of Hushbeat. CPU time of TNO's comparison is that of this process and of those that it
starts for its randomness, once they are running.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import secrets
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

import gmpy2
from phe import paillier as phe
from tno.mpc.communication import Serialization
from tno.mpc.encryption_schemes.dgk import DGK, DGKPublicKey, DGKSecretKey
from tno.mpc.encryption_schemes.paillier import Paillier
from tno.mpc.encryption_schemes.utils import next_prime
from tno.mpc.protocols.secure_comparison import Initiator, KeyHolder

SCORE_BITS = 16
WARM_UP = 2
ROUNDS = 5
COMPARISONS = 4
"""In a round."""
PHE_RUNS = 20
KEY_BITS = (2048, 3072)
DGK_EXPONENT_BITS = {2048: 224, 3072: 256}
"""v of Damgard, Geisler and Kroigaard at the security of the modulus; TNO's default is 160."""


def main() -> None:
    warnings.simplefilter("ignore")
    names = ("phe", "gmpy2", "tno.mpc.protocols.secure_comparison")
    result: dict[str, Any] = {
        "phe": {bits: measure_phe(bits) for bits in KEY_BITS},
        "tno": {bits: asyncio.run(measure_tno(bits)) for bits in KEY_BITS},
        "versions": {name: version(name) for name in names},
    }
    sys.stdout.write(json.dumps(result) + "\n")


def measure_phe(bits: int) -> dict[str, list[float]]:
    """Milliseconds of each key generation, encryption and decryption."""
    public, private = phe.generate_paillier_keypair(n_length=bits)
    ciphertext = public.raw_encrypt(7)
    return {
        "keygen": timed(lambda: phe.generate_paillier_keypair(n_length=bits), 5),
        "encrypt": timed(lambda: public.raw_encrypt(secrets.randbelow(1 << 40)), PHE_RUNS),
        "decrypt": timed(lambda: private.raw_decrypt(ciphertext), PHE_RUNS),
    }


def timed(work: Any, runs: int) -> list[float]:
    work()
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(1_000 * (time.process_time() - start))
    return taken


async def measure_tno(bits: int) -> dict[str, Any]:
    """Comparisons a second and core in each round, bytes and messages of one, both parties here."""
    paillier = Paillier.from_security_parameter(key_length=bits)
    dgk = DGK(*dgk_key(bits, DGK_EXPONENT_BITS[bits]), full_decryption=False)
    channel = Channel()
    initiator = Initiator(SCORE_BITS, communicator=channel)
    keyholder = KeyHolder(SCORE_BITS, channel, scheme_paillier=paillier, scheme_dgk=dgk)

    pairs = [
        (secrets.randbelow(1 << SCORE_BITS), secrets.randbelow(1 << SCORE_BITS))
        for _ in range(WARM_UP + ROUNDS * COMPARISONS)
    ]
    inputs = [(paillier.encrypt(x), paillier.encrypt(y)) for x, y in pairs]
    answers = []
    spent = []
    for number, (x, y) in enumerate(inputs):
        if number >= WARM_UP and (number - WARM_UP) % COMPARISONS == 0:
            spent.append((cpu_seconds(), time.process_time()))
        answer, _ = await asyncio.gather(
            initiator.perform_secure_comparison(x, y), keyholder.perform_secure_comparison()
        )
        answers.append(answer)
    spent.append((cpu_seconds(), time.process_time()))
    rounds = [after - before for (before, _), (after, _) in itertools.pairwise(spent)]
    total, own = (last - first for first, last in zip(spent[0], spent[-1], strict=True))
    if [bool(paillier.decrypt(answer)) for answer in answers] != [x <= y for x, y in pairs]:
        raise SystemExit("the peer compares wrongly: it is not used as it should be")
    for scheme in (paillier, dgk, initiator.scheme_paillier, initiator.scheme_dgk):
        scheme.shut_down()
    return {
        "comparisons_per_s_core": [COMPARISONS / seconds for seconds in rounds],
        "share_of_randomness": 1 - own / total,
        "bytes": channel.bytes / len(answers),
        "messages": channel.messages / len(answers),
    }


def dgk_key(bits: int, exponent_bits: int) -> tuple[DGKPublicKey, DGKSecretKey]:
    """A DGK key as TNO's, in a second: TNO wants more of its primes and searches for minutes."""
    u = next_prime(1 << (SCORE_BITS + 2))
    halves = []
    for _ in range(2):
        v = gmpy2.next_prime(secrets.randbits(exponent_bits) | 1 << exponent_bits - 1)
        step = 2 * u * v
        prime, lowest, spread = 1, (3 << bits // 2 - 2) // step + 1, (1 << bits // 2 - 2) // step
        while not gmpy2.is_prime(prime):
            prime = step * (lowest + secrets.randbelow(int(spread))) + 1
        # Of order u v modulo the prime: no v-th and no u-th power is 1.
        while True:
            g = gmpy2.powmod(secrets.randbelow(int(prime)), (prime - 1) // (u * v), prime)
            if 1 not in (gmpy2.powmod(g, u, prime), gmpy2.powmod(g, v, prime)):
                break
        halves.append((v, prime, g))
    (v_p, p, g_p), (v_q, q, g_q) = halves
    n = p * q
    g = (g_p + (g_q - g_p) * gmpy2.invert(p, q) % q * p) % n
    h = gmpy2.powmod(g, u * (secrets.randbits(exponent_bits - 2) | 1), n)
    public = DGKPublicKey(int(g), int(h), int(u), int(n), exponent_bits)
    return public, DGKSecretKey(int(v_p), int(v_q), int(p), int(q))


class Channel:
    """Both directions of a connection: what is sent is packed as TNO sends it, and counted."""

    def __init__(self) -> None:
        self.bytes = 0
        self.messages = 0
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    async def send(self, party_id: str, message: Any, msg_id: str) -> None:  # noqa: ARG002
        packed = Serialization.pack(message, msg_id=msg_id, use_pickle=False)
        if not msg_id.startswith("schemes"):
            self.bytes += len(packed)
            self.messages += 1
        self._of(msg_id).set_result(packed)

    async def recv(self, party_id: str, msg_id: str) -> Any:  # noqa: ARG002
        packed = await self._of(msg_id)
        del self._waiting[msg_id]
        return Serialization.unpack(packed)[1]

    def _of(self, msg_id: str) -> asyncio.Future[bytes]:
        future = asyncio.get_running_loop().create_future()
        return self._waiting.setdefault(msg_id, future)


def cpu_seconds() -> float:
    """Of this process and of its children that live (clock_getcpuclockid, Linux)."""
    clocks = ((~child.pid << 3) | 2 for child in multiprocessing.active_children() if child.pid)
    return time.process_time() + sum(map(time.clock_gettime, clocks))


if __name__ == "__main__":
    main()
