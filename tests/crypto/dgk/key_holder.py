"""TNO's key holder, unmodified, behind lines of JSON.

Run as `.venv-peers/bin/python key_holder.py <l> <number of comparisons>`. It imports nothing of
Hushbeat. Each line out is {"id": ..., "values": ...}, each line in the same, ciphertexts as hex.
The keys are as short as those of TNO's own tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from typing import Any

from tno.mpc.encryption_schemes.dgk import DGK, DGKCiphertext
from tno.mpc.encryption_schemes.paillier import Paillier, PaillierCiphertext
from tno.mpc.encryption_schemes.utils import next_prime
from tno.mpc.protocols.secure_comparison import KeyHolder


class Lines:
    """TNO's communicator on standard input and output."""

    def __init__(self, paillier: Paillier, dgk: DGK) -> None:
        self._paillier, self._dgk = paillier, dgk

    async def send(self, _: str, message: Any, msg_id: str) -> None:
        sys.stdout.write(json.dumps({"id": msg_id, "values": self._written(message)}) + "\n")
        sys.stdout.flush()

    async def recv(self, _: str, msg_id: str) -> Any:
        line = json.loads(await asyncio.to_thread(sys.stdin.readline))
        if line["id"] != msg_id:
            raise ValueError(f"expected {msg_id}")
        values = line["values"]
        if isinstance(values, str):
            return PaillierCiphertext(int(values, 16), self._paillier)
        return [DGKCiphertext(int(value, 16), self._dgk) for value in values]

    def _written(self, message: Any) -> Any:
        if isinstance(message, Paillier):
            return f"{message.public_key.n:x}"
        if isinstance(message, DGK):
            public = message.public_key
            return {name: f"{getattr(public, name):x}" for name in ("n", "g", "h", "u", "t")}
        if isinstance(message, (list, tuple)):
            return [self._written(part) for part in message]
        return f"{message.get_value():x}"

    def opened(self, result: PaillierCiphertext) -> None:
        """What the other side's result decrypts to, for the test."""
        number = int(self._paillier.decrypt(result, apply_encoding=False))
        sys.stdout.write(json.dumps({"id": "opened", "values": number}) + "\n")
        sys.stdout.flush()


async def main(bits: int, runs: int) -> None:
    paillier = Paillier.from_security_parameter(key_length=1024)
    u = next_prime(1 << (bits + 2))
    dgk = DGK.from_security_parameter(v_bits=20, n_bits=128, u=u, full_decryption=False)
    lines = Lines(paillier, dgk)
    holder = KeyHolder(bits, lines, scheme_paillier=paillier, scheme_dgk=dgk)
    for _ in range(runs):
        await holder.perform_secure_comparison()
        lines.opened(await lines.recv("", "result"))
    for scheme in (paillier, dgk):
        scheme.shut_down()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
