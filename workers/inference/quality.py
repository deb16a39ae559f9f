"""Whether a recording can be judged at all: rules first, then a network that knows hearts.

Shortness, silence, clipping and steady sound are rules, because a learned gate misses some of them;
other noise, speech and knocks are what the ``gate`` network was trained to tell from hearts.
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
"""Of real recordings one in two thousand touches its own ceiling as often."""
STEADY_DB = 1.8
"""Spread of the loudness of sixteenths of a second. White noise has 0.5 dB and hum 0.1; real hearts
have 2.2 and more, but for eleven recordings of training-e that sound like noise throughout."""


def unreadable_reason(audio: Audio, models: Models) -> UnreadableReason | None:
    """Why ``audio`` cannot be judged, or None where it can."""
    reason = rule(audio)
    if reason is None and models.gate.logits(audio.samples)["heart"] < models.least_heart:
        return UnreadableReason.NOISE
    return reason


def rule(audio: Audio) -> UnreadableReason | None:
    """Why ``audio`` cannot be judged as far as rules tell: too short, silent, clipped, steady."""
    if audio.samples.size < SHORTEST:
        return UnreadableReason.TOO_SHORT
    if is_silent(audio):
        return UnreadableReason.SILENT
    if audio.clipped > CLIPPED_SHARE:
        return UnreadableReason.CLIPPED
    if is_steady(audio):
        return UnreadableReason.NOISE
    return None


def is_steady(audio: Audio) -> bool:
    """Whether the loudness stays the same, as that of noise and hum does and a heart's does not."""
    length = _FRAME // 2
    frames = audio.samples[: audio.samples.size // length * length].reshape(-1, length)
    loudness = 20 * np.log10(frames.std(axis=1) + 1e-9)
    return bool(loudness.std() < STEADY_DB)


def is_silent(audio: Audio) -> bool:
    """Whether more than half of the recording, by eighths of a second, is as good as silent."""
    frames = audio.samples[: audio.samples.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    return bool(np.mean(frames.std(axis=1) < QUIET) > _QUIET_SHARE)
