"""The exact engine: `desk/session.py`, day after day, on the venue in process.

There is no second loop and no second order machine. A backtest hands the session bars that were judged
before it began (desk/research/reel.py), opinions computed once (opinions.py), a rhythm that leaves out the
minutes in which nothing can happen (foresight.py) and a ledger that lets events pass (ledger.py). The venue
plays every order against the same bars by the rules of `desk/exchange/matching.py`.

A backtest is a function of its plan: the same plan gives the same orders, fills and ledger to the last byte.
Each session ends with its books compared with the venue's; a difference is an error of ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.cycle import TradeOutcome
from desk.desk import Desk
from desk.exchange.floor import STARTS_BEFORE_OPEN
from desk.exchange.matching import Rules
from desk.exchange.venue import Venue
from desk.fees import FeeSchedule
from desk.gate import approve_all, review_all
from desk.journal import Journal
from desk.ports import StrategyRunner
from desk.research.ex_dates import ExDates
from desk.research.foresight import Foresight
from desk.research.ledger import PassingLedger
from desk.research.night import BooksDiffer as BooksDiffer
from desk.research.night import charge_borrow, close_day
from desk.research.opinions import Opinions
from desk.research.reel import Reel, Showing
from desk.research.shares import Divided
from desk.research.takings import fill_frame, flow_frame
from desk.session import Session, Steps
from desk.sizer import Level
from desk.split_watch import guard
from schemas.account import SessionHours
from schemas.actions import NO_ACTIONS, Actions
from schemas.research import Costs
from schemas.settings import Settings

MINUTE = timedelta(minutes=1)
# Longer than the longest time without a session, twice: what a next session may ask for is remembered.
REMEMBERED = timedelta(days=14)
SESSIONS_REMEMBERED = 21  # after so many, what is over is taken out and forgotten: a month
FOREVER = timedelta(days=36_500)  # an order waits for its symbol's next bar, however long the bars have a gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a backtest is made of, but its bars and signals."""

    settings: Settings
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Terms):
    """What a backtest is made of."""

    reel: Reel
    said: Mapping[str, pl.DataFrame]  # by strategy: its signals of all bars, sorted by (symbol, ts)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it."""

    fills: pl.DataFrame  # `FILL_SCHEMA`
    flows: pl.DataFrame  # `FLOW_SCHEMA`: borrow, dividends, shares paid in cash
    cash: Decimal
    equity: Decimal  # at the newest closes
    orders: int
    denied: int
    denials: Mapping[str, int]  # by the gate's reason
    visited: int  # minutes
    orders_hash: str
    ledger_hash: str
    journal: Journal | None  # None: of the screen, which has none
    rejections: Mapping[str, int] = field(default_factory=dict)  # by the venue's words
    divided: tuple[Divided, ...] = ()  # what splits made of positions


