"""Run a backtest: bars from Parquet or the warehouse, a strategy from anywhere, and what came of it.

Two ways to say by which rules. By default a backtest trades the idea as research does: market orders that
fill at the next bar's open, positions held as long as the strategy says so, across sessions too, under the
gate and limits of desk.yaml. With `as_live` the session's rules are desk.yaml's as well: marketable limit
entries, close-out before the bell, allocation and slots; that is what the desk would have done. Without the
gate nothing limits the idea: no limits, no loss latches, no protections.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter

import polars as pl

from data.backtest_rows import SPOOL_FOLDER, backtest_rows, keep_backtest
from data.warehouse import Warehouse
from desk.adapters.system_clock import SystemClock
from desk.errors import ConfigError
from desk.research.curve import equity_curve
from desk.research.engine import Plan, Played, play
from desk.research.ex_dates import IN_LIEU
from desk.research.performance import Performance, measure
from desk.research.reel import Reel
from desk.research.screen import NotCovered, Screen, uncovered
from desk.research.shares import InShares, in_last_shares
from desk.research.slate import Slate
from desk.research.trades import round_trips
from schemas.account import SessionHours
from schemas.actions import NO_ACTIONS, Actions
from schemas.research import FLOW_SCHEMA, Engine, Run
from schemas.settings import Settings
from strategies.base import Strategy, StrategyError
from tasks.action_files import read_actions
from tasks.backtest_bars import (
    action_notes,
    asked_for,
    bars_there,
    for_screen,
    jump_words,
    remedy_of,
    shown_as_live,
)
from tasks.backtest_plan import BacktestPlan, said_by, settings_of, terms_of
from tasks.backtest_remarks import remarks
from tasks.code_version import code_version
from tasks.kernel_warmth import warm_up_kernel
from tasks.settings_hash import settings_hash
from tasks.store import warehouse_path
from tasks.strategy_source import make_strategy, read_params
from tasks.unheard import unheard


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """What came of it."""

    run: Run
    bars: pl.DataFrame
    fills: pl.DataFrame
    flows: pl.DataFrame
    trades: pl.DataFrame
    curve: pl.DataFrame
    performance: Performance
    notes: tuple[str, ...] = ()  # rows of bars left out and the like
    doubts: tuple[str, ...] = ()  # about the run and the bars
    shown: InShares  # fills and bars in the shares of the last day, as the page draws them


Progress = Callable[[SessionHours], None]
ANY_SYMBOL = "SPY"


def run_backtest(
    plan: BacktestPlan, settings: Settings, *, began: Callable[[int], None], after: Progress
) -> Backtest:
    """Run a backtest.

    Args:
        plan: what was asked for.
        settings: desk.yaml's.
        began: told the number of sessions once the bars are there.
        after: told of every session that is over.

    Raises:
        ConfigError: a path, a parameter or a combination is wrong.
        NoBars: there is nothing to play.
        BadBatch: a file is not of bars.
    """
    started_at, clock = SystemClock().now(), perf_counter()
    if plan.engine is Engine.SCREEN:
        warm_up_kernel()
    strategy_of(plan, (ANY_SYMBOL,))  # a mistake in it is told before a year of bars is read
    every, notes = bars_there(plan, settings)
    bars = asked_for(plan, every)
    bars, rounded = for_screen(bars) if plan.engine is Engine.SCREEN else (bars, ())
    symbols = tuple(bars["symbol"].unique().sort().to_list())
    strategy = strategy_of(plan, symbols)
    shown, warmed = shown_as_live(strategy, bars, every) if plan.as_live else (bars, ())
    chosen = settings_of(plan, settings, strategy)
    actions = NO_ACTIONS if plan.actions is None else read_actions(plan.actions, symbols=symbols)
    said = said_by(strategy, shown, actions.splits)
    if shown is not bars:
        said = said.filter(pl.col("ts") >= bars["ts"].min())
    played = _played(plan, chosen, strategy, bars, said, actions, began=began, after=after)
    last = in_last_shares(played.fills, bars, splits=actions.splits, divided=played.divided)
    flows = played.flows.filter(pl.col("kind") != IN_LIEU)  # which is among `last.all_fills`
    curve = equity_curve(last.all_fills, last.bars, cash=plan.cash, flows=flows)
    trades = round_trips(last.all_fills, last.bars)
    performance = measure(
        cash=plan.cash, curve=curve, trades=trades, fills=last.fills, bars=last.bars, flows=flows
    )
    seen = Seen(
        bars=bars.height,
        first=day_of(bars["ts"].min()),
        last=day_of(bars["ts"].max()),
        data=data_hash(shown, actions),
    )
    run = record(plan, chosen, strategy, seen, played, started_at=started_at, began_s=clock)
    return Backtest(
        run=run,
        bars=bars,
        fills=played.fills,
        flows=played.flows,
        trades=trades,
        curve=curve,
        performance=performance,
        notes=notes + rounded + warmed + action_notes(plan, actions),
        doubts=remarks(played, gate=plan.gate) + jump_words(last.bars, remedy=remedy_of(plan)),
        shown=last,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """The bars of a run, in its record."""

    bars: int
    first: date
    last: date
    data: str  # their fingerprint


def record(
    plan: BacktestPlan,
    settings: Settings,
    strategy: Strategy,
    seen: Seen,
    played: Played,
    *,
    started_at: datetime,
    began_s: float,
) -> Run:
    """Give a run's record.

    Args:
        plan: what was asked for.
        settings: those of `settings_of`.
        strategy: which.
        seen: the bars.
        played: what came of it.
        started_at: when it was asked for.
        began_s: of `perf_counter`, then.
    """
    size = settings.strategies[0].size
    asked: dict[str, object] = {
        "engine": plan.engine,
        "strategy": plan.strategy,
        "params": _params(strategy),
        "symbols": strategy.symbols,
        "first": seen.first,
        "last": seen.last,
        "cash": plan.cash,
        "size": "" if size is None else str(size),
        "costs": plan.costs,
        "gate": plan.gate,
        "close_out": settings.session.close_out,
        "settings_hash": settings_hash(settings),
        "code_version": code_version(),
        "data_hash": seen.data,
        "seed": plan.seed,
    }
    return Run(
        run_id=_run_id(asked),
        started_at=started_at,
        seconds=perf_counter() - began_s,
        bars=seen.bars,
        orders=played.orders,
        fills=played.fills.height,
        denied=played.denied,
        orders_hash=played.orders_hash,
        ledger_hash=played.ledger_hash,
        final_equity=played.equity,
        **asked,  # type: ignore[arg-type]  # one dictionary, so that nothing of the identity is left out
    )


def keep(backtest: Backtest, settings: Settings) -> str | None:
    """Keep a run in the warehouse; give None, or why its rows wait.

    Raises:
        OSError: the disk is full.
    """
    warehouse = Warehouse(
        warehouse_path(settings),
        settings.store / SPOOL_FOLDER,
        account=settings.account.name,
        wall_clock=SystemClock().now,
    )
    rows = backtest_rows(
        backtest.run,
        performance=backtest.performance,
        trades=backtest.trades,
        curve=backtest.curve,
        fills=backtest.fills,
    )
    return keep_backtest(warehouse, rows)


def report(backtest: Backtest, path: Path) -> None:
    """Write the tear sheet.

    Raises:
        OSError: the file cannot be written.
    """
    from tasks.tear_sheet import write_tear_sheet  # plotly, for who wants a page

    write_tear_sheet(
        backtest.run,
        fills=backtest.shown.fills,
        flows=backtest.flows,
        bars=backtest.shown.bars,
        curve=backtest.curve,
        trades=backtest.trades,
        performance=backtest.performance,
        doubts=backtest.doubts,
        path=path,
    )


def write_fills(fills: pl.DataFrame, path: Path) -> None:
    """Write executions as CSV: ts (UTC, start of the bar that filled), symbol, side, qty, price, by time.

    Raises:
        OSError: the file cannot be written.
    """
    plain = [
        pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
        for name in ("qty", "price")
    ]
    rows = fills.select(
        pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), pl.col("symbol"), pl.col("side"), *plain
    )
    path.write_text(rows.write_csv(), encoding="utf-8")


# ---- what is played -------------------------------------------------------------------------


def bars_of(plan: BacktestPlan, settings: Settings) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give the bars, of the regular session, sorted by (symbol, ts), and what is to be said of them.

    Raises:
        ConfigError: there is no such path, or the days are the wrong way round.
        NoBars: there is none.
        BadBatch: a file is not of bars.
    """
    every, notes = bars_there(plan, settings)
    return asked_for(plan, every), notes


