"""The exact engine: `desk/session.py`, day after day, on the venue in process.

There is no second loop and no second order machine. A backtest hands the session bars that were judged
before it began (desk/research/reel.py), opinions computed once (opinions.py), a rhythm that leaves out the
minutes in which nothing can happen (foresight.py) and a ledger that lets events pass (ledger.py). The venue
plays every order against the same bars by the rules of `desk/exchange/matching.py`.

A backtest is a function of its plan: the same plan gives the same orders, fills and ledger to the last byte.
Each session ends with its books compared with the venue's; a difference is an error of ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.cycle import TradeOutcome
from desk.desk import Desk
from desk.exchange.matching import Rules
from desk.exchange.venue import Venue
from desk.fees import FeeSchedule
from desk.gate import approve_all, review_all
from desk.hours import next_session, session_date_at, session_hours
from desk.journal import Journal
from desk.money import cents_up
from desk.ports import StrategyRunner
from desk.research.ex_dates import DIVIDEND, IN_LIEU, ExDates
from desk.research.foresight import Foresight
from desk.research.ledger import PassingLedger
from desk.research.opinions import Opinions
from desk.research.reel import Reel, Showing
from desk.research.shares import Divided
from desk.session import Session, Steps
from desk.sizer import Level
from desk.split_watch import guard
from schemas.account import SessionHours
from schemas.actions import NO_ACTIONS, Actions
from schemas.events import CashAdjusted, DayClosed
from schemas.research import FILL_SCHEMA, FLOW_SCHEMA, Costs
from schemas.settings import Settings

BEFORE_OPEN = timedelta(minutes=5)  # a session starts this long before its open, as the schedule has it
MINUTE = timedelta(minutes=1)
BORROW = "borrow"
FLOWS = (BORROW, DIVIDEND, IN_LIEU)
FOREVER = timedelta(days=36_500)  # an order waits for its symbol's next bar, however long the bars have a gap


class BooksDiffer(AssertionError):
    """Our books and the venue's differ at a session's end: a defect of this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a backtest is made of."""

    settings: Settings
    reel: Reel
    said: Mapping[str, pl.DataFrame]  # by strategy: its signals of all bars, sorted by (symbol, ts)
    strategies: Sequence[StrategyRunner]
    actions: Actions = NO_ACTIONS  # of raw bars; the reel is made with their splits
    cash: Decimal = Decimal(100_000)
    costs: Costs = field(default_factory=Costs)
    gate: bool = True  # False: every intent passes, and no loss limit or protection applies
    skips: bool = True  # False visits every minute
    keeps: bool = False  # whether the ledger's events can be read again
    hashes: bool = False  # whether every event enters the ledger's hash
    proves: bool = False  # whether each session ends with the hash of the state
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it."""

    fills: pl.DataFrame  # `FILL_SCHEMA`
    flows: pl.DataFrame  # `FLOW_SCHEMA`: borrow, dividends, what the venue's rounding of a day's fees took
    cash: Decimal
    equity: Decimal  # at the newest closes
    orders: int
    denied: int
    denials: Mapping[str, int]  # by the gate's reason
    visited: int  # minutes
    orders_hash: str
    ledger_hash: str
    journal: Journal | None  # None: of the screen, which has none
    divided: tuple[Divided, ...] = ()  # what splits made of positions


def play(plan: Plan, *, after: Callable[[SessionHours], None] | None = None) -> Played:
    """Run a backtest.

    Args:
        plan: what it is made of.
        after: told of every session that is over, for a progress bar.

    Raises:
        BooksDiffer: our books and the venue's differ, which is a defect of this program.
    """
    desk, venue, ledger = _composed(plan)
    journal, opinions = desk.journal, Opinions(plan.said)
    foresight = Foresight(
        journal,
        plan.reel,
        opinions,
        plan.settings,
        skips=plan.skips,
        proves=plan.proves,
        limited=plan.gate,
    )
    symbols = tuple(sorted({symbol for strategy in plan.strategies for symbol in strategy.symbols}))
    delay = timedelta(seconds=plan.settings.session.bar_delay_s)
    assets = venue.assets(symbols)
    ex_dates = ExDates(plan.actions, desk, venue)
    visited = 0
    for number, hours in enumerate(plan.reel.sessions):
        venue.sleep_until(hours.opens_at - BEFORE_OPEN)
        ex_dates.begin(hours)
        splits = guard(desk, symbols, hours.session_date) if plan.actions.splits else None
        showing = Showing(plan.reel, symbols=symbols, assets=assets, delay=delay, guard=splits)
        session = Session(
            desk,
            session_date=hours.session_date,
            run_id=f"backtest-{number}",
            bars=showing,
            rhythm=foresight,
            judge=review_all if plan.gate else approve_all,
        )
        visited += session.run(_steps(session, showing, foresight, opinions)).minutes
        _close(desk, venue, hours)
        _charge_borrow(desk, venue, hours, plan.costs.borrow_annual_frac)
        if after is not None:
            after(hours)
    held = journal.portfolio.holdings().items()
    value = sum((position.qty * showing.last_prices()[symbol] for (_, symbol), position in held), Decimal(0))
    return Played(
        fills=_frame(ledger),
        flows=_flows(ledger),
        cash=journal.portfolio.cash,
        equity=journal.portfolio.cash + value,
        orders=ledger.orders,
        denied=sum(ledger.denials.values()),
        denials=dict(ledger.denials),
        visited=visited,
        orders_hash=ledger.orders_hash,
        ledger_hash=ledger.ledger_hash,
        journal=journal,
        divided=ex_dates.divided(ledger),
    )


