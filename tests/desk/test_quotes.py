"""A quote is given while it is young and two-sided, and not otherwise."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from desk.quotes import QuoteBook
from desk.views import MarketView
from schemas.market_stream import StreamQuote

NOW = datetime(2025, 11, 26, 15, 0, tzinfo=UTC)
TEN_S = timedelta(seconds=10)


def quote(bid: float, ask: float, *, age_s: float = 1.0) -> StreamQuote:
    return StreamQuote("AAPL", NOW - timedelta(seconds=age_s), "Q", bid, 100, "P", ask, 200, ("R",), "C")


def book(*quotes: StreamQuote) -> QuoteBook:
    kept = QuoteBook()
    for one in quotes:
        kept.take(one)
    return kept


def test_a_young_quote_is_given_with_its_numbers() -> None:
    """Bid and ask at the tick, the middle, the spread in dollars and basis points, and the age."""
    nbbo = book(quote(99.99, 100.01)).nbbo("AAPL", now=NOW, max_age=TEN_S)

    assert nbbo is not None
    assert (nbbo.bid, nbbo.ask, nbbo.mid, nbbo.spread) == tuple(
        map(Decimal, ("99.99", "100.01", "100.00", "0.02"))
    )
    assert nbbo.spread_bps == Decimal(2)
    assert nbbo.age(NOW) == timedelta(seconds=1)
    assert (nbbo.bid_size, nbbo.ask_size) == (100, 200)


@pytest.mark.parametrize(
    "bad",
    [
        quote(99.99, 100.01, age_s=10.1),
        quote(0.0, 100.01),
        quote(99.99, 0.0),
        quote(100.02, 100.01),
        quote(math.nan, 100.01),
        quote(99.99, math.nan),
    ],
)
def test_an_old_one_sided_or_crossed_quote_is_none(bad: StreamQuote) -> None:
    """Half a quote is none, and so is an old one."""
    assert book(bad).nbbo("AAPL", now=NOW, max_age=TEN_S) is None
    assert book(bad).all(["AAPL", "MSFT"], now=NOW, max_age=TEN_S) == {}


def test_an_older_quote_that_comes_later_is_left_out() -> None:
    """Out of order, the newest by its own time stays."""
    nbbo = book(quote(99.0, 99.5, age_s=1), quote(98.0, 98.5, age_s=2)).nbbo("AAPL", now=NOW, max_age=TEN_S)

    assert nbbo is not None
    assert nbbo.bid == Decimal("99.0")


def test_reference_prices_are_middles_where_there_are_quotes() -> None:
    """A symbol with a quote is priced by it, another by its last close."""
    quotes = book(quote(99.99, 100.03)).all(["AAPL"], now=NOW, max_age=TEN_S)
    view = MarketView(prices={"AAPL": Decimal(99), "MSFT": Decimal(50)}, quotes=quotes)

    assert view.reference_prices() == {"AAPL": Decimal("100.01"), "MSFT": Decimal(50)}
