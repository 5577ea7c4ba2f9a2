"""`desk check`: shipped strategies pass, and a user's file that looks ahead is caught by name."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run
from tests.strategies.bars import walk

FILE = '''
import polars as pl

from strategies.base import Strategy


class Mine(Strategy):
    """A user's idea."""

    name = "mine"

    def bars_needed(self) -> int:
        return 2

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        close = pl.col("close")
        target = ({idea}).fill_null(value=False).cast(pl.Float64)
        said = bars.select("symbol", "ts", target.alias("target"), close.alias("price"), reason=pl.lit("so"))
        return said.filter(pl.int_range(pl.len()).over("symbol") > 0)
'''
HONEST = 'close > close.shift(1).over("symbol")'
AHEAD = 'close < close.shift(-1).over("symbol")'
UNFINISHED = 'close < close.last().over("symbol")'
ORDER = '(pl.col("symbol").rle_id() == 0) & (close > pl.col("open"))'


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """Give a folder of a user's bars: three symbols, a file a session."""
    frame = walk(("AAA", "BBB", "CCC"), seed=5)
    for (symbol, day), part in frame.group_by("symbol", pl.col("ts").dt.date()):
        folder = tmp_path / "bars" / str(symbol)
        folder.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / f"{day}.parquet")
    return tmp_path / "bars"


def mine(folder: Path, idea: str) -> str:
    path = folder / "mine.py"
    path.write_text(FILE.format(idea=idea), encoding="utf-8")
    return f"{path}:Mine"


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["check", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("idea", "caught"),
    [
        (AHEAD, ["look_ahead", "unfinished_bar"]),
        (UNFINISHED, ["look_ahead", "unfinished_bar"]),
        (ORDER, ["symbol_order", "symbol_set"]),
        (HONEST, []),
    ],
    ids=["one bar ahead", "the unfinished bar", "symbol order", "honest"],
)
def test_a_users_file_is_caught_by_name(
    tmp_path: Path, bars: Path, capsys: pytest.CaptureFixture[str], idea: str, caught: list[str]
) -> None:
    """Each fault of a file outside the repository is named, fails the command, and shows its first bar."""
    code, report = checked(capsys, mine(tmp_path, idea), "--bars", str(bars), "--cuts", "12")

    failing = [each for each in report["findings"] if each["verdict"] == "fails"]
    assert [each["check"] for each in failing] == caught
    assert code == (1 if caught else 0)
    for each in failing:
        assert each["difference"]["symbol"] in ("AAA", "BBB", "CCC")
        assert each["difference"]["expected"] != each["difference"]["found"]


def test_the_table_says_what_and_where(
    tmp_path: Path, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The terminal shows each check with its verdict, the bar with both answers, and what the idea needs."""
    code = run(["check", mine(tmp_path, AHEAD), "--bars", str(bars), "--cuts", "12"])

    out = capsys.readouterr().out
    assert code == 1
    assert re.search(r"look_ahead: [A-C]{3} 2024-03-\d\d \d\d:\d\d:00 New York: target \d at", out)
    assert "; then target" in out
    assert re.search(r"known up to 2024-03-\d\d \d\d:\d\d New York it says", " ".join(out.split()))
    assert "at most its newest 5 sessions" in out
    assert "It needs 2 bars of a symbol" in out
    assert "10 hold, 2 fail, 1 untried" in out  # the early close: it looks ahead on ordinary days already


def test_a_shipped_strategy_passes_on_generated_bars(capsys: pytest.CaptureFixture[str]) -> None:
    """Without bars a market is generated, and parameters are taken from the command line."""
    code, report = checked(capsys, "rsi", "--param", "length=5", "--symbols", "aapl, msft", "--cuts", "4")

    assert code == 0
    assert (report["symbols"], report["params"]["length"]) == (["AAPL", "MSFT"], 5)
    assert {each["verdict"] for each in report["findings"]} == {"holds"}
    assert report["first"] == "2025-11-24"


def test_one_file_and_no_symbols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A single Parquet file will do; of many symbols some are taken, and that is said."""
    frame = walk(("AAA", "BBB", "CCC", "DDD"), seed=5, minutes=40).rename({"ts": "timestamp"})
    frame.drop("vwap", "trade_count").write_parquet(tmp_path / "all.parquet")

    code, report = checked(capsys, "rsi", "--bars", str(tmp_path / "all.parquet"), "--cuts", "4")

    assert code == 0
    assert report["symbols"] == ["AAA", "BBB", "CCC"]
    assert "3 of 4 symbols, --symbols chooses" in report["source"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["crystal_ball"], "unknown strategy 'crystal_ball'"),
        (["nowhere.py:Mine"], "nowhere.py: no such file"),
        (
            ["rsi", "--param", "lenght=3"],
            "unknown parameter lenght = 3; allowed: allow_short, length, oversold",
        ),
        (["rsi", "--param", "length"], "write name=value"),
        (["rsi", "--bars", "nowhere"], "--bars nowhere: no such file or folder"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be checked is told in one line, with exit code 2."""
    code = run(["check", *arguments])

    told = capsys.readouterr().err.strip()
    assert code == 2
    assert words in told
    assert "\n" not in told


@pytest.mark.real
def test_shipped_strategies_on_real_bars(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On real minutes, gaps and bad prints left as found, the shipped strategies stay honest."""
    for name in ("sma_crossover", "vwap_mean_reversion", "opening_range", "rsi", "bollinger"):
        folder = str(real_data / "bars" / "1min")
        code, report = checked(capsys, name, "--bars", folder, "--symbols", "MSFT,NVDA", "--cuts", "8")

        assert [each["check"] for each in report["findings"] if each["verdict"] == "fails"] == []
        assert code == 0