def _composed(plan: Plan) -> tuple[Desk, Venue, PassingLedger]:
    """Compose the desk of a backtest, its venue and its ledger."""
    assert plan.reel.splits == plan.actions.splits, "the reel's prices are of the plan's splits"
    costs, first = plan.costs, plan.reel.sessions[0]
    rules = Rules(
        spread_bps=costs.spread_bps,
        participation=costs.participation,
        slippage_bps=costs.slippage_bps,
        fees=FeeSchedule(
            regulatory=costs.regulatory_fees,
            commission_per_share=costs.commission_per_share,
            commission_min=costs.commission_min,
        ),
        gtc_life=FOREVER,
    )
    venue = Venue(
        plan.reel,
        session_date=first.session_date,
        starts_at=first.opens_at - BEFORE_OPEN,
        starting_cash=plan.cash,
        rules=rules,
        seed=plan.seed,
    )
    venue.floor.arrival_takes = costs.latency_bars * MINUTE
    ledger = PassingLedger(keeps=plan.keeps, hashes=plan.hashes)
    desk = Desk(
        settings=plan.settings,
        clock=venue,
        broker=venue,
        market=venue,
        updates=venue.updates(),
        journal=Journal(ledger),
        recorder=NoRecorder(),
        strategies=tuple(plan.strategies),
        fees=rules.fees,
    )
    return desk, venue, ledger


def _steps(
    session: Session, showing: Showing, foresight: Foresight, opinions: Opinions
) -> Steps[Sequence[int], Sequence[Level]]:
    def evaluate(minute: datetime, bars: Sequence[int]) -> Sequence[Level]:
        place = showing.place_of(minute)
        return opinions.levels(place, foresight.acting(place)) if bars else ()

    def trade(minute: datetime, levels: Sequence[Level]) -> TradeOutcome:
        return session.cycle.act(minute, levels)

    return Steps(ingest=showing.ingest, evaluate=evaluate, trade=trade)


def _close(desk: Desk, venue: Venue, hours: SessionHours) -> None:
    """Compare the books with the venue's and close the day in the ledger.

    Raises:
        BooksDiffer: they are not equal.
    """
    portfolio, books = desk.portfolio, venue.floor.books
    for symbol in portfolio.held_symbols() + tuple(books.holdings):
        if portfolio.position(symbol) != books.qty(symbol):
            raise BooksDiffer(
                f"{hours.session_date}: {symbol} is {portfolio.position(symbol)} in our books, "
                f"{books.qty(symbol)} at the venue"
            )
    totals = venue.floor.totals()
    desk.journal.record(
        DayClosed(
            at=desk.now(),
            session_date=hours.session_date,
            equity=totals.equity,
            cash=portfolio.cash,
            realized_pnl=portfolio.realized_pnl(),
            fees=portfolio.fees(),
        )
    )


def _charge_borrow(desk: Desk, venue: Venue, hours: SessionHours, annual_frac: Decimal) -> None:
    """Charge what is short for the nights until the next session, at the closing marks, up to the cent.

    Formula: |qty| x mark x annual_frac x nights / 360 (a year of money is 360 days), as brokers charge it.
    The loss limits do not see it: it is booked as cash put right.
    """
    if annual_frac == 0:
        return
    nights = (next_session(hours.session_date).session_date - hours.session_date).days
    marks, shorts = (
        venue.floor.marks(),
        (each for each in venue.floor.books.holdings.values() if each.qty < 0),
    )
    owed = sum((-each.qty * marks[each.symbol] for each in shorts), Decimal(0)) * annual_frac * nights / 360
    if owed > 0:
        charge = cents_up(owed)
        venue.floor.books.cash -= charge
        desk.journal.record(CashAdjusted(at=desk.now(), amount=-charge, cause=BORROW))


def _flows(ledger: PassingLedger) -> pl.DataFrame:
    """Give the money that moved without a fill, each in a minute of its session."""
    rows = []
    for event in ledger.flows:
        day = session_date_at(event.at)
        hours = None if day is None else session_hours(day)
        assert hours is not None, "a backtest's clock stands in sessions"
        ts = min(max(event.at, hours.opens_at), hours.closes_at - MINUTE)
        kind = event.cause.partition(":")[0]
        rows.append((ts, kind if kind in FLOWS else "fee", event.amount))
    return pl.DataFrame(rows, schema=FLOW_SCHEMA, orient="row")


def _frame(ledger: PassingLedger) -> pl.DataFrame:
    """Give the executions, columns of `FILL_SCHEMA`, in order of time."""
    fills = [fill for fill, _ in ledger.fills]
    columns = {
        "ts": [fill.filled_at.replace(second=0, microsecond=0) for fill in fills],
        "filled_at": [fill.filled_at for fill in fills],
        "strategy": [fill.strategy for fill in fills],
        "symbol": [fill.symbol for fill in fills],
        "side": [fill.side.value for fill in fills],
        "qty": [fill.qty for fill in fills],
        "price": [fill.price for fill in fills],
        "fee": [fill.fee for fill in fills],
        "reference_price": [intent.reference_price for _, intent in ledger.fills],
        "client_order_id": [fill.client_order_id for fill in fills],
    }
    return pl.DataFrame(columns, schema=FILL_SCHEMA)


class NoRecorder:
    """A warehouse for a session whose rows nobody wants."""

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Write nothing."""
