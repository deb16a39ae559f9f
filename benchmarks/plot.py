"""One kind of picture: horizontal bars on a logarithmic scale, as SVG without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _LEFT, _ROW = 760, 300, 34


@dataclass(frozen=True)
class Bar:
    """A name and a positive value."""

    name: str
    value: float


def save_bars(path: Path, title: str, bars: Sequence[Bar]) -> None:
    """Writes the picture; the scale runs from a power of ten below the smallest value."""
    low = math.floor(math.log10(min(bar.value for bar in bars)))
    high = math.ceil(math.log10(max(bar.value for bar in bars)) + 0.2)
    scale = (_WIDTH - _LEFT - 90) / max(high - low, 1)
    height = 60 + _ROW * len(bars) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="28" font-size="16">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        x = _LEFT + scale * (power - low)
        parts.append(f'<path d="M{x:.0f} 44V{height - 30}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{x:.0f}" y="{height - 10}" text-anchor="middle" fill="#555">'
            f"{10.0**power:g}</text>"
        )
    for row, bar in enumerate(bars):
        y = 50 + _ROW * row
        width = scale * (math.log10(bar.value) - low)
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 18}" text-anchor="end">{escape(bar.name)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="24" fill="#1f6f8b"/>'
            f'<text x="{_LEFT + width + 8:.1f}" y="{y + 18}">{bar.value:.4g}</text>'
        )
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
