"""The account's value: a plain loop over every minute in exact decimals gives the same."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.research import curve as curve_module
from desk.research.curve import Book, equity_curve, extend_curve
from schemas.bars import RAW_SCHEMA
from schemas.research import EQUITY_SCHEMA, FILL_SCHEMA, FLOW_SCHEMA
from tests.desk.research import market

OPEN = market.open_of(market.FIRST)
MINUTE = timedelta(minutes=1)


def bar(symbol: str, minute: int, close: float, *, start: datetime = OPEN) -> dict[str, object]:
    """Give a bar that closes there."""
    return {
        "symbol": symbol,
        "ts": start + minute * MINUTE,
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": 100,
        "vwap": None,
        "trade_count": None,
    }


def fill(
    symbol: str, minute: int, side: str, qty: str, price: str, *, fee: str = "0", strategy: str = "idea"
) -> dict[str, object]:
    """Give an execution."""
    return {
        "ts": OPEN + minute * MINUTE,
        "filled_at": OPEN + minute * MINUTE,
        "strategy": strategy,
        "symbol": symbol,
        "side": side,
        "qty": Decimal(qty),
        "price": Decimal(price),
        "fee": Decimal(fee),
        "reference_price": Decimal(price),
        "client_order_id": "x",
    }


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    """Give bars."""
    return pl.DataFrame(list(rows), schema=RAW_SCHEMA)


def fills_of(*rows: dict[str, object]) -> pl.DataFrame:
    """Give fills."""
    return pl.DataFrame(list(rows), schema=FILL_SCHEMA)


def naive(play: market.Play, flows: pl.DataFrame) -> dict[datetime, tuple[Decimal, Decimal, Decimal]]:
    """Value every minute that has any bar, in decimals, one row at a time."""
    cash, held, marks = market.CASH, dict[str, Decimal](), dict[str, Decimal]()
    by_minute: dict[datetime, list[tuple[str, float]]] = {}
    for symbol, ts, close in play.bars.select("symbol", "ts", "close").iter_rows():
        by_minute.setdefault(ts, []).append((symbol, close))
    answer = {}
    for ts in sorted(by_minute):
        for one in play.fills.filter(pl.col("ts") == ts).iter_rows(named=True):
            signed = one["qty"] if one["side"] == "buy" else -one["qty"]
            held[one["symbol"]] = held.get(one["symbol"], Decimal(0)) + signed
            cash -= signed * one["price"] + one["fee"]
        cash += sum(flows.filter(pl.col("ts") == ts)["amount"].to_list(), Decimal(0))
        for symbol, close in by_minute[ts]:
            marks[symbol] = Decimal(f"{close:.2f}")
        values = [qty * marks[symbol] for symbol, qty in held.items()]
        net = sum(values, Decimal(0))
        answer[ts] = (cash + net, sum(map(abs, values), Decimal(0)), net)
    return answer


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_loop_over_every_minute_agrees(seed: int) -> None:
    """On generated bars with gaps, two wild strategies and flows, each row is the loop's to a millionth."""
    bars = market.make_bars(gaps=0.2, seed=seed)
    fills = market.make_fills(bars, strategies=("a", "b"), wild=True, seed=seed)
    flows = pl.DataFrame(
        [
            {"ts": bars["ts"][number], "kind": "borrow", "amount": Decimal("-1.37")}
            for number in (5, 700, 701, 1500)
        ],
        schema=FLOW_SCHEMA,
    )
    answer = naive(market.Play(bars, fills), flows)

    curve = equity_curve(
        fills, bars.sample(fraction=1, shuffle=True, seed=seed), cash=market.CASH, flows=flows
    )

    assert dict(curve.schema) == EQUITY_SCHEMA
    assert curve["ts"].is_sorted()
    assert curve["ts"].is_unique().all()
    for ts, _, *values in curve.iter_rows():
        assert values == pytest.approx([float(each) for each in answer[ts]], abs=1e-6)
    # A minute without a row has the value of the row before it.
    rows = dict(zip(curve["ts"], curve["equity"], strict=True))
    known = 0.0
    for ts in sorted(answer):
        known = rows.get(ts, known)
        assert known == pytest.approx(float(answer[ts][0]), abs=1e-6)


def test_a_flat_account_has_the_edges_of_each_session() -> None:
    """Without a fill there are two rows a session, the early close's too, all of the opening cash."""
    bars = market.make_bars(symbols=1, gaps=0.0)

    curve = equity_curve(fills_of(), bars, cash=market.CASH)

    assert curve["session_date"].to_list() == [day for day in market_days() for _ in range(2)]
    assert curve["equity"].unique().to_list() == [100_000.0]
    assert curve["ts"][-5] == datetime(2025, 11, 28, 17, 59, tzinfo=UTC)


def market_days() -> list[date]:
    """Give the generated market's sessions."""
    return [date(2025, 11, day) for day in (24, 25, 26, 28)] + [date(2025, 12, day) for day in (1, 2)]


