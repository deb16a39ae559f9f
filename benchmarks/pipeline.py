"""The running system as its users meet it: every process of `make run`, keys of 3072 bits.

`python -m benchmarks.pipeline`. Uploads of sealed 10 s recordings at three loads; then how fast the
backlog is judged and counted; and judging alone, without servers.
"""

from __future__ import annotations

import secrets
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path

from benchmarks.report import Figure, figure, publish, timed
from client.collector import Collector
from client.profile import Profile
from client.uploading import upload, wait_until_finished
from deploy.local.system import LocalSystem, free_ports
from models.synthesis import phonocardiogram, wav_bytes
from workers.inference.judge import Judge

AT_ONCE = (1, 4, 16)
UPLOADS = 48
COUNTED = 12
PATIENTS = 4
ROUNDS = 3


def main() -> None:
    judge = Judge.load()
    sample = _recording(0)
    alone = figure("judge 10 s of sound", "ms CPU", timed(lambda: judge.judge(sample), 50, _cpu))
    with tempfile.TemporaryDirectory(prefix="hushbeat-bench-") as name:
        folder = Path(name)
        port, keyholder_port = free_ports()
        home = folder / "home"
        with LocalSystem(home, port=port, keyholder_port=keyholder_port) as system:
            fingerprint = (home / "public" / "keyholder-fingerprint").read_text().strip()
            patients = [
                Collector.register(
                    Profile(folder / f"patient-{i}"),
                    system.keyholder_url,
                    fingerprint,
                    secrets.token_urlsafe(18),
                    display_name="Benchmark",
                    kind="patient",
                    age_band="adult",
                )
                for i in range(PATIENTS)
            ]
            counted = _count(patients)
            system.halt("inference")
            uploads = [_uploads(patients, at_once) for at_once in AT_ONCE]
            for patient in patients:
                patient.close()
    publish(
        "pipeline",
        "The whole pipeline on one machine",
        [alone, counted, *(part for parts in uploads for part in parts)],
    )


def _count(patients: Sequence[Collector]) -> Figure:
    """Recordings per second from upload to counted, three times, spread over the patients."""
    rates = []
    for part in range(ROUNDS):
        sent = []
        start = time.monotonic()
        for i in range(COUNTED):
            patient = patients[i % len(patients)]
            sent.append(
                (patient, upload(patient, _recording(1_000 + part * COUNTED + i), _today()))
            )
        for patient, recording in sent:
            wait_until_finished(patient, [recording], 600.0)
        rates.append(COUNTED / (time.monotonic() - start))
    return figure("uploaded, judged, compared and counted", "recordings/s", rates)


def _uploads(patients: Sequence[Collector], at_once: int) -> list[Figure]:
    """Sealing and sending while nothing is judged: requests per second, and each one's time."""
    day = _today()
    medians, highs, rates = [], [], []
    for part in range(ROUNDS):
        files = [_recording((100 * at_once + part) * UPLOADS + i) for i in range(UPLOADS)]

        def send(i: int, files: Sequence[bytes] = files) -> float:
            start = time.monotonic()
            upload(patients[i % len(patients)], files[i], day)
            return 1_000 * (time.monotonic() - start)

        start = time.monotonic()
        with ThreadPoolExecutor(at_once) as pool:
            taken = sorted(pool.map(send, range(UPLOADS)))
        rates.append(UPLOADS / (time.monotonic() - start))
        medians.append(statistics.median(taken))
        highs.append(taken[int(0.95 * len(taken))])
    return [
        figure(f"upload with {at_once} at once, median", "ms", medians),
        figure(f"upload with {at_once} at once, 95th percentile", "ms", highs),
        figure(f"uploads with {at_once} at once", "requests/s", rates),
    ]


def _recording(seed: int) -> bytes:
    return wav_bytes(phonocardiogram(60 + seed % 30, seconds=10.0, noise=0.01, seed=seed))


def _today() -> date:
    return datetime.now().astimezone().date()


def _cpu() -> float:
    return time.process_time()


if __name__ == "__main__":
    main()
