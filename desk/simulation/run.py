"""A seed's days from the first minute to the last closed day, whatever dies meanwhile.

What Prefect's automations do for a live desk is done here by a loop: a session that ended before its time
is started again after seconds or minutes, a close that failed is tried again, and a person looks at open
breaks. A day that does not end within a bounded number of processes is itself a failure: the desk is stuck.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeVar

from desk.closing import close_day
from desk.desk import Desk
from desk.errors import (
    BrokerUnavailable,
    KillIncomplete,
    LeaseHeld,
    LeaseLost,
    LedgerUnavailable,
    NotReady,
    OpenBreaks,
)
from desk.hours import session_hours
from desk.journal import Journal
from desk.kill import kill
from desk.portfolio import replay
from desk.session import Session
from desk.simulation.acts import PERSON, People
from desk.simulation.audit_books import Broken
from desk.simulation.chance import Chance
from desk.simulation.ideas import Idea
from desk.simulation.process import DeskClock, Feed, Killed, Process, Recorder, Wire
from desk.simulation.scenario import MINUTES_DEFAULT, Planned, Scenario, Window, draw
from desk.simulation.trouble import NO_TROUBLE, Rates, Trouble, draw_trouble
from desk.simulation.world import Happening, World
from schemas.faults import FaultPlan

Result = TypeVar("Result")

# A day has a handful of deaths and outages; a desk that needs more processes than this is stuck.
PROCESSES_MAX = 60
CLOSE_TRIES_MAX = 40
AGAIN = timedelta(seconds=20)  # a failed phase is tried again after this long
AFTER_CLOSE = timedelta(minutes=7)  # close-day is due minutes after the bell
EXPECTED = (BrokerUnavailable, LedgerUnavailable, LeaseLost, LeaseHeld, NotReady, KillIncomplete)


@dataclass(frozen=True, slots=True)
class Failure:
    """What does not hold."""

    invariant: str
    words: str
    trace: str = ""  # of a defect


@dataclass(frozen=True, slots=True)
class Outcome:
    """A seed's days in numbers, and what failed, if anything."""

    seed: int
    failure: Failure | None
    counts: Mapping[str, int]
    checked: Mapping[str, int]
    digest: str  # of the ledger: two runs of a seed agree in it
    happenings: tuple[Happening, ...] = field(repr=False, default=())


def play(
    seed: int,
    *,
    ideas: Mapping[str, Idea],
    minutes: int = MINUTES_DEFAULT,
    trouble: bool = True,
    plan: FaultPlan | None = None,
) -> tuple[Scenario, Outcome]:
    """Draw a seed's scenario and run it.

    Args:
        seed: what decides.
        ideas: the strategies to choose among, by name.
        minutes: minutes of market in all, about.
        trouble: False: nothing goes wrong and nobody interferes.
        plan: the exchange's faults; None: the seed draws them.
    """
    scenario = draw(seed, ideas=tuple(ideas), minutes=minutes, trouble=trouble)
    drawn = draw_trouble(Chance(seed, "trouble"), scenario.windows) if trouble else NO_TROUBLE
    if plan is not None:
        drawn = Trouble(Rates(), plan.model_copy(update={"seed": seed}))
    return scenario, Run(scenario, drawn, ideas).outcome()


