"""The world of one seed: the venue, what is durable, the time, and everything that happens to the desk.

Only one thing runs at a time. The venue's clock moves when the desk sleeps (or while its machine is off),
and stops at every instant at which a person or the machine does something.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from desk.errors import BrokerError
from desk.exchange.faults_venue import FaultyVenue
from desk.exchange.matching import Rules as VenueRules
from desk.exchange.orders import VenueEvent
from desk.exchange.venue import Venue
from desk.hours import session_hours
from desk.ports import StrategyRunner, Wake
from desk.simulation.audit_books import Rules
from desk.simulation.auditor import Auditor
from desk.simulation.chance import Chance
from desk.simulation.ideas import Idea
from desk.simulation.market import SparseMarket
from desk.simulation.memory import Store
from desk.simulation.process import LATE_S, Killed, Process
from desk.simulation.scenario import Scenario, minutes_of
from desk.simulation.trouble import Outage, Trouble
from schemas.faults import FaultKind
from schemas.orders import OrderIntent

# A break that old positions caused may stand until the books are compared again, minutes later.
LAG_FORGOTTEN = timedelta(minutes=12)


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened; `facts` of a ledger row are the row itself."""

    at: datetime
    who: str
    words: str
    facts: Mapping[str, Any] | None = None


class World:
    """Everything outside the desk's process."""

    def __init__(self, scenario: Scenario, trouble: Trouble, ideas: Mapping[str, Idea]) -> None:
        """Open the venue at the first window's start."""
        self.scenario = scenario
        self.rates = trouble.rates
        self._ideas = ideas
        seed = scenario.seed
        self.trouble_chance = Chance(seed, "trouble")
        self.death_chance = Chance(seed, "death")
        self.person_chance = Chance(seed, "person")
        self.counts: dict[str, int] = {}
        self.happenings: list[Happening] = []
        self.skew = timedelta(0)
        self.deaths_left = scenario.mortality.deaths_max
        self.running: Process | None = None
        self.off_at: datetime | None = None  # when the machine is switched off
        self.delivered: set[tuple[str, datetime, float]] = set()
        self._outage = Outage(Chance(seed, "outage"), trouble.rates.outage)
        self._lagged_at: datetime | None = None  # when the broker last showed old positions
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
        self.venue.floor.listeners.append(self._venue_event)  # before the liar hears: events as they are
        self.broker = FaultyVenue(self.venue, trouble.plan)
        self.auditor = Auditor(opening_cash=str(scenario.cash), rules=_rules(scenario))
        for window in scenario.windows:
            hours = session_hours(window.session_date)
            assert hours is not None, "windows lie in sessions"
            self.auditor.closes[str(window.session_date)] = hours.closes_at.isoformat()
        self.store = Store(now=self.now, heard=self._row)

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

    def positions_asked(self, before: int) -> None:
        """Learn whether the positions just given were old ones."""
        if self.lags() > before:
            self._lagged_at = self.now()

    def lags(self) -> int:
        """Count the times the broker showed old positions."""
        return self.broker.mischief.counts.get(FaultKind.POSITIONS_LAG, 0)

    @property
    def is_lagging(self) -> bool:
        """Tell whether the broker showed old positions a short while ago."""
        return self._lagged_at is not None and self.now() < self._lagged_at + LAG_FORGOTTEN

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
        self.auditor.lagging = self.is_lagging
        self.tell("person" if operator else "desk", facts["kind"], facts)
        self.auditor.ledger_row(facts, operator=operator)

    def _parent_of(self, event: VenueEvent) -> str:
        """Give the client order id of the order of ours that brought this one along; nothing for others."""
        order, orders = event.order, self.venue.floor.blotter.orders
        first = order
        while first.parent_id is not None and first.parent_id in orders:
            first = orders[first.parent_id]
        return "" if first is order else first.client_order_id

    def _venue_event(self, event: VenueEvent) -> None:
        """Hear of an event at the venue."""
        facts = venue_facts(event, self._parent_of(event))
        self.tell("venue", event.event, facts)
        self.auditor.venue_event(facts)


def venue_facts(event: VenueEvent, parent: str) -> dict[str, Any]:
    """Give a venue's event in plain words and numbers as text; `parent` is a client order id."""
    order, done = event.order, event.execution
    return {
        "event": event.event,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": str(order.side),
        "status": str(order.status),
        "source": order.source,
        "parent": parent,
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
