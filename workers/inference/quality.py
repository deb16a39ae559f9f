"""Whether a recording can be judged at all: rules first, then a network that knows hearts.

Shortness, silence and clipping are rules, because a learned gate misses a good part of them; noise,
hum, speech and knocks are what the ``gate`` network was trained to tell from hearts.
"""

from __future__ import annotations

import enum

import numpy as np

from models.registry import SHORTEST, Models
from workers.inference.audio import SAMPLE_RATE, Audio


class UnreadableReason(enum.StrEnum):
    """Why a recording must be made again; stable, shown to the patient through translations."""

    TOO_SHORT = "too_short"
    SILENT = "silent"
    CLIPPED = "clipped"
    NOISE = "noise"


QUIET = 2e-4
"""RMS relative to full scale, -74 dB; the faintest real heart in the data has eight times that."""
_QUIET_SHARE = 0.5
_FRAME = SAMPLE_RATE // 8
CLIPPED_SHARE = 0.06
"""Of real recordings one in a thousand touches its own ceiling as often."""


def unreadable_reason(audio: Audio, models: Models) -> UnreadableReason | None:
    """Why ``audio`` cannot be judged, or None where it can."""
    reason = rule(audio)
    if reason is None and models.gate.logits(audio.samples)["heart"] < models.least_heart:
        return UnreadableReason.NOISE
    return reason


def rule(audio: Audio) -> UnreadableReason | None:
    """Why ``audio`` cannot be judged as far as rules tell: too short, silent or clipped."""
    if audio.samples.size < SHORTEST:
        return UnreadableReason.TOO_SHORT
    if is_silent(audio):
        return UnreadableReason.SILENT
    if audio.clipped > CLIPPED_SHARE:
        return UnreadableReason.CLIPPED
    return None


def is_silent(audio: Audio) -> bool:
    """Whether more than half of the recording, by eighths of a second, is as good as silent."""
    frames = audio.samples[: audio.samples.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    return bool(np.mean(frames.std(axis=1) < QUIET) > _QUIET_SHARE)
