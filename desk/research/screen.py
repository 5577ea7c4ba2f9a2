"""The screen: a backtest compiled, for searching parameters.

Theory of operation. Bars are prepared once (`Slate`), then played for many arrays of levels by one kernel
(desk/research/kernel.py), which gives the executions of the exact engine on what it covers:

- market orders at the next bar's open, whichever session it is in; close-out before the bell, or none;
- sizes in shares, USD, or as a share of equity; whole shares;
- spread, slippage, regulatory fees, commissions;
- stops and targets that the desk watches (`at: desk`), and the rule against opening again after one.

All else it refuses by name (`NotCovered`): nothing is approximated in silence. A test holds it to a plain
loop (tests/answers/reference_loop.py) over generated backtests, to the cent.

A search asks for a summary, which costs nothing beyond the pass; frames of executions are made when asked
for. A screen keeps its arrays from one play to the next, so it belongs to one thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
import polars as pl

from desk.errors import ConfigError
from desk.money import ZERO
from desk.research.kernel import (
    BOOK,
    BPS_UNITS,
    DONE,
    EQUITY,
    MICRO,
    MILLION,
    NOTIONAL,
    SESSION,
    SHARES,
    USD,
    Floats,
    Ints,
    Rules,
    compiled,
    play_alone,
    play_together,
)
from desk.research.returns import daily_returns, sharpe_ratio
from desk.research.slate import Slate
from schemas.research import FILL_SCHEMA, NO_COSTS, Costs, Size, SizeKind
from schemas.settings import EntryOrder, ExitsAt, ExitSettings, SessionSettings

# A thousandfold of this fits 64 bits in every product of the kernel.
CASH_MAX = Decimal(1_000_000_000)
_KINDS = {SizeKind.SHARES: SHARES, SizeKind.NOTIONAL: NOTIONAL, SizeKind.EQUITY: EQUITY}


class NotCovered(ConfigError):
    """The screen does not play this; the exact engine does."""

    def __init__(self, what: tuple[str, ...]) -> None:
        """Name everything that is not covered."""
        self.what = what
        super().__init__(f"the screen does not cover {'; '.join(what)}: use the exact engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How levels are played; the settings of one strategy and of the account."""

    size: Size | None
    session: SessionSettings
    costs: Costs = NO_COSTS
    exits: ExitSettings | None = None
    cash: Decimal = Decimal(100_000)
    gate: bool = False  # whether limits and protections apply
    allow_short: bool = True
    allow_fractional: bool = False
    actions: bool = False  # whether the bars have splits or dividends


@dataclass(frozen=True, slots=True)
class Summary:
    """What a search looks at."""

    executions: int
    trades: int  # round trips that ended
    pnl: float  # USD, after fees, open positions at their last close
    fees: float  # USD
    sharpe: float | None  # of daily returns, 252 days; None where it means nothing
    final_equity: Decimal


def uncovered(terms: Terms) -> tuple[str, ...]:
    """Name what the screen would play differently from the exact engine; empty where nothing."""
    return tuple(_uncovered(terms))


def _uncovered(terms: Terms) -> Iterator[str]:
    costs, exits, session = terms.costs, terms.exits, terms.session
    if terms.size is None:
        yield "sizes by allocation and slots"
    if terms.gate:
        yield "the gate's limits, loss limits and protections"
    if terms.actions:
        yield "splits and dividends (--actions)"
    if terms.allow_fractional:
        yield "fractions of a share"
    if session.entry_order is not EntryOrder.MARKET:
        yield f"entries as {session.entry_order.value} orders"
    if not session.close_out and not session.overnight:
        yield "holding overnight without orders for the next open (session.overnight)"
    if costs.participation is not None:
        yield "participation"
    if costs.latency_bars > 0:
        yield "latency"
    if costs.borrow_annual_frac > 0:
        yield "borrow"
    if exits is not None and exits.trail_frac is not None:
        yield "trailing stops"
    if exits is not None and exits.at is not ExitsAt.DESK:
        yield "stops and targets that rest at the broker (exits.at: auto)"
    if terms.cash > CASH_MAX:
        yield f"cash over {CASH_MAX:,} USD"
    for name, number, step in _numbers(terms):
        if number % step != 0:
            yield f"{name} {number} with more decimals than {step}"


_MILLIONTH = Decimal(1) / MILLION


