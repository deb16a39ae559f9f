"""What the benchmarks write can be read: a table, one line of JSON, a picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import report
from benchmarks.plot import Bar, save_bars
from benchmarks.report import against, figure, publish


def test_the_last_line_is_json_with_summary_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    save_bars(tmp_path / "one.svg", "Title", [Bar("a", 3.0)])
    limit, one = figure("limit", "ms", [2.0]), figure("one", "ms", [3.0, 5.0, 4.0])
    publish("one", "Title", [limit, against(one, limit)], {"key_bits": 3072})
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown == json.loads((tmp_path / "one.json").read_text())
    assert shown["key_bits"] == 3072
    assert [row["median"] for row in shown["figures"]] == [2.0, 4.0]
    assert shown["figures"][1]["ratio"] == 2.0
    table = (tmp_path / "one.md").read_text()
    assert "| one | 4 ms | 3 to 5 | 3 | 2.00 of limit |" in table
    assert "(one.svg)" in table


def test_longer_bars_are_larger_values(tmp_path: Path) -> None:
    save_bars(tmp_path / "bars.svg", "A & B", [Bar("x < y", 4.9), Bar("z", 1050.0)])
    root = ElementTree.parse(tmp_path / "bars.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")][1:]
    assert 0 < widths[0] < widths[1]
    assert "x < y" in [text.text for text in root.iter(f"{space}text")]
