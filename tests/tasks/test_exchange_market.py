"""The exchange's market as a plan opens it: revised minutes, and what contradicts itself."""

from datetime import date

import pytest

from desk.errors import ConfigError
from desk.exchange.revisions import RevisedMarket
from tasks.exchange import ExchangePlan, open_floor, serve_exchange

DAY = date(2025, 11, 26)


def test_late_trades_revise_some_minutes() -> None:
    """The share asked for; none by default."""
    plain = open_floor(ExchangePlan(DAY, symbols=("SPY",)))
    late = open_floor(ExchangePlan(DAY, symbols=("SPY",), late_trades_frac=0.5))

    assert not isinstance(plain.market, RevisedMarket)
    assert isinstance(late.market, RevisedMarket)
    assert 100 < late.market.first_prints(DAY).height < 300
    assert late.market.frame(DAY).equals(plain.market.frame(DAY))


def test_a_share_beyond_all_minutes_is_refused() -> None:
    """The message names the option and its bounds."""
    with pytest.raises(ConfigError, match="--late-trades 2: a share of the minutes, 0 to 1"):
        open_floor(ExchangePlan(DAY, late_trades_frac=2.0))


def test_an_unknown_data_plan_is_refused() -> None:
    """The message names those there are, before anything is opened."""
    with pytest.raises(ConfigError, match="--data-plan gold: allowed are basic, algo_trader_plus"):
        serve_exchange(
            ExchangePlan(DAY), port=0, pace=None, key=None, secret=None, data_plan="gold", on_ready=print
        )
