"""What a seed stands for: the account, the days, the settings, the trouble and what people do.

Everything is drawn before anything runs, each part from a chance of its own name, so a scenario can be
read and a change to one part of the drawing leaves the others as they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from desk.hours import next_session, session_hours
from desk.simulation.chance import Chance
from desk.simulation.market import BASES, MINUTE, Dirt
from schemas.risk import RiskLimits
from schemas.settings import DataSettings, ExitSettings, SessionSettings, Settings, StrategySettings

# Days of every kind: early closes, the sessions about both changes of daylight saving, ordinary ones, the
# last under the old margin rules and the first under the new.
FIRST_DAYS = (
    date(2025, 11, 26), date(2025, 11, 28), date(2025, 12, 24), date(2025, 10, 31), date(2026, 3, 6),
    date(2025, 11, 20), date(2026, 6, 3), date(2026, 6, 8), date(2026, 7, 2),
)  # fmt: skip
CASH_USD = ("200", "1500", "2500", "12000", "30000", "30000", "100000", "100000", "1000000")
MINUTES_DEFAULT = 12


class Act(StrEnum):
    """What a person does to the desk or at the broker."""

    KILL = "kill switch"
    RESUME = "resume"
    ACCEPT = "accept breaks"
    TRADE = "trade by hand"
    UNDO = "undo the trade by hand"
    CANCEL = "cancel by hand"
    FOREIGN_ORDER = "order by hand"
    SECOND_SESSION = "second session"
    PAUSE = "process paused past its lease"
    DISK_FULL = "disk full"
    CLOCK_JUMP = "clock jump"


@dataclass(frozen=True, slots=True)
class Planned:
    """An act and its instant, venue time."""

    at: datetime
    act: Act


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch in which the desk's machine is on; `ends_at` None: to the end of the session."""

    session_date: date
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Mortality:
    """How often the process dies at one of its steps, and how often in all."""

    deaths_max: int
    likelihood: float
    wait_s: tuple[int, int]  # until it is started again


@dataclass(frozen=True, slots=True)
class Scenario:
    """All a seed decides before the first minute."""

    seed: int
    symbols: tuple[str, ...]
    windows: tuple[Window, ...]
    cash: Decimal
    settings: Settings
    ideas: tuple[str, ...]
    dirt: Dirt
    wildness: float
    thinness: float
    spread_bps: Decimal
    mortality: Mortality
    acts: tuple[Planned, ...]
    hears_stream: bool  # the user stream; else REST alone
    hears_market: bool  # the market's stream; else REST alone

    @property
    def minutes(self) -> int:
        """Count the minutes in which the market trades."""
        return sum(len(stamps) for stamps in minutes_of(self.windows).values())


def draw(
    seed: int, *, ideas: Sequence[str], minutes: int = MINUTES_DEFAULT, trouble: bool = True
) -> Scenario:
    """Draw a seed's scenario.

    Args:
        seed: what decides.
        ideas: names of the strategies to choose among.
        minutes: minutes of market in all, about.
        trouble: False: a day on which nothing goes wrong and nobody interferes.
    """
    chance = Chance(seed, "scenario")
    windows = _windows(chance.of("windows"), minutes, trouble=trouble)
    symbols = tuple(sorted(chance.of("symbols").some(tuple(BASES), chance.whole(2, 4))))
    cash = Decimal(chance.among(CASH_USD))
    chosen = tuple(chance.of("ideas").some(tuple(ideas), min(len(ideas), chance.among((1, 1, 2, 3)))))
    rough = chance.of("rough")
    return Scenario(
        seed=seed,
        symbols=symbols,
        windows=windows,
        cash=cash,
        settings=_settings(chance.of("settings"), symbols, chosen, cash),
        ideas=chosen,
        dirt=_dirt(rough) if trouble else Dirt(),
        wildness=rough.among((0.0004, 0.001, 0.003)),
        thinness=rough.among((0.0, 0.5, 0.9, 1.0)),
        spread_bps=Decimal(rough.among(("1", "2", "8"))),
        mortality=_mortality(chance.of("mortality"), trouble=trouble),
        acts=_acts(chance.of("acts"), windows) if trouble else (),
        hears_stream=rough.strikes(0.8),
        hears_market=rough.strikes(0.5),
    )


