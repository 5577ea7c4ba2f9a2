"""The reference loop judges the engines, so a few days are worked by hand here to judge it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from desk.hours import session_hours
from schemas.account import SessionHours
from schemas.research import Costs, Size
from tests.answers.reference_loop import Outcome, PlainBar, play, sma_levels, vwap_levels

OPENS = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
FRIDAY = datetime(2025, 11, 28, 14, 30, tzinfo=UTC)  # closes at 18:00 UTC
MINUTE = timedelta(minutes=1)
SHARES = Size.model_validate({"kind": "shares", "amount": "100"})


def hours(*days: date) -> list[SessionHours]:
    """Give the sessions of dates that have one."""
    return [found for day in days if (found := session_hours(day)) is not None]


def bars(*prices: tuple[datetime, str, str], symbol: str = "A") -> list[PlainBar]:
    """Make bars of (minute, open, close)."""
    made = []
    for ts, opened, closed in prices:
        first, last = Decimal(opened), Decimal(closed)
        made.append(PlainBar(symbol, ts, first, max(first, last), min(first, last), last, 100))
    return made


def told(outcome: Outcome) -> list[tuple[datetime, str, str, str]]:
    """Give what a person checks of the fills."""
    return [(fill.ts, fill.side, str(fill.qty), f"{fill.price:.4f}") for fill in outcome.fills]


def at(minute: int, opens: datetime = OPENS) -> datetime:
    """Give a minute of a session."""
    return opens + minute * MINUTE


def test_a_level_is_traded_at_the_next_bars_open_and_a_reversal_takes_two() -> None:
    """Long at 0 buys at 2 (minute 1 is missing); short at 2 sells at 3; short at 3 sells short at 4."""
    tape = bars(
        (at(0), "10.00", "10.10"), (at(2), "10.20", "10.30"),
        (at(3), "10.40", "10.50"), (at(4), "10.60", "10.70"),
    )  # fmt: skip
    levels = {"A": {at(0): 1.0, at(2): -1.0, at(3): -1.0}}

    outcome = play(tape, levels, hours(date(2025, 11, 26)), size=SHARES)

    assert told(outcome) == [
        (at(2), "buy", "100", "10.2000"),
        (at(3), "sell", "100", "10.4000"),
        (at(4), "sell", "100", "10.6000"),
    ]
    assert outcome.final_equity == Decimal(100_000) + 20 - 10


def test_the_last_bars_level_is_traded_at_the_next_sessions_open_or_not_at_all_with_close_out() -> None:
    """Without close-out the level waits over Thanksgiving; with it no entry is made so late."""
    tape = bars((at(389), "10.00", "10.00"), (at(0, FRIDAY), "11.00", "11.00"))
    levels = {"A": {at(389): 1.0}}
    days = hours(date(2025, 11, 26), date(2025, 11, 28))

    assert told(play(tape, levels, days, size=SHARES)) == [(at(0, FRIDAY), "buy", "100", "11.0000")]
    assert told(play(tape, levels, days, size=SHARES, close_out=True)) == []


def test_close_out_sells_at_the_first_open_from_its_minute_on() -> None:
    """On the early close the bell is at minute 210, so what is held goes at the open of minute 205."""
    tape = bars(
        (at(100, FRIDAY), "10.00", "10.00"), (at(101, FRIDAY), "10.00", "10.00"),
        (at(204, FRIDAY), "12.00", "12.00"), (at(205, FRIDAY), "13.00", "13.00"),
    )  # fmt: skip
    levels = {"A": {at(100, FRIDAY): 1.0, at(204, FRIDAY): 1.0, at(205, FRIDAY): 1.0}}

    outcome = play(tape, levels, hours(date(2025, 11, 28)), size=SHARES, close_out=True)

    assert told(outcome) == [
        (at(101, FRIDAY), "buy", "100", "10.0000"),
        (at(205, FRIDAY), "sell", "100", "13.0000"),
    ]


def test_with_close_out_an_order_ends_at_the_bell() -> None:
    """No bar after the close-out: what is held stays, and leaves on the next session's close-out."""
    tape = bars(
        (at(0), "10.00", "10.00"), (at(1), "10.00", "10.00"),
        (at(0, FRIDAY), "11.00", "11.00"), (at(205, FRIDAY), "12.00", "12.00"),
    )  # fmt: skip
    days = hours(date(2025, 11, 26), date(2025, 11, 28))

    outcome = play(tape, {"A": {at(0): 1.0}}, days, size=SHARES, close_out=True)

    assert told(outcome) == [(at(1), "buy", "100", "10.0000"), (at(205, FRIDAY), "sell", "100", "12.0000")]


