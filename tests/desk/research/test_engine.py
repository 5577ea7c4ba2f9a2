"""The exact engine: skipping changes nothing, the ledger replays, and the fills are a plain loop's."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from desk.exchange.generated import GeneratedMarket
from desk.hours import sessions_between
from desk.portfolio import replay
from desk.research.engine import Plan, Played, play
from desk.research.reel import Reel
from schemas.research import ALPACA_COSTS, NO_COSTS, Costs, Size, SizeKind
from schemas.settings import EntryOrder, ExitsAt, ExitSettings, SessionSettings, Settings, StrategySettings
from strategies.base import Strategy
from strategies.bollinger import Bollinger
from strategies.opening_range import OpeningRange
from strategies.rsi import RsiReversion
from strategies.sma_crossover import SmaCrossover
from strategies.vwap_mean_reversion import VwapMeanReversion
from tests.desk.research.cases import Case, case
from tests.desk.research.exact import played, protected

SHIPPED: tuple[type[Strategy], ...] = (Bollinger, OpeningRange, RsiReversion, SmaCrossover, VwapMeanReversion)
SYMBOLS = ("F", "KO", "NIO", "QQQ")
LIVE = SessionSettings()
HELD = SessionSettings(close_out=False, overnight=True, entry_order=EntryOrder.MARKET, entry_ttl_minutes=None)
SIZE = Size(kind=SizeKind.NOTIONAL, amount=Decimal(5_000))


def bars() -> pl.DataFrame:
    """Give four sessions, the second an early close, of a generated market."""
    market = GeneratedMarket(3, SYMBOLS)
    days = sessions_between(date(2025, 11, 26), date(2025, 12, 3))
    return pl.concat(market.frame(each.session_date) for each in days).sort("symbol", "ts")


BARS = bars()


def plan(kind: type[Strategy], *, session: SessionSettings, costs: Costs, **how: object) -> Plan:
    """Give the plan of a shipped strategy under a desk's own limits and protections."""
    strategy = kind(SYMBOLS)
    exits = ExitSettings(stop_frac=Decimal("0.004"), target_frac=Decimal("0.006"), at=ExitsAt.DESK)
    settings = Settings(
        symbols=SYMBOLS,
        strategies=(
            StrategySettings(
                name=strategy.name,
                symbols=SYMBOLS,
                size=None if session is LIVE else SIZE,
                exits=exits if how.pop("exits", False) else None,
            ),
        ),
        session=session,
    )
    return Plan(
        settings=settings,
        reel=Reel(BARS),
        said={strategy.name: strategy.signals(BARS)},
        strategies=(strategy,),
        costs=costs,
        hashes=True,
        **how,  # type: ignore[arg-type]
    )


WAYS = (
    {"session": LIVE, "costs": ALPACA_COSTS},  # as live
    {"session": HELD, "costs": NO_COSTS, "gate": False},  # the bare idea
    {"session": HELD, "costs": ALPACA_COSTS, "exits": True},  # with exits the desk watches
)