class Run:
    """The days of one scenario."""

    def __init__(self, scenario: Scenario, trouble: Trouble, ideas: Mapping[str, Idea]) -> None:
        """Open the world; nothing has happened yet."""
        self.world = World(scenario, trouble, ideas)
        self.scenario = scenario
        self.people = People(self)
        self._processes = 0
        self._last: Journal | None = None  # of the process that ran last
        for planned in scenario.acts:
            self.world.plan(planned.at, self._deed(planned))

    def outcome(self) -> Outcome:
        """Run all days and give what came of them."""
        failure: Failure | None = None
        try:
            self._days()
        except Broken as broken:
            failure = Failure(broken.invariant, broken.words)
        except Exception as error:  # noqa: BLE001  a defect of the desk under test is a failure, and told
            words = f"{type(error).__name__}: {error}"
            failure = Failure("defect", words, "".join(traceback.format_exception(error)))
        if failure is not None:
            self.world.tell("auditor", f"{failure.invariant}: {failure.words}")
        world = self.world
        floor = world.venue.floor
        world.count("orders", len(floor.blotter.orders))
        world.count("executions", len(floor.books.executions))
        world.count("events", len(world.store.rows))
        world.count("minutes", self.scenario.minutes)
        for kind, number in world.broker.counts.items():
            world.count(f"fault: {kind.replace('_', ' ')}", number)
        world.count("processes", self._processes)
        return Outcome(
            seed=self.scenario.seed,
            failure=failure,
            counts=dict(sorted(world.counts.items())),
            checked=dict(sorted(world.auditor.checked.items())),
            digest=world.store.digests()[0],
            happenings=tuple(world.happenings),
        )

    # ---- the days --------------------------------------------------------------------------

    def _days(self) -> None:
        windows = self.scenario.windows
        for number, window in enumerate(windows):
            self.world.advance(window.starts_at)
            self._trade(window)
            is_last = number + 1 == len(windows) or windows[number + 1].session_date != window.session_date
            if is_last:
                self._close(window.session_date)
        self._finish()

    def _trade(self, window: Window) -> None:
        """Run sessions until the window is over; each process that ends too early is followed by another."""
        world = self.world
        hours = session_hours(window.session_date)
        assert hours is not None, "windows lie in sessions"
        until = window.ends_at if window.ends_at is not None else hours.closes_at
        if window.ends_at is not None:
            world.plan(window.ends_at, self._switch_off)
        for _ in range(PROCESSES_MAX):
            if world.now() >= until:
                return
            if self._phase("session", lambda desk: self._session(desk, window.session_date), trades=True):
                return
            self._wait()
        raise Broken("stuck", f"{PROCESSES_MAX} processes could not trade {window.session_date}")

    def _session(self, desk: Desk, day: date) -> str:
        return Session(desk, session_date=day, run_id=f"run-{self._processes}").run().cause

    def _close(self, day: date) -> None:
        """Close the day, twice: the second time changes nothing."""
        hours = session_hours(day)
        assert hours is not None, "windows lie in sessions"
        self.world.advance(hours.closes_at + AFTER_CLOSE)
        for _ in range(CLOSE_TRIES_MAX):
            if self._phase("close-day", lambda desk: close_day(desk, day)):
                break
            if not self._has_session(day):
                self.world.tell("machine", f"no session ever began on {day}: nothing to close")
                return
            self._wait()
        else:
            raise Broken("stuck", f"{day} could not be closed in {CLOSE_TRIES_MAX} tries")
        self.world.auditor.day_closed()
        before = len(self.world.store.rows)
        again = self._phase("close-day again", lambda desk: close_day(desk, day))
        if again is not None and len(self.world.store.rows) != before:
            raise Broken("I2", f"closing {day} twice wrote {len(self.world.store.rows) - before} more rows")

    def _finish(self) -> None:
        """Hold the last state against a replay, and the rows against what was written."""
        self._replayed(replay(event for _, event in self.world.store.read(0)).state_hash())
        self.world.auditor.rows_kept(*self.world.store.digests())

    # ---- processes -------------------------------------------------------------------------

    def _phase(self, name: str, work: Callable[[Desk], Result], *, trades: bool = False) -> Result | None:
        """Run one process to its end; give what it gave, or None when it died, failed or was refused."""
        world = self.world
        self._processes += 1
        try:
            token = world.store.acquire(f"{name} {self._processes}")
        except (LeaseHeld, LedgerUnavailable) as error:
            world.tell("machine", f"{name} cannot begin: {error}")
            return None
        return self._live(Process(world, token, f"{name} {self._processes}"), work, trades=trades)

    def _live(self, process: Process, work: Callable[[Desk], Result], *, trades: bool) -> Result | None:
        world = self.world
        outer, world.running = world.running, process
        world.auditor.process_started(killing=process.name.startswith("kill"))
        world.tell("machine", f"{process.name} begins")
        try:
            desk = process.desk(is_trading=trades)
            self._replayed(desk.portfolio.state_hash())
            result = work(desk)
            process.audit()
            world.tell("machine", f"{process.name} ends")
            return result
        except Killed:
            return None
        except OpenBreaks as error:
            world.tell("machine", f"{process.name} fails: {error}")
            self.people.accept()
            return None
        except EXPECTED as error:
            world.tell("machine", f"{process.name} fails: {type(error).__name__}: {error}")
            if isinstance(error, NotReady):
                world.skew = timedelta(0)  # a person reads the words and sets the clock
            return None
        finally:
            self._last = process.journal if process.journal is not None else self._last
            world.store.release(process.ledger.token)
            world.running = outer

    def _replayed(self, fresh: str) -> None:
        """Hold a fresh replay against the state of the process before, brought up to the same row (I8)."""
        if self._last is not None:
            self._last.catch_up()
            self.world.auditor.replayed(self._last.portfolio.state_hash(), fresh)

    def kill_cold(self) -> None:
        """Run the kill switch's own process, as `desk kill` does when no session has the account."""
        self._phase("kill switch", lambda desk: kill(desk, cause="a person said so", by=PERSON))

    def rival(self, token: int, *, seconds: int) -> None:
        """Let a second session trade beside a paused one, and die."""
        world = self.world
        self._processes += 1
        process = Process(world, token, f"second session {self._processes}")
        paused = world.running
        day = world.venue.floor.hours.session_date
        world.plan(world.now() + timedelta(seconds=seconds), lambda: self._end(process))
        self._live(process, lambda desk: self._session(desk, day), trades=True)
        world.auditor.process_started()
        world.running = paused

    def bare_desk(self) -> Desk:
        """Give a desk that is only asked for the time."""
        process = Process(self.world, 0, "command")
        return Desk(
            settings=self.scenario.settings,
            clock=DeskClock(self.world),
            broker=Wire(process),
            market=Feed(self.world),
            updates=None,
            journal=Journal(process.ledger),
            recorder=Recorder(self.world),
            strategies=(),
        )

    # ---- what interrupts -------------------------------------------------------------------

    def _deed(self, planned: Planned) -> Callable[[], None]:
        return lambda: self.people.act(planned.act)

    def _switch_off(self) -> None:
        if self.world.running is not None:
            self.world.count("machine switched off")
            self.world.tell("machine", "is switched off")
            raise Killed("switched off")

    def _end(self, process: Process) -> None:
        if self.world.running is process:
            self.world.tell("machine", f"{process.name} is killed")
            raise Killed("the second session dies")

    def _wait(self) -> None:
        low, high = self.scenario.mortality.wait_s
        self.world.advance(self.world.now() + timedelta(seconds=self.world.death_chance.whole(low, high)))

    def _has_session(self, day: date) -> bool:
        return any(
            f'"session_date":"{day}"' in row and "session_started" in row for row in self.world.store.rows
        )