def minutes_of(windows: Sequence[Window]) -> dict[date, tuple[datetime, ...]]:
    """Give the left edges of the minutes that trade, by session date: those of the windows and one before."""
    found: dict[date, tuple[datetime, ...]] = {}
    for window in windows:
        hours = session_hours(window.session_date)
        assert hours is not None, "windows lie in sessions"
        first = max(hours.opens_at, window.starts_at.replace(second=0, microsecond=0) - MINUTE)
        end = hours.closes_at if window.ends_at is None else window.ends_at
        count = max(0, -((first - end) // MINUTE))
        stamps = tuple(first + place * MINUTE for place in range(count))
        found[window.session_date] = (*found.get(window.session_date, ()), *stamps)
    return {day: tuple(sorted(set(stamps))) for day, stamps in found.items()}


def _windows(chance: Chance, minutes: int, *, trouble: bool) -> tuple[Window, ...]:
    """Part the minutes: most into the last of a session, some to its first, over one to three sessions."""
    days = min(chance.among((1, 1, 1, 1, 2, 2, 3)) if trouble else 1, max(1, minutes // 4))
    day = chance.among(FIRST_DAYS)
    found: list[Window] = []
    for number in range(days):
        share = minutes // days
        hours = session_hours(day)
        assert hours is not None, "the days drawn from are sessions"
        if trouble and share >= 8 and chance.strikes(0.35):
            early = share // 3
            starts = hours.opens_at - timedelta(seconds=chance.whole(0, 90))
            found.append(
                Window(day, starts, hours.opens_at + early * MINUTE + timedelta(seconds=chance.whole(0, 59)))
            )
            share -= early
        late = hours.closes_at - share * MINUTE - timedelta(seconds=chance.whole(0, 59))
        found.append(Window(day, late, None))
        if number + 1 < days:
            day = next_session(day).session_date
    return tuple(found)


def _settings(chance: Chance, symbols: tuple[str, ...], ideas: Sequence[str], cash: Decimal) -> Settings:
    session = SessionSettings(
        settle_every_s=float(chance.among((10, 20, 30))),
        entry_ttl_minutes=chance.among((1, 1, 2, 3)),
        entry_offset_bps=float(chance.among((0, 5, 20))),
        no_entry_minutes=chance.among((1, 2)),
        close_out_minutes=chance.among((1, 1, 2)),
        close_out=not chance.strikes(0.25),
        slots=chance.among((1, 2, 4)),
    )
    share = Decimal(chance.among(("0.3", "0.6", "0.9"))) / len(ideas)
    return Settings(
        symbols=symbols,
        strategies=tuple(
            StrategySettings(
                name=name,
                allocation_frac=share.quantize(Decimal("0.01")),
                exits=_exits(chance.of(f"exits {name}")),
            )
            for name in ideas
        ),
        session=session,
        risk=_limits(chance, int(cash)),
        data=DataSettings(),
    )


def _exits(chance: Chance) -> ExitSettings | None:
    """Give a third of the strategies protective exits, close enough to the price to be met."""
    if not chance.strikes(0.35):
        return None
    frac = chance.among(("0.001", "0.003", "0.01"))
    words: dict[str, object] = {chance.among(("stop_frac", "trail_frac")): frac}
    if chance.strikes(0.5):
        words["target_frac"] = chance.among(("0.001", "0.003"))
    if chance.strikes(0.2):
        words = {"target_frac": frac}
    return ExitSettings.model_validate({**words, "at": chance.among(("auto", "auto", "desk"))})


def _limits(chance: Chance, equity: int) -> RiskLimits:
    """Give wide limits, none, one or two of them tight enough to be met."""
    wide: dict[str, object] = {
        "daily_loss_usd": max(1, equity // 4),
        "position_shares_max": 100_000,
        "position_notional_max_usd": 2 * equity,
        "position_equity_frac": "2",
        "order_notional_max_usd": 2 * equity,
        "gross_max_usd": 3 * equity,
        "net_max_usd": 3 * equity,
        "orders_per_day": 500,
        "orders_per_minute": 60,
    }
    tight: dict[str, object] = {
        "daily_loss_usd": max(1, equity * chance.among((1, 5)) // 10_000),
        "position_shares_max": chance.among((3, 20, 200)),
        "position_notional_max_usd": max(50, equity // 4),
        "position_equity_frac": "0.3",
        "order_notional_max_usd": max(50, equity // 4),
        "gross_max_usd": max(60, equity // 2),
        "net_max_usd": max(60, equity // 3),
        "orders_per_day": 8,
        "orders_per_minute": 2,
    }
    met = chance.some(sorted(tight), chance.among((0, 0, 1, 1, 2)))
    return RiskLimits.model_validate(
        {
            **wide,
            **{name: tight[name] for name in met},
            "allow_short": chance.strikes(0.35),
            "allow_fractional": chance.strikes(0.4),
            "break_halt_usd": chance.among((0, 200, 500)),
        }
    )


def _dirt(chance: Chance) -> Dirt:
    """Give clean data to half of the seeds and every kind of dirt to some."""
    if chance.strikes(0.4):
        return Dirt()
    return Dirt(
        missing=chance.among((0.0, 0.02, 0.1)),
        nan=chance.among((0.0, 0.03)),
        crossed=chance.among((0.0, 0.03)),
        empty=chance.among((0.0, 0.03)),
        doubled=chance.among((0.0, 0.05)),
        contradicted=chance.among((0.0, 0.03)),
        halted=chance.among((0.0, 0.02)),
    )


def _mortality(chance: Chance, *, trouble: bool) -> Mortality:
    deaths = chance.among((0, 1, 2, 3, 5)) if trouble else 0
    return Mortality(
        deaths_max=deaths,
        likelihood=chance.among((0.003, 0.01, 0.04)),
        wait_s=chance.among(((1, 10), (10, 40), (60, 150))),
    )


def _acts(chance: Chance, windows: Sequence[Window]) -> tuple[Planned, ...]:
    """Give a few acts at random instants of the windows, a person's answers after what provoked them."""
    found: list[Planned] = []
    kinds = (Act.KILL, Act.TRADE, Act.CANCEL, Act.FOREIGN_ORDER, Act.SECOND_SESSION, Act.PAUSE, Act.DISK_FULL,
             Act.CLOCK_JUMP)  # fmt: skip
    for _ in range(chance.among((0, 1, 1, 2, 3))):
        act = chance.among(kinds)
        at = instant(chance, chance.among(windows))
        found.append(Planned(at, act))
        later = at + timedelta(seconds=chance.whole(5, 240))
        if act is Act.KILL and chance.strikes(0.6):
            found.append(Planned(later, Act.RESUME))
        elif act in (Act.TRADE, Act.FOREIGN_ORDER):
            found.append(Planned(later, chance.among((Act.ACCEPT, Act.UNDO))))
    if chance.strikes(0.6):  # a person who looks at the desk now and then, and lets it go on
        looks = [window for window in windows for _ in range(chance.whole(1, 3))]
        found += [Planned(instant(chance, window), Act.RESUME) for window in looks]
    return tuple(sorted(found, key=lambda planned: (planned.at, planned.act)))


def instant(chance: Chance, window: Window) -> datetime:
    """Give an instant of a window, the minute after a close included."""
    hours = session_hours(window.session_date)
    assert hours is not None, "windows lie in sessions"
    end = window.ends_at if window.ends_at is not None else hours.closes_at + MINUTE
    return window.starts_at + timedelta(
        seconds=chance.whole(0, int((end - window.starts_at).total_seconds()))
    )
