"""The cryptography at 3072 bits, beside its peers and its limits (`make bench-crypto`).

`python -m benchmarks.crypto`. The last line is JSON; docs/benchmarks/crypto.{md,json,svg} are
written. `phe` and TNO's comparison come from `.venv-peers` (`benchmarks/peers`).
"""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import engine, noise, openings
from benchmarks.plot import Bar, save_bars
from benchmarks.report import FOLDER, against, figure, publish
from benchmarks.running import running
from crypto.slots import SIGMA

PEERS = Path(".venv-peers/bin/python")


def main() -> None:
    peers = _peers()
    with running() as scene:
        private = scene.keys.paillier
        paillier = noise.measure(private)
        opened = openings.measure(scene)
        compared = engine.measure_system(scene)
    alone = engine.measure_alone(private)
    tno = peers["tno"]["3072"]
    tno_rate = figure(
        "TNO secure_comparison, comparisons a second and core", "", tno["comparisons_per_s_core"]
    )
    summary = {
        "key_bits": private.public.bits,
        "sigma": SIGMA,
        "recordings_per_s_core": compared.per_second.median,
        "bytes_per_recording": compared.bytes_per_recording,
        "round_trips": compared.round_trips,
        "comparisons_per_s_core": alone[0].median,
        "encrypt_vs_phe": paillier.phe_encrypt.median / paillier.encrypt.median,
        "encrypt_limit_vs_phe": paillier.phe_encrypt.median / paillier.limit.median,
        "tally_add_vs_mul": paillier.addition.median / paillier.multiplication.median,
        "opening_vs_decrypt": opened.many.median / paillier.decrypt.median,
        "opening_vs_phe_decrypt": opened.many.median / peers["phe"]["3072"]["decrypt"],
        "opening_many_vs_few": opened.many.median / opened.few.median,
        "decryptions_for_60_patients": opened.decryptions_for_list,
        "keygen_s": paillier.keygen.median,
        "peers": peers,
    }
    # Faster than ours: its powers take a time that depends on the key.
    phe_decrypt = figure("phe: decryption", "ms CPU", [peers["phe"]["3072"]["decrypt"]])
    figures = [
        *compared.figures,
        against(alone[0], tno_rate),
        against(alone[1], alone[0]),
        tno_rate,
        *paillier.figures,
        phe_decrypt,
        *(against(one, paillier.decrypt) for one in opened.figures),
    ]
    save_bars(
        FOLDER / "crypto.svg",
        "Comparisons of 16-bit numbers, a second and core, 3072 bits",
        [
            Bar("Hushbeat, as it runs", 3 * compared.per_second.median),
            Bar("Hushbeat, without HTTP and databases", alone[0].median),
            Bar("TNO secure_comparison 4.4.0", tno_rate.median),
        ],
    )
    publish("crypto", "Cryptography at 3072 bits", figures, summary)


def _peers() -> dict[str, Any]:
    """By length of the key: medians of phe in ms of CPU, and what TNO's comparison takes."""
    done = subprocess.run(
        [PEERS, "benchmarks/peers/measure.py"], stdout=subprocess.PIPE, check=True, text=True
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for times in measured["phe"].values():
        times |= {name: statistics.median(values) for name, values in times.items()}
    return measured


if __name__ == "__main__":
    main()