def test_only_minutes_that_can_change_the_value_have_rows() -> None:
    """A held symbol's bars count, another's do not; the first and the last minute always."""
    bars = frame(
        *(bar("A", minute, 10 + minute) for minute in (0, 2, 4, 6)),
        *(bar("B", minute, 50) for minute in range(9)),
    )
    fills = fills_of(fill("A", 2, "buy", "1", "12"), fill("A", 6, "sell", "1", "15.5", fee="0.25"))

    curve = equity_curve(fills, bars, cash=Decimal(100))

    minutes = [(ts - OPEN) // MINUTE for ts in curve["ts"]]
    assert list(zip(minutes, curve["equity"], curve["gross"], strict=True)) == [
        (0, 100.0, 0.0),
        (2, 100.0, 12.0),
        (4, 102.0, 14.0),
        (6, 103.25, 0.0),
        (8, 103.25, 0.0),
    ]


def test_a_short_position_is_negative_in_net_and_positive_in_gross() -> None:
    """Sold at 10, worth 12 at the close: two lost a share."""
    curve = equity_curve(
        fills_of(fill("A", 0, "sell", "3", "10")), frame(bar("A", 0, 12.0)), cash=Decimal(100)
    )

    assert curve.select("equity", "gross", "net").row(0) == (94.0, 36.0, -36.0)


def test_a_fill_in_a_minute_without_a_bar_is_worth_its_price() -> None:
    """Until the symbol prints, what was bought is worth what was paid."""
    bars = frame(bar("B", 0, 1.0), bar("B", 1, 1.0), bar("A", 3, 9.0))

    curve = equity_curve(fills_of(fill("A", 1, "buy", "2", "10")), bars, cash=Decimal(100))

    assert curve["equity"].to_list() == [100.0, 100.0, 98.0]


def test_fractions_that_cancel_leave_nothing() -> None:
    """0.1 + 0.2 - 0.3 shares is flat, though not in floats."""
    fills = fills_of(
        fill("A", 0, "buy", "0.1", "10"), fill("A", 0, "buy", "0.2", "10"), fill("A", 1, "sell", "0.3", "10")
    )

    curve, book = extend_curve(Book(cash=100.0), fills, frame(*(bar("A", each, 10.0) for each in range(4))))

    assert book.units == {}
    assert curve["gross"].to_list() == [3.0, 0.0, 0.0]


def test_a_flow_after_the_bell_counts_with_the_last_minute() -> None:
    """Borrow charged at 16:00 is in the day's last row."""
    bars = frame(bar("A", 0, 10.0), bar("A", 1, 10.0), bar("A", 0, 10.0, start=OPEN + timedelta(days=1)))
    flows = pl.DataFrame(
        [{"ts": OPEN + timedelta(hours=6.5), "kind": "borrow", "amount": Decimal("-2.5")}], schema=FLOW_SCHEMA
    )

    curve = equity_curve(fills_of(), bars, cash=Decimal(100), flows=flows)

    assert curve["equity"].to_list() == [100.0, 97.5, 97.5]


@pytest.mark.parametrize("cut", [1, 3])
def test_months_in_turn_are_the_whole(cut: int) -> None:
    """Valued in two stretches with the book handed on, positions held over the cut, nothing differs."""
    bars = market.make_bars()
    fills = market.make_fills(bars, wild=True)
    at = market.open_of(market_days()[cut])
    before, after = pl.col("ts") < at, pl.col("ts") >= at
    whole = equity_curve(fills, bars, cash=market.CASH)

    head, book = extend_curve(Book(cash=float(market.CASH)), fills.filter(before), bars.filter(before))
    tail, _ = extend_curve(book, fills.filter(after), bars.filter(after))

    assert book.units
    found = pl.concat([head, tail])
    assert found.drop("equity", "gross", "net").equals(whole.drop("equity", "gross", "net"))
    for name in ("equity", "gross", "net"):
        assert found[name].to_list() == pytest.approx(whole[name].to_list(), abs=1e-6)


def test_a_position_keeps_its_mark_until_it_prints_again() -> None:
    """Held over the cut between two stretches, a symbol without a first bar is worth its last close."""
    next_day = OPEN + timedelta(days=1)
    _, book = extend_curve(
        Book(cash=100.0), fills_of(fill("A", 0, "buy", "2", "10")), frame(bar("A", 0, 11.0))
    )

    later = frame(bar("B", 0, 5.0, start=next_day), bar("A", 2, 12.0, start=next_day))
    curve, after = extend_curve(book, fills_of(), later)

    assert curve["equity"].to_list() == [102.0, 104.0]
    assert after == Book(cash=80.0, units={"A": 2_000_000_000}, marks={"A": 12.0})


def test_sessions_copied_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many sessions' closes are in memory together changes nothing."""
    bars = market.make_bars()
    fills = market.make_fills(bars, wild=True)
    whole = equity_curve(fills, bars, cash=market.CASH)

    monkeypatch.setattr(curve_module, "SESSIONS_AT_ONCE", 2)

    assert equity_curve(fills, bars, cash=market.CASH).equals(whole)


def test_fills_without_any_bar_are_refused() -> None:
    """There is nothing to value them on; nothing at all is an empty curve."""
    with pytest.raises(ValueError, match="1 fills and 0 flows, and no bar"):
        equity_curve(fills_of(fill("A", 0, "buy", "1", "10")), frame(), cash=Decimal(100))

    assert equity_curve(fills_of(), frame(), cash=Decimal(100)).is_empty()
