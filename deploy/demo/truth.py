"""What the servers must never know: the collector judges its own files, on its own machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from client.ranges import HealthyRange
from client.uploading import State
from workers.inference.audio import AudioError
from workers.inference.judge import Judge, Readable


@dataclass(frozen=True, repr=False)
class Truth:
    """A recording's judgement. `sound` (0..65,535) and `rate` (tenths of bpm) if it is counted."""

    state: State
    sound: int | None = None
    rate: int | None = None

    def findings(self, healthy: HealthyRange) -> tuple[bool, bool]:
        """Whether it is abnormal by sound and by heart rate; a recording not counted is neither."""
        if self.sound is None or self.rate is None:
            return False, False
        return self.sound >= healthy.threshold, not healthy.lo <= self.rate <= healthy.hi


@dataclass(frozen=True)
class Counts:
    """What an opening shows in total."""

    recordings: int
    sound: int
    rate: int


def judge(data: bytes, judging: Judge) -> Truth:
    """Judges one file as the inference worker does; what cannot be decoded fails there."""
    try:
        judgement = judging.judge(data)
    except AudioError:
        return Truth(State.FAILED)
    if isinstance(judgement, Readable):
        return Truth(State.COUNTED, judgement.sound, judgement.heart_rate_tenths)
    return Truth(State.UNREADABLE)


def expected_counts(truths: Iterable[Truth], healthy: HealthyRange) -> Counts:
    """The counts that patient and doctor must open."""
    counted = [truth for truth in truths if truth.state is State.COUNTED]
    findings = [truth.findings(healthy) for truth in counted]
    sound, rate = (sum(column) for column in zip(*findings, strict=True)) if findings else (0, 0)
    return Counts(len(counted), sound, rate)
