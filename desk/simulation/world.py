"""The world of one seed: the venue, what is durable, the time, and everything that happens to the desk.

Only one thing runs at a time. The venue's clock moves when the desk sleeps (or while its machine is off),
and stops at every instant at which a person or the machine does something.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from desk.errors import BrokerError
from desk.exchange.matching import Rules as VenueRules
from desk.exchange.orders import VenueEvent
from desk.exchange.venue import Venue
from desk.ports import StrategyRunner, Wake
from desk.simulation.audit_books import Rules
from desk.simulation.auditor import Auditor
from desk.simulation.chance import Chance
from desk.simulation.ideas import Idea
from desk.simulation.market import SparseMarket
from desk.simulation.memory import Store
from desk.simulation.process import LATE_S, MINUTE, Killed, Process
from desk.simulation.scenario import Scenario, minutes_of
from desk.simulation.trouble import Outage, Rates
from schemas.orders import OrderIntent

HOLD_BACK_MINUTES = (1, 3)  # how late a late bar is
REVISED_AFTER = timedelta(seconds=35)  # ALPACA.md section 4.1: a bar may be revised half a minute later


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened; `facts` of a ledger row are the row itself."""

    at: datetime
    who: str
    words: str
    facts: Mapping[str, Any] | None = None


class World:
    """Everything outside the desk's process."""

    def __init__(self, scenario: Scenario, rates: Rates, ideas: Mapping[str, Idea]) -> None:
        """Open the venue at the first window's start."""
        self.scenario = scenario
        self.rates = rates
        self._ideas = ideas
        seed = scenario.seed
        self.trouble_chance = Chance(seed, "trouble")
        self.death_chance = Chance(seed, "death")
        self.person_chance = Chance(seed, "person")
        self._bar_chance = Chance(seed, "bars")
        self.counts: dict[str, int] = {}
        self.happenings: list[Happening] = []
        self.skew = timedelta(0)
        self.deaths_left = scenario.mortality.deaths_max
        self.running: Process | None = None
        self.off_at: datetime | None = None  # when the machine is switched off
        self.delivered: set[tuple[str, datetime, float]] = set()
        self._held_back: dict[tuple[str, datetime], datetime] = {}
        self._outage = Outage(Chance(seed, "outage"), rates.outage)
        self._frozen = Outage(Chance(seed, "frozen"), rates.feed_frozen)
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = 0
        market = SparseMarket(
            Chance(seed, "market"),
            scenario.symbols,
            minutes_of(scenario.windows),
            dirt=scenario.dirt,
            wildness=scenario.wildness,
            thinness=scenario.thinness,
        )
        for kind, count in market.counts.items():
            self.count(f"fault: {kind}", count)
        first = scenario.windows[0]
        self.venue = Venue(
            market,
            session_date=first.session_date,
            starts_at=first.starts_at,
            starting_cash=scenario.cash,
            rules=VenueRules(spread_bps=scenario.spread_bps),
            seed=seed,
        )
        self.auditor = Auditor(opening_cash=str(scenario.cash), rules=_rules(scenario))
        self.store = Store(now=self.now, heard=self._row)
        self.venue.floor.listeners.append(self._venue_event)

    # ---- time ------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Give the venue's time."""
        return self.venue.now()

    def advance(self, to: datetime, wake: Wake | None = None) -> None:
        """Play up to an instant, stopping for what is on the agenda, and sooner once `wake` is set."""
        while self._agenda and self._agenda[0][0] <= to:
            at = self._agenda[0][0]
            if at > self.now():
                self.venue.sleep_until(at, wake)
                if self.now() < at:
                    return  # woken
            self._agenda.pop(0)[2]()
        self.venue.sleep_until(to, wake)

    def plan(self, at: datetime, act: Callable[[], None]) -> None:
        """Put something on the agenda."""
        self._numbers += 1
        self._agenda.append((at, self._numbers, act))
        self._agenda.sort(key=lambda entry: entry[:2])

    # ---- what befalls the desk ---------------------------------------------------------------

    def may_die(self, process: Process, words: str) -> None:
        """End the process here, if that is its fate."""
        mortality = self.scenario.mortality
        if self.deaths_left > 0 and self.death_chance.strikes(mortality.likelihood):
            self.deaths_left -= 1
            self.count("kills")
            self.tell("machine", f"{process.name} is killed {words}")
            raise Killed(words)

    def strikes(self, kind: str) -> bool:
        """Tell whether a kind of trouble strikes now, and count it."""
        if not self.trouble_chance.strikes(getattr(self.rates, kind)):
            return False
        self.count(f"fault: {kind.replace('_', ' ')}")
        return True

    def is_out(self) -> bool:
        """Tell whether the broker answers nothing now."""
        if self.rates.outage == 0 or not self._outage.is_on(self.now()):
            return False
        self.count("fault: outage")
        return True

    def deliver_late(self, intent: OrderIntent) -> None:
        """Let an order reach the venue after the desk gave it up."""

        def arrive() -> None:
            try:
                self.venue.submit(intent)
                self.tell("wire", f"order {intent.client_order_id} arrives at the venue at last")
            except BrokerError as error:
                self.tell("wire", f"order {intent.client_order_id} arrives late and is refused: {error}")

        self.plan(self.now() + timedelta(seconds=self.trouble_chance.whole(*LATE_S)), arrive)

    def bars_as_delivered(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Hold late bars back and give revised ones their first numbers; remember what was delivered."""
        now = self.now()
        if self.rates.feed_frozen and self._frozen.is_on(now):
            self.count("fault: feed frozen")
            frame = frame.clear()
        if self.rates.bar_late and frame.height:
            frame = frame.filter(
                pl.Series(
                    [
                        not self._is_late(symbol, ts, now)
                        for symbol, ts in zip(frame["symbol"], frame["ts"], strict=True)
                    ],
                    dtype=pl.Boolean,
                )
            )
        if self.rates.bar_revised and frame.height:
            frame = self._unrevised(frame, now)
        self.delivered.update(frame.select("symbol", "ts", "close").iter_rows())
        return frame

    def _is_late(self, symbol: str, ts: datetime, now: datetime) -> bool:
        due = self._held_back.get((symbol, ts))
        if due is None:
            due = ts + MINUTE
            if self._bar_chance.of(f"late {symbol} {ts}").strikes(self.rates.bar_late):
                due += self._bar_chance.whole(*HOLD_BACK_MINUTES) * MINUTE
                self.count("fault: bar late")
            self._held_back[(symbol, ts)] = due
        return now < due

    def _unrevised(self, frame: pl.DataFrame, now: datetime) -> pl.DataFrame:
        factors = []
        for symbol, ts in zip(frame["symbol"], frame["ts"], strict=True):
            is_revised = self._bar_chance.of(f"revised {symbol} {ts}").strikes(self.rates.bar_revised)
            is_early = now < ts + MINUTE + REVISED_AFTER
            factors.append(2 if is_revised and is_early else 1)
            if factors[-1] == 2:
                self.count("fault: bar revised")
        return frame.with_columns(volume=(pl.col("volume") * pl.Series(factors, dtype=pl.Int64)))

    def strategies(self) -> tuple[StrategyRunner, ...]:
        """Make the scenario's strategies anew, as a starting process does."""
        scenario = self.scenario
        return tuple(
            self._ideas[name](name, scenario.symbols, scenario.seed, scenario.settings.risk.allow_short)
            for name in scenario.ideas
        )

    # ---- what is told ------------------------------------------------------------------------

    def tell(self, who: str, words: str, facts: Mapping[str, Any] | None = None) -> None:
        """Add to the story."""
        self.happenings.append(Happening(self.now(), who, words, facts))

    def count(self, kind: str, number: int = 1) -> None:
        """Count for the summary."""
        if number:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def _row(self, row: str, operator: bool) -> None:
        """Hear of a durable row."""
        facts = json.loads(row)
        self.tell("person" if operator else "desk", facts["kind"], facts)
        self.auditor.ledger_row(facts, operator=operator)

    def _venue_event(self, event: VenueEvent) -> None:
        """Hear of an event at the venue."""
        facts = venue_facts(event)
        self.tell("venue", event.event, facts)
        self.auditor.venue_event(facts)


def venue_facts(event: VenueEvent) -> dict[str, Any]:
    """Give a venue's event in plain words and numbers as text."""
    order, done = event.order, event.execution
    return {
        "event": event.event,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": str(order.side),
        "status": str(order.status),
        "source": order.source,
        "qty": None if order.qty is None else str(order.qty),
        "limit_price": None if order.limit_price is None else str(order.limit_price),
        "execution": None
        if done is None
        else {
            "execution_id": done.execution_id,
            "symbol": done.symbol,
            "side": str(done.side),
            "qty": str(done.qty),
            "price": str(done.price),
            "fee": str(done.fee),
        },
    }


def _rules(scenario: Scenario) -> Rules:
    """Give the auditor the limits as text."""
    settings = scenario.settings
    return Rules(
        limits={
            name: str(value)
            for name, value in settings.risk.model_dump().items()
            if not isinstance(value, bool) and value is not None
        },
        offset_bps=str(settings.session.entry_offset_bps),
        allow_fractional=settings.risk.allow_fractional,
    )