@pytest.mark.parametrize("kind", SHIPPED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("way", WAYS, ids=("live", "bare", "exits"))
def test_skipping_minutes_writes_the_same_ledger(kind: type[Strategy], way: dict[str, object]) -> None:
    """Every event of every minute: the same bytes, whether quiet minutes are visited or not."""
    skipped = play(plan(kind, **way))  # type: ignore[arg-type]
    visited = play(plan(kind, skips=False, **way))  # type: ignore[arg-type]

    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.orders_hash == visited.orders_hash
    assert skipped.fills.equals(visited.fills)
    assert skipped.visited < visited.visited


@pytest.mark.parametrize("seed", range(20))
def test_skipping_changes_nothing_of_a_generated_case(seed: int) -> None:
    """Gaps, ties, reversals, stops, all sizes and costs."""
    skipped, visited = (played(case(seed), skips=each, hashes=True) for each in (True, False))

    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.fills.equals(visited.fills)


@pytest.mark.parametrize("seed", range(40))
def test_skipping_changes_nothing_under_protections(seed: int) -> None:
    """A pause may begin without a fill, when a good trade is too old to count: the minute is visited."""
    plan = replace(protected(case(seed)), hashes=True)
    skipped, visited = (play(replace(plan, skips=each)) for each in (True, False))

    assert skipped.denials == visited.denials
    assert skipped.ledger_hash == visited.ledger_hash
    assert skipped.fills.equals(visited.fills)


def test_the_generated_protections_pause_entries() -> None:
    """What the test above plays is more than once refused by a protection."""
    refused = [play(protected(case(seed))).denials.get("protection", 0) for seed in range(8)]

    assert sum(map(bool, refused)) >= 3


def test_a_backtests_ledger_replays_to_its_books() -> None:
    """The books are the fold of the events, as live (I8)."""
    done = play(plan(SmaCrossover, session=LIVE, costs=ALPACA_COSTS, keeps=True, proves=True))

    assert done.journal is not None
    again = replay(event for _, event in done.journal._ledger.read())
    assert again.state_hash() == done.journal.portfolio.state_hash()


def test_the_venue_and_the_books_agree_on_fees() -> None:
    """What a commission and the regulatory fees cost left our cash, execution by execution."""
    costs = Costs(regulatory_fees=True, commission_per_share=Decimal("0.005"), commission_min=Decimal(1))
    done = play(plan(SmaCrossover, session=HELD, costs=costs, gate=False))

    assert done.fills.height > 10
    assert done.fills["fee"].min() >= 1
    assert done.cash == cash_after(done)


def cash_after(done: Played) -> Decimal:
    """Give the opening cash less what the fills cost."""
    cash = Decimal(100_000)
    for side, qty, price, fee in done.fills.select("side", "qty", "price", "fee").iter_rows():
        cash += (qty * price if side == "sell" else -qty * price) - fee
    return cash


def test_an_order_that_is_late_fills_so_many_bars_later() -> None:
    """With a latency of two bars an execution is two bars after that of none."""
    prompt, late = (
        play(plan(SmaCrossover, session=HELD, costs=Costs(latency_bars=bars_late), gate=False))
        for bars_late in (0, 2)
    )

    first_prompt, first_late = prompt.fills.row(0, named=True), late.fills.row(0, named=True)
    assert first_late["symbol"] == first_prompt["symbol"]
    assert (first_late["ts"] - first_prompt["ts"]).total_seconds() == 120


def test_participation_fills_in_parts() -> None:
    """A print gives a share of its volume: a large order takes several minutes, and its parts add up."""
    costs = Costs(participation=Decimal("0.001"))
    done = play(plan(SmaCrossover, session=HELD, costs=costs, gate=False))

    parts = done.fills.group_by("client_order_id", maintain_order=True).agg(pl.len(), pl.col("qty").sum())
    assert parts["len"].max() > 1


def test_borrowed_shares_cost_by_the_night() -> None:
    """A short held over night pays for it in cash, over a weekend three times, and the flows say so."""
    generated = next(each for each in map(case, range(200)) if is_short_overnight(each))
    free = played(generated)
    costs = generated.options.costs.model_copy(update={"borrow_annual_frac": Decimal("0.36")})
    dear = played(replace(generated, options=replace(generated.options, costs=costs)))

    borrow = dear.flows.filter(pl.col("kind") == "borrow")["amount"]
    assert borrow.len() > 0
    assert (borrow < 0).all()
    assert dear.fills.select("ts", "symbol", "side").equals(free.fills.select("ts", "symbol", "side"))
    assert dear.cash - free.cash == borrow.sum()


def is_short_overnight(generated: Case) -> bool:
    """Tell whether a case of plain shares holds a short over a night."""
    options = generated.options
    return (
        options.size.kind is SizeKind.SHARES
        and not options.close_out
        and options.allow_short
        and (generated.levels["target"] < 0).any()
        and any(day_ends_short(generated))
    )


def day_ends_short(generated: Case) -> list[bool]:
    """Tell of every day whether the plain loop is short at its end."""
    fills = generated.play().fills
    days = sorted({fill.ts.date() for fill in fills})
    signed = [(f.ts.date(), f.symbol, f.qty if f.side == "buy" else -f.qty) for f in fills]
    symbols = {symbol for _, symbol, _ in signed}
    return [
        sum(qty for at, name, qty in signed if name == symbol and at <= day) < 0
        for day in days[:-1]
        for symbol in symbols
    ]