def strategy_of(plan: BacktestPlan, symbols: tuple[str, ...]) -> Strategy:
    """Make the strategy a plan names.

    Raises:
        ConfigError: it cannot be found or used.
    """
    try:
        return make_strategy(plan.strategy, symbols, read_params(plan.params))
    except StrategyError as error:
        raise ConfigError(str(error)) from error


@unheard()
def _played(
    plan: BacktestPlan,
    settings: Settings,
    strategy: Strategy,
    bars: pl.DataFrame,
    said: pl.DataFrame,
    actions: Actions,
    *,
    began: Callable[[int], None],
    after: Progress,
) -> Played:
    if plan.engine is Engine.SCREEN:
        return _screened(plan, settings, said, bars, strategy.name)
    reel = Reel(bars, splits=actions.splits)
    began(len(reel.sessions))
    return play(
        Plan(
            settings=settings,
            reel=reel,
            said={strategy.name: said},
            strategies=(strategy,),
            actions=actions,
            cash=plan.cash,
            costs=plan.costs,
            gate=plan.gate,
            skips=plan.skips,
            seed=plan.seed,
        ),
        after=after,
    )


def _screened(
    plan: BacktestPlan, settings: Settings, said: pl.DataFrame, bars: pl.DataFrame, name: str
) -> Played:
    terms = terms_of(plan, settings)
    if what := uncovered(terms):
        raise NotCovered(what)
    slate = Slate(bars)
    screened = Screen(slate, terms).play(slate.targets(said))
    fills = screened.fills(name)
    equity = screened.summary().final_equity
    orders = hashlib.sha256(fills.select("ts", "symbol", "side", "qty").write_csv().encode()).hexdigest()
    return Played(
        fills=fills,
        flows=pl.DataFrame(schema=FLOW_SCHEMA),
        cash=equity,
        equity=equity,
        orders=fills.height,
        denied=0,
        denials={},
        visited=0,
        orders_hash=orders,
        ledger_hash="",
        journal=None,
    )


# ---- identity -------------------------------------------------------------------------------


def data_hash(bars: pl.DataFrame, actions: Actions = NO_ACTIONS) -> str:
    """Give a fingerprint of bars (symbols, instants, prices and volumes) and of their actions."""
    digest = hashlib.blake2b(digest_size=16)
    runs = bars["symbol"].rle().struct.unnest()
    digest.update(json.dumps([runs["value"].to_list(), runs["len"].to_list()]).encode())
    for name in ("ts", "open", "high", "low", "close", "volume"):
        digest.update(bars[name].to_physical().to_numpy().tobytes())
    if actions != NO_ACTIONS:
        digest.update(actions.model_dump_json().encode())
    return digest.hexdigest()


def _params(strategy: Strategy) -> tuple[tuple[str, str], ...]:
    found = strategy.checked.model_dump(mode="json")
    return tuple((name, json.dumps(found[name])) for name in sorted(found))


def _run_id(asked: Mapping[str, object]) -> str:
    words = json.dumps({name: str(value) for name, value in asked.items()}, sort_keys=True)
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()


def day_of(ts: object) -> date:
    """Give the day of a regular session's instant."""
    assert isinstance(ts, datetime), "ts is an instant"
    return ts.astimezone(UTC).date()