def _numbers(terms: Terms) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Give the numbers that must be whole multiples of a step: name, number, step."""
    costs, exits = terms.costs, terms.exits
    yield "cash", terms.cash, _MILLIONTH
    if terms.size is not None:
        yield "size", terms.size.amount, _MILLIONTH
    yield "spread", costs.spread_bps or ZERO, Decimal(USD) / BPS_UNITS
    yield "slippage", costs.slippage_bps, Decimal(USD) / BPS_UNITS
    yield "commission", costs.commission_per_share, _MILLIONTH
    yield "commission minimum", costs.commission_min, _MILLIONTH
    if exits is not None:
        yield "stop", exits.stop_frac or ZERO, _MILLIONTH
        yield "target", exits.target_frac or ZERO, _MILLIONTH


def _rules(terms: Terms) -> Rules:
    """Give the terms in the kernel's numbers.

    Raises:
        NotCovered: names everything it does not cover.
    """
    if what := uncovered(terms):
        raise NotCovered(what)
    assert terms.size is not None, "sizes by allocation are not covered"
    costs, exits = terms.costs, terms.exits
    stop = None if exits is None else exits.stop_frac
    target = None if exits is None else exits.target_frac
    per_bps = BPS_UNITS // USD
    return Rules(
        size_kind=_KINDS[terms.size.kind],
        size=int(terms.size.amount * MILLION),
        spread=-1 if costs.spread_bps is None else int(costs.spread_bps * per_bps),
        slippage=int(costs.slippage_bps * per_bps),
        commission=int(costs.commission_per_share * MILLION),
        commission_min=int(costs.commission_min * MILLION),
        stop=0 if stop is None else int(stop * MILLION),
        target=0 if target is None else int(target * MILLION),
        allow_short=terms.allow_short,
        cash=int(terms.cash * MILLION),
    )


class Screen:
    """Plays levels over one slate under one set of terms."""

    def __init__(self, slate: Slate, terms: Terms) -> None:
        """Prepare.

        Raises:
            NotCovered: names everything the screen does not cover.
        """
        self.slate = slate
        self.terms = terms
        self._rules = _rules(terms)
        session = terms.session
        self._blocks = slate.blocks(
            close_out=session.close_out,
            close_out_minutes=session.close_out_minutes,
            no_entry_minutes=session.no_entry_minutes,
        )
        self._sessions = slate.fees(regulatory=terms.costs.regulatory_fees)
        self._book = np.empty((len(slate.symbols), len(BOOK)), dtype=np.int64)
        # A bar executes one order, or two where the close-out begins. Pages nobody writes to cost no memory.
        self._done = np.empty((len(slate.ts) + len(slate.first), len(DONE)), dtype=np.int64)

    def play(self, targets: Floats) -> "Played":
        """Play one array of levels.

        Args:
            targets: by row of the slate, NaN where there is no opinion (`Slate.targets`).
        """
        assert targets.shape == self.slate.ts.shape, "one level a row"
        slate, rules = self.slate, self._rules
        sessions, book, done = self._sessions, self._book, self._done
        book[:] = 0
        sessions[:, SESSION.GAIN :] = 0
        tape = slate.opens, slate.closes
        if rules.size_kind == EQUITY:
            play = compiled(play_together)
            count = play(*tape, targets, rules, self._blocks, sessions, book, done, *slate.minutes)
        else:
            count = compiled(play_alone)(*tape, targets, rules, self._blocks, sessions, book, done)
        return Played(
            slate=slate,
            terms=self.terms,
            open_positions=int(np.count_nonzero(book[:, BOOK.POSITION])),
            gains=sessions[:, SESSION.GAIN].copy(),
            fees=sessions[:, SESSION.FEES].copy(),
            done=done[:count].copy(),
        )


@dataclass(frozen=True)
class Played:
    """What came of one array of levels."""

    slate: Slate
    terms: Terms
    open_positions: int  # at the end
    gains: Ints  # by session: change of cash and positions before fees, 1/10,000 USD
    fees: Ints  # by session: millionths of a USD
    done: Ints  # executions by symbol, then time (by time, then symbol, of equity sizes); columns of `DONE`

    @cached_property
    def equity_by_session(self) -> Ints:
        """Give the account's value at each session's end, millionths of a USD."""
        equity: Ints = int(self.terms.cash * MILLION) + np.cumsum(self.gains * MICRO - self.fees)
        return equity

    def daily_pnl(self) -> Floats:
        """Give each session's P&L after fees, USD."""
        pnl: Floats = (self.gains * MICRO - self.fees) / MILLION
        return pnl

    def summary(self) -> Summary:
        """Give the numbers a search looks at."""
        executions, last = len(self.done), int(self.equity_by_session[-1])
        returns = daily_returns(self.equity_by_session / MILLION, opening=float(self.terms.cash))
        return Summary(
            executions=executions,
            trades=(executions - self.open_positions) // 2,  # a position is opened and closed by one each
            pnl=float(self.daily_pnl().sum()),
            fees=float(self.fees.sum()) / MILLION,
            sharpe=None if returns is None else sharpe_ratio(returns),
            final_equity=Decimal(last) / MILLION,
        )

    def fills(self, strategy: str = "") -> pl.DataFrame:
        """Give the executions, `FILL_SCHEMA`, in order of time, then symbol; no client order ids."""
        slate = self.slate
        order = np.lexsort((self.done[:, DONE.ROW], slate.ts[self.done[:, DONE.ROW]]))
        done = self.done[order]
        row, change = done[:, DONE.ROW], done[:, DONE.CHANGE]
        symbol = np.searchsorted(slate.starts, row, side="right") - 1
        ts = pl.Series(slate.ts[row]).cast(FILL_SCHEMA["ts"])
        columns = {
            "ts": ts,
            "filled_at": ts,
            "strategy": pl.repeat(strategy, len(row), dtype=pl.String(), eager=True),
            "symbol": pl.Series(slate.symbols, dtype=pl.String())[symbol],
            "side": pl.Series(np.where(change > 0, "buy", "sell"), dtype=pl.String()),
            "qty": _decimals(np.abs(change), "qty", places=0),
            "price": _decimals(done[:, DONE.PRICE] * MICRO, "price", places=6),
            "fee": _decimals(done[:, DONE.FEE], "fee", places=6),
            "reference_price": _decimals(done[:, DONE.REFERENCE] * MICRO, "reference_price", places=6),
            "client_order_id": pl.repeat("", len(row), dtype=pl.String(), eager=True),
        }
        return pl.DataFrame(columns, schema=FILL_SCHEMA)


def _decimals(numbers: Ints, column: str, *, places: int) -> pl.Series:
    """Give whole numbers of a decimal unit as the column's Decimals, exactly."""
    values = [Decimal(number).scaleb(-places) for number in numbers.tolist()]
    return pl.Series(values, dtype=FILL_SCHEMA[column])