def play(plan: Plan, *, after: Callable[[SessionHours], None] | None = None) -> Played:
    """Run a backtest.

    Args:
        plan: what it is made of.
        after: told of every session that is over, for a progress bar.

    Raises:
        BooksDiffer: our books and the venue's differ, which is a defect of this program.
    """
    playback = Playback(plan)
    stretch = playback.run(plan.reel, plan.said, after=after)
    return playback.played(stretch)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came of a stretch of sessions."""

    fills: pl.DataFrame  # `FILL_SCHEMA`, in order of time
    flows: pl.DataFrame  # `FLOW_SCHEMA`


class Playback:
    """A backtest under way: one desk at one venue, stretch after stretch of bars.

    What ended months ago nobody asks for any more, so it is forgotten, and memory is a stretch's whatever the
    period; unless events are kept or the state is proved, which must then know everything.
    """

    def __init__(self, plan: Plan) -> None:
        """Compose the desk of a plan, whose reel is the first to be run."""
        # The terms alone: a first month's bars are not to outlive it.
        self._plan = Terms(**{each.name: getattr(plan, each.name) for each in fields(Terms)})
        self._desk, self._venue, self._ledger = _composed(plan)
        self._symbols = tuple(sorted({symbol for each in plan.strategies for symbol in each.symbols}))
        self._ex_dates = ExDates(plan.actions, self._desk, self._venue)
        self._sessions = self._visited = 0
        self._prices: Mapping[str, Decimal] = {}  # the newest closes

    def run(
        self,
        reel: Reel,
        said: Mapping[str, pl.DataFrame],
        *,
        after: Callable[[SessionHours], None] | None = None,
    ) -> Stretch:
        """Play the sessions of a reel, later than those of the one before.

        Args:
            reel: the bars; from the second stretch on with the newest bar of each symbol before it.
            said: by strategy: its signals of all bars, sorted by (symbol, ts).
            after: told of every session that is over.

        Raises:
            BooksDiffer: our books and the venue's differ, which is a defect of this program.
        """
        plan, venue, opinions = self._plan, self._venue, Opinions(said)
        venue.floor.go_on(reel, self._symbols)
        foresight = Foresight(
            self._desk.journal,
            reel,
            opinions,
            plan.settings,
            skips=plan.skips,
            proves=plan.proves,
            limited=plan.gate,
        )
        delay, assets = timedelta(seconds=plan.settings.session.bar_delay_s), venue.assets(self._symbols)
        parts: list[Stretch] = []
        for hours in reel.sessions:
            venue.sleep_until(hours.opens_at - STARTS_BEFORE_OPEN)
            self._ex_dates.begin(hours)
            splits = guard(self._desk, self._symbols, hours.session_date) if plan.actions.splits else None
            showing = Showing(reel, symbols=self._symbols, assets=assets, delay=delay, guard=splits)
            self._run_session(hours, showing, foresight, opinions)
            if after is not None:
                after(hours)
            if self._sessions % SESSIONS_REMEMBERED == 0:
                parts.append(self._taken())
        parts.append(self._taken())
        return Stretch(*(pl.concat([getattr(part, name) for part in parts]) for name in Stretch.__slots__))

    def played(self, stretch: Stretch) -> Played:
        """Give what came of the whole, with the executions and flows of all its stretches."""
        ledger, portfolio = self._ledger, self._desk.portfolio
        held = portfolio.holdings().items()
        value = sum((position.qty * self._prices[symbol] for (_, symbol), position in held), Decimal(0))
        return Played(
            fills=stretch.fills,
            flows=stretch.flows,
            cash=portfolio.cash,
            equity=portfolio.cash + value,
            orders=ledger.orders,
            denied=sum(ledger.denials.values()),
            denials=dict(ledger.denials),
            visited=self._visited,
            orders_hash=ledger.orders_hash,
            ledger_hash=ledger.ledger_hash,
            journal=self._desk.journal,
            rejections=dict(ledger.rejections),
            divided=self._ex_dates.divided(ledger),
        )

    def _run_session(
        self, hours: SessionHours, showing: Showing, foresight: Foresight, opinions: Opinions
    ) -> None:
        """Run one session, compare the books and charge the night."""
        session = Session(
            self._desk,
            session_date=hours.session_date,
            run_id=f"backtest-{self._sessions}",
            bars=showing,
            rhythm=foresight,
            judge=review_all if self._plan.gate else approve_all,
        )
        self._visited += session.run(_steps(session, showing, foresight, opinions)).minutes
        self._sessions += 1
        self._prices = showing.last_prices()
        close_day(self._desk, self._venue, hours)
        charge_borrow(self._desk, self._venue, hours, self._plan.costs.borrow_annual_frac)

    def _taken(self) -> Stretch:
        """Take what happened since the last call out of the ledger, and forget what is over."""
        fills, flows = self._ledger.take()
        if not self._plan.keeps and not self._plan.proves:
            self._forget()
        return Stretch(fills=fill_frame(fills), flows=flow_frame(flows))

    def _forget(self) -> None:
        """Forget ended orders and their executions, here and at the venue.

        Nobody asks the venue for anything older: books are compared from the session before, and while an
        order works, from when it was planned (desk/bookkeeper.py).
        """
        portfolio, floor = self._desk.portfolio, self._venue.floor
        working = [order.planned_at for order in portfolio.working_orders()]
        before = min([self._desk.now(), *working]) - REMEMBERED
        portfolio.orders.forget(before)
        floor.blotter.forget(before)
        for done in floor.books.forget(before):
            portfolio.executions.discard(done.execution_id)
            portfolio.cumulative.discard((done.order_id, done.cum_qty))
        self._ledger.forget(portfolio.orders)


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
        fees_in_cents=False,  # or a day's rounding would be in the account's profit and in no trade's
        gtc_life=FOREVER,
    )
    venue = Venue(
        plan.reel,
        session_date=first.session_date,
        starts_at=first.opens_at - STARTS_BEFORE_OPEN,
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
