"""The networks: log-mel front end, CNN, CNN + LSTM, and the gate that knows non-heart sounds.

Training sees log-mel windows; the exported graph (``WholeRecording``) starts at the waveform and
runs the same modules, so the two cannot drift apart.
"""

# mypy: disable-error-code="misc, no-any-return"
from __future__ import annotations

import librosa
import numpy as np
import torch
from torch import Tensor, nn

SAMPLE_RATE = 2_000
N_FFT = 160
"""80 ms: long enough to part S1 from S2 in frequency, short enough to see them apart in time."""
HOP = 40
"""20 ms."""
N_MELS = 48
FMIN, FMAX = 20.0, 900.0
FLOOR = 1e-5
"""Smallest mel power of a recording scaled to unit RMS, 50 dB under a band at 1."""
WINDOW = 296
"""Frames a network sees at once, 6 s."""
WINDOW_STEP = 148


class LogMel(nn.Module):
    """Waveform (samples,) at 2 kHz to log-mel (48, frames) in dB.

    The waveform is centred and scaled to unit RMS first. Equal to librosa's
    ``power_to_db(melspectrogram(x, sr=2000, n_fft=160, hop_length=40, n_mels=48, fmin=20,
    fmax=900, center=False), ref=1, amin=1e-5, top_db=None)``. The Fourier transform is a matrix
    product because ONNX runtimes agree on those everywhere, in double precision because a faint
    band beside a loud one is otherwise off by more than 0.001 dB.
    """

    def __init__(self) -> None:
        super().__init__()
        time = np.arange(N_FFT)
        angle = 2 * np.pi * np.outer(time, np.arange(N_FFT // 2 + 1)) / N_FFT
        hann = (0.5 - 0.5 * np.cos(2 * np.pi * time / N_FFT))[:, None]
        fourier = np.concatenate([np.cos(angle) * hann, -np.sin(angle) * hann], axis=1)
        mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=FMIN, fmax=FMAX)
        self.register_buffer("fourier", torch.tensor(fourier), persistent=False)
        self.register_buffer("mel", torch.tensor(mel, dtype=torch.float64), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        exact = waveform.double()
        centred = exact - exact.mean()
        scaled = centred / torch.sqrt((centred * centred).mean() + 1e-20)
        start = HOP * torch.arange((waveform.shape[0] - N_FFT) // HOP + 1, device=waveform.device)
        frames = scaled[start[:, None] + torch.arange(N_FFT, device=waveform.device)[None, :]]
        parts = frames @ self.fourier
        real, imaginary = parts[:, : N_FFT // 2 + 1], parts[:, N_FFT // 2 + 1 :]
        power = self.mel @ (real * real + imaginary * imaginary).T
        return (10.0 * torch.log10(torch.clamp(power, min=FLOOR))).float()


def windows(log_mel: Tensor) -> Tensor:
    """Log-mel (48, frames) to overlapping windows (n, 48, 296), n = ceil(frames / 148).

    The first window starts at the start and the last ends at the end. Recordings shorter than a
    window are repeated cyclically.
    """
    frames = log_mel.shape[1]
    count = (frames + WINDOW_STEP - 1) // WINDOW_STEP
    # Arithmetic on one-element tensors: the exporter cannot translate it on symbolic integers.
    one = torch.ones(1, dtype=torch.int64, device=log_mel.device)
    room = torch.clamp(one * (frames - WINDOW), min=0)
    gaps = torch.clamp(one * (count - 1), min=1)
    number = torch.arange(count, device=log_mel.device)
    start = torch.div(number * room, gaps, rounding_mode="floor")
    index = start[:, None] + torch.arange(WINDOW, device=log_mel.device)[None, :]
    return log_mel[:, torch.remainder(index, one * frames)].permute(1, 0, 2)


def normalise(batch: Tensor) -> Tensor:
    """Zero mean and unit variance of every band of every window.

    Takes away the recording chain's frequency response, which otherwise tells the site.
    """
    centred = batch - batch.mean(dim=2, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(dim=2, keepdim=True) + 1.0)


def _block(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Cnn(nn.Module):
    """Windows (n, 48, 296) to logits (n, 2): murmur, abnormal."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(1, 16, (2, 2)),
            _block(16, 32, (1, 1)),
            _block(32, 48, (2, 2)),
            _block(48, 64, (1, 1)),
            _block(64, 96, (2, 2)),
            _block(96, 96, (1, 1)),
        )
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * 96, 2)

    def forward(self, batch: Tensor) -> Tensor:
        found = self.body(normalise(batch)[:, None]).mean(dim=2)
        pooled = torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)
        return self.head(self.drop(pooled))


class CnnLstm(nn.Module):
    """Windows (n, 48, 296) to logits (n, 2): convolutions, then a two-way LSTM over time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(1, 16, (2, 1)),
            _block(16, 32, (2, 2)),
            _block(32, 48, (2, 2)),
            _block(48, 64, (2, 1)),
        )
        self.lstm = nn.LSTM(3 * 64, 48, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * 96, 2)

    def forward(self, batch: Tensor) -> Tensor:
        found = self.body(normalise(batch)[:, None])
        steps, _ = self.lstm(found.flatten(1, 2).transpose(1, 2))
        pooled = torch.cat([steps.mean(dim=1), steps.amax(dim=1)], dim=1)
        return self.head(self.drop(pooled))


class Gate(nn.Module):
    """Windows (n, 48, 296) to one logit (n, 1): does this sound like a heart at all.

    Sees the bands' levels as well as their course in time: what separates a heart from noise, hum
    or speech is where its energy lies and how it comes and goes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(2, 16, (2, 2)),
            _block(16, 32, (2, 2)),
            _block(32, 48, (2, 2)),
        )
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * 48, 1)

    def forward(self, batch: Tensor) -> Tensor:
        level = (batch - batch.mean(dim=(1, 2), keepdim=True)) / 20.0
        found = self.body(torch.stack([level, normalise(batch)], dim=1)).mean(dim=2)
        pooled = torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)
        return self.head(self.drop(pooled))


NETWORKS: dict[str, type[nn.Module]] = {"cnn": Cnn, "cnn_lstm": CnnLstm, "gate": Gate}


class WholeRecording(nn.Module):
    """What is exported: waveform (samples,) to logits (heads,) and the log-mel (48, frames)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.front = LogMel()
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        log_mel = self.front(waveform)
        return self.network(windows(log_mel)).mean(dim=0), log_mel