def test_an_entry_that_executes_at_the_close_out_leaves_at_the_same_open() -> None:
    """The order of minute 203 meets the open of minute 205, when the desk closes out."""
    tape = bars((at(203, FRIDAY), "10.00", "10.00"), (at(205, FRIDAY), "11.00", "11.00"))
    days = hours(date(2025, 11, 28))

    outcome = play(tape, {"A": {at(203, FRIDAY): 1.0}}, days, size=SHARES, close_out=True, no_entry_minutes=1)

    assert told(outcome) == [
        (at(205, FRIDAY), "buy", "100", "11.0000"),
        (at(205, FRIDAY), "sell", "100", "11.0000"),
    ]


def test_after_a_stop_the_level_has_to_be_left_before_it_opens_again() -> None:
    """Bought at 10.00, the stop of 1 % is 9.90: reached at 9.90, sold at 9.80; long again only after flat."""
    tape = bars(*((at(n), opened, closed) for n, (opened, closed) in enumerate((
        ("10.00", "10.00"), ("10.00", "9.90"), ("9.80", "9.80"), ("9.70", "9.70"), ("9.60", "9.60"),
        ("9.50", "9.50"),
    ))))  # fmt: skip
    levels = {"A": {at(0): 1.0, at(1): 1.0, at(2): 1.0, at(3): 0.0, at(4): 1.0}}

    outcome = play(tape, levels, hours(date(2025, 11, 26)), size=SHARES, stop_frac=Decimal("0.01"))

    assert told(outcome) == [
        (at(1), "buy", "100", "10.0000"),
        (at(2), "sell", "100", "9.8000"),
        (at(5), "buy", "100", "9.5000"),
    ]


def test_costs_and_fees_go_against_the_trader() -> None:
    """Spread 10 bps of 100.00 is 5 cents a side, slippage 2 bps 2 cents; 99.93 sold pays TAF and commission.

    Commission: max(100 x 0.005, 1.00) = 1.00 each. On 2025-11-26 the SEC takes nothing, TAF 0.000166 a share.
    """
    tape = bars((at(0), "100.00", "100.00"), (at(1), "100.00", "100.00"), (at(2), "100.00", "100.00"))
    costs = Costs(
        spread_bps=Decimal(10),
        slippage_bps=Decimal(2),
        regulatory_fees=True,
        commission_per_share=Decimal("0.005"),
        commission_min=Decimal(1),
    )

    outcome = play(tape, {"A": {at(0): 1.0, at(1): 0.0}}, hours(date(2025, 11, 26)), size=SHARES, costs=costs)

    assert told(outcome) == [(at(1), "buy", "100", "100.0700"), (at(2), "sell", "100", "99.9300")]
    assert [fill.fee for fill in outcome.fills] == [Decimal("1.000000"), Decimal("1.016600")]
    assert outcome.final_equity == Decimal(100_000) - 14 - Decimal("2.0166")


def test_sizes_are_floored_at_the_close_known_when_the_order_is_made() -> None:
    """1,000 USD at 3.00 are 333 shares though the open is 4.00; a tenth of 100,000 at half a level 1,666."""
    tape = bars((at(0), "3.00", "3.00"), (at(1), "4.00", "4.00"))
    days = hours(date(2025, 11, 26))
    notional, equity = (Size.parse(words) for words in ("notional:1000", "equity:0.1"))
    assert isinstance(notional, Size)
    assert isinstance(equity, Size)

    assert told(play(tape, {"A": {at(0): 1.0}}, days, size=notional)) == [(at(1), "buy", "333", "4.0000")]
    assert told(play(tape, {"A": {at(0): 0.5}}, days, size=equity)) == [(at(1), "buy", "1666", "4.0000")]


def test_averages_that_tie_say_nothing() -> None:
    """With 1 and 2 bars: equal closes are no opinion, a higher one is long, a lower one flat."""
    tape = bars(
        *((at(n), closed, closed) for n, closed in enumerate(("10.00", "10.00", "10.01", "10.01", "10.00")))
    )

    assert sma_levels(tape, fast=1, slow=2) == {"A": {at(2): 1.0, at(4): 0.0}}


def test_vwap_reversion_buys_below_its_band_and_leaves_over_the_average() -> None:
    """VWAP after 10.00 and 9.00 is 9.50, so 9.00 is long; 9.80 over the VWAP of 9.60 is flat."""
    tape = bars((at(0), "10.00", "10.00"), (at(1), "9.00", "9.00"), (at(2), "9.80", "9.80"))

    levels = vwap_levels(tape, band_bps=Decimal(100), settle_bars=2)

    assert levels == {"A": {at(1): 1.0, at(2): 0.0}}
