"""`desk backtest --json`: numbers that a program can read."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.desk.research import market


def test_days_are_records_and_parameters_have_their_types(desk: Desk, tmp_path: Path) -> None:
    """A row a session, parameters by name; and the query that the command offers works."""
    bars, path = tmp_path / "bars.parquet", tmp_path / "numbers.json"
    market.make_bars(symbols=2).write_parquet(bars)

    answer = desk(
        "backtest", "sma_crossover", "--bars", str(bars), "--param", "fast=10", "--json", str(path),
        "--size", "shares:10",
    )  # fmt: skip

    assert answer.code == 0, answer.err
    found = json.loads(path.read_text(encoding="utf-8"))
    days, account = found["performance"]["days"], found["performance"]["account"]
    assert len(days) == account["sessions"]
    assert sum(day["pnl"] for day in days) == pytest.approx(account["profit_usd"], abs=1e-6)
    assert "-0.00" not in answer.out
    assert (found["run"]["params"]["fast"], found["run"]["params"]["allow_short"]) == (10, False)
    query = answer.out.split('desk sql "')[1].split('"')[0]
    assert found["run"]["run_id"] in desk("sql", query).out
