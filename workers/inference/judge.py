"""One recording's bytes to one judgement: the only thing that the Celery task calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.registry import PINS, Models, load_models
from workers.inference.audio import read_audio
from workers.inference.heart_rate import heart_rate_bpm
from workers.inference.quality import UnreadableReason, unreadable_reason

HIGHEST = 65_535


@dataclass(frozen=True, repr=False)
class Readable:
    """A recording that could be judged; its text is the type's name, so that no log holds a result.

    ``sound``: 0..65,535, the operating point at 32,768. ``heart_rate_tenths``: tenths of bpm.
    """

    model_id: str
    sound: int
    heart_rate_tenths: int

    def __repr__(self) -> str:
        return "Readable()"


@dataclass(frozen=True)
class Unreadable:
    """A recording that nobody should count: the patient is asked to record again."""

    reason: UnreadableReason


Judgement = Readable | Unreadable


class Judge:
    """The models in memory, made once a process and after the fork."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @classmethod
    def load(cls, pins: Path = PINS) -> Judge:
        """Loads the pinned models; raises models.registry.ModelError where one is not as pinned."""
        return cls(load_models(pins))

    @property
    def model_id(self) -> str:
        """The networks and version that judge."""
        return self._models.model_id

    def judge(self, data: bytes) -> Judgement:
        """Judges a recording of 3 to 120 s.

        Raises workers.inference.audio.AudioError for a file that cannot be read.
        """
        audio = read_audio(data)
        reason = unreadable_reason(audio, self._models)
        if reason is not None:
            return Unreadable(reason)
        logits = self._models.sound_logits(audio.samples)
        tenths = round(10 * heart_rate_bpm(audio.samples))
        return Readable(self.model_id, self._models.sound.score(logits), min(tenths, HIGHEST))
