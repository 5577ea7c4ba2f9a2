"""What `desk backtest` says of what it was asked: costs as given, wrong numbers, no needless warning."""

from pathlib import Path

import pytest

from cli.backtest import cost_words, read_cash, read_costs
from tasks.configuration import CONFIG_VARIABLE, load_settings
from tasks.errors import ConfigError
from tests.cli.conftest import Desk
from tests.desk.research import market


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("none", "no costs"),
        ("alpaca", "costs alpaca"),
        ("alpaca,slippage_bps=1,latency_bars=2", "costs alpaca, slippage_bps=1, latency_bars=2"),
        ("alpaca,participation=none", "costs alpaca, participation=none"),
        ("none,regulatory_fees=true", "costs none, regulatory_fees=true"),
        ("none,borrow_annual_frac=0.03", "costs none, borrow_annual_frac=0.03"),
    ],
)
def test_costs_are_told_in_the_words_given(given: str, told: str) -> None:
    """A name and what was changed of it, as one would ask for them again."""
    assert cost_words(read_costs(given)) == told


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("lots", "--cash lots: not a number"),
        ("nan", "--cash nan: not a number"),
        ("0", "--cash 0: must be more than 0 USD"),
        ("-5", "--cash -5: must be more than 0 USD"),
    ],
)
def test_wrong_cash_is_told_for_what_it_is(given: str, complaint: str) -> None:
    """No number is not the same mistake as too little."""
    with pytest.raises(ConfigError) as caught:
        read_cash(given)

    assert str(caught.value) == complaint


def test_research_without_a_desk_yaml_warns_of_nothing(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backtest, a sweep and a comparison need no configuration, and say nothing of its absence."""
    market.make_bars(symbols=1).write_parquet(tmp_path / "bars.parquet")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv(CONFIG_VARIABLE)
    monkeypatch.setenv("DESK_STORE", str(tmp_path / "kept"))
    bars = ("sma_crossover", "--bars", str(tmp_path / "bars.parquet"))
    said = [
        desk("backtest", *bars, "--costs", "alpaca"),
        desk("backtest", *bars, "--param", "fast=5"),
        desk("sweep", *bars, "--range", "fast=5,10", "--workers", "1"),
        desk("compare", "last~1", "last"),
    ]

    assert [each.code for each in said] == [0, 0, 0, 0], [each.err for each in said]
    assert "no desk.yaml" not in "".join(each.err for each in said)
    assert "; costs alpaca; " in " ".join(said[0].out.split())


def test_who_trades_is_warned_of_a_missing_desk_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The defaults trade something too, and a person should know that they are in use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)

    load_settings(warns=False)
    assert caplog.records == []
    load_settings()
    assert [each.message for each in caplog.records] == ["no desk.yaml, defaults in use"]
