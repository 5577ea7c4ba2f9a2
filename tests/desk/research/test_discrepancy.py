"""A recorded day retold: equal while the record is whole, and each kind of difference under its own name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest
from pydantic import Field

from desk.errors import BrokerUnavailable
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from desk.hours import previous_session, session_hours
from desk.research.discrepancy import Cause, retell
from desk.research.recording import Recording
from desk.research.redecision import Bars, Books, Redecider, taped
from desk.research.retelling import Moment, moments_of
from desk.session import Session
from desk.warm_up import warm_up_sessions
from schemas.account import SessionHours, Split
from schemas.events import AnyEvent, IntentDenied, MinuteClosed, OrderPlanned
from schemas.orders import Denial, Reason
from schemas.risk import RiskLimits
from schemas.settings import ExitSettings, SessionSettings, Settings, StrategySettings
from strategies.base import Strategy
from strategies.sma_crossover import SmaCrossover, SmaParams
from tasks.strategy_source import make_strategy
from tests.desk.test_warm_up import SPLITS, Raw
from tests.memory_ledger import MemoryLedger
from tests.rehearsal import Frames, desk_on, venue

DAY = date(2025, 11, 28)  # an early close: 210 minutes
SYMBOLS = ("AAPL", "MSFT")
NAME = "sma_crossover"
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
Change = Callable[[AnyEvent], AnyEvent]


def hours() -> SessionHours:
    found = session_hours(DAY)
    assert found is not None
    return found


def configured() -> Settings:
    return Settings(
        symbols=SYMBOLS,
        strategies=(StrategySettings(name=NAME, symbols=SYMBOLS, allocation_frac=Decimal("0.5")),),
        session=SessionSettings(slots=2),
        risk=RiskLimits(gross_max_usd=Decimal(30_000)),  # tight: some intents are denied
    )


def idea() -> Strategy:
    return make_strategy(NAME, SYMBOLS, {"fast": 5, "slow": 15, "band_bps": 2.0})


def recorded(settings: Settings, seed: int = 3, make: Callable[[], Strategy] = idea) -> Recording:
    """Trade the day in process, and give what was recorded of it."""
    place, ledger, frames = venue(seed, DAY, SYMBOLS), MemoryLedger(), Frames()
    desk = desk_on(place, ledger, strategy=make(), configured=settings, recorder=frames)
    session = Session(desk, session_date=DAY, run_id="run-1")
    session.run()
    return Recording(
        events=tuple(ledger.read()),
        prints=pl.concat(frames.printed),
        said=pl.concat(frames.said),
        hours=hours(),
        warm_up=(previous_session(DAY),),
        settings=settings,
        strategies=(make(),),
        assets=place.assets(SYMBOLS),
    )


@pytest.fixture(scope="module")
def day() -> Recording:
    found = recorded(configured())
    kinds = {type(event) for _, event in found.events}
    assert {OrderPlanned, IntentDenied} <= kinds, "the day has orders and denials"
    return found


def decided(day: Recording) -> list[Moment]:
    """Give the minutes with intents, the first few minutes left out so that there are bars before them."""
    found = [
        m for m in moments_of(day.events, DAY) if m.decided and m.minute > hours().opens_at + 30 * MINUTE
    ]
    assert len(found) > 3
    return found


def with_prints(day: Recording, prints: pl.DataFrame) -> Recording:
    return replace(day, prints=prints)


def changed(day: Recording, at: Moment, **columns: pl.Expr) -> Recording:
    """Change the print of a decision's own bar."""
    symbol = at.decided[0].intent.symbol
    is_it = (pl.col("symbol") == symbol) & (pl.col("ts") == at.minute)
    exprs = [pl.when(is_it).then(expr).otherwise(pl.col(name)).alias(name) for name, expr in columns.items()]
    return with_prints(day, day.prints.with_columns(exprs))


def with_events(day: Recording, change: Change) -> Recording:
    return replace(day, events=tuple((seq, change(event)) for seq, event in day.events))


def with_intent(day: Recording, at: Moment, **fields: object) -> Recording:
    """Change what was recorded of a minute's first decision."""
    wanted = at.decided[0].order_id

    def change(event: AnyEvent) -> AnyEvent:
        if isinstance(event, OrderPlanned | IntentDenied) and event.intent.client_order_id == wanted:
            return event.model_copy(update={"intent": event.intent.model_copy(update=fields)})
        return event

    return with_events(day, change)


def without_sight(event: AnyEvent) -> AnyEvent:
    return event.model_copy(update={"sight": None}) if isinstance(event, MinuteClosed) else event


def causes(day: Recording) -> dict[str, Cause]:
    return {each.order_id: each.cause for each in retell(day).differences}


def test_a_recorded_day_is_retold_to_the_last_byte(day: Recording) -> None:
    """Every decision, approved or denied, comes out again with every number of its verdict."""
    told = retell(day)

    assert told.differences == ()
    assert told.altered == ()
    assert told.minutes == 210
    assert told.decisions == sum(isinstance(e, OrderPlanned | IntentDenied) and e.intent.attempt == 0
                                 for _, e in day.events)  # fmt: skip


@pytest.mark.parametrize("answers", [True, False], ids=["splits known", "splits not known"])
def test_a_split_in_the_warm_up_is_named(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which splits were known is not recorded; what they did to the warm-up is told, and is no trouble."""

    def make() -> Strategy:
        return make_strategy(NAME, SYMBOLS, {"fast": 30, "slow": 400})

    def away(*_: object) -> tuple[Split, ...]:
        raise BrokerUnavailable("corporate actions: 503 three times")

    place, ledger, frames = (
        Venue(Raw(GeneratedMarket(3, SYMBOLS)), session_date=DAY),
        MemoryLedger(),
        Frames(),
    )
    place.announced = tuple(each for each in SPLITS if each.symbol == "AAPL")
    if not answers:
        monkeypatch.setattr(Venue, "splits", away)
    desk = desk_on(place, ledger, strategy=make(), configured=configured(), recorder=frames)
    Session(desk, session_date=DAY, run_id="run-1").run()
    sessions = warm_up_sessions(400, DAY)
    earlier = pl.concat(Raw(GeneratedMarket(3, SYMBOLS)).frame(each.session_date) for each in sessions[:-1])
    prints = pl.concat(frames.printed)
    if not answers:  # the day before was traded, too, so its prints are in the warehouse
        prints = pl.concat([_printed(earlier, like=prints), prints])

    told = retell(
        Recording(
            events=tuple(ledger.read()),
            prints=prints,
            said=pl.concat(frames.said),
            hours=hours(),
            warm_up=sessions,
            settings=configured(),
            strategies=(make(),),
            assets=place.assets(SYMBOLS),
        )
    )

    assert told.decisions > 0
    assert told.troubles == ()
    assert {each.cause for each in told.differences} == {Cause.NOT_RECORDED}
    assert all(("split" in each.why) for each in told.differences)


class LongParams(SmaParams):
    """More bars than the shipped strategy takes."""

    slow: int = Field(700, ge=2, le=4000)


class Patient(SmaCrossover):
    """A strategy that looks back over more than a session."""

    params_model = LongParams


def test_altered_bars_of_a_long_warm_up_are_not_laid_at_the_want_of_splits() -> None:
    """The signals began as the whole warm-up has them: that it was cut explains nothing here."""

    def make() -> Strategy:
        return Patient(SYMBOLS, {"fast": 5, "band_bps": 0.0})

    sessions = warm_up_sessions(700, DAY)
    found = replace(recorded(configured(), 6, make), warm_up=sessions)
    ended = sessions[0].closes_at
    is_altered = (pl.col("symbol") == "AAPL") & pl.col("ts").is_between(
        ended - 200 * MINUTE, ended, closed="left"
    )
    factor = pl.when(is_altered).then(0.9).otherwise(1.0)
    prices = [pl.col(name) * factor for name in ("open", "high", "low", "close", "vwap")]

    told = retell(with_prints(found, found.prints.with_columns(prices)))

    assert retell(found).differences == ()
    assert {each.cause for each in told.differences} == {Cause.UNEXPLAINED}
    assert told.troubles == told.differences != ()


def _printed(bars: pl.DataFrame, *, like: pl.DataFrame) -> pl.DataFrame:
    """Give bars as prints of the minute they ended in."""
    rest = [name for name in like.columns if name not in (*bars.columns, "known_at")]
    first = like.select(*rest).head(1)
    return bars.with_columns(known_at=pl.col("ts") + 2 * MINUTE).join(first, how="cross").select(like.columns)


@pytest.mark.parametrize("seed", range(4, 8))
def test_a_day_with_protective_exits_is_retold(seed: int) -> None:
    """Stops resting at the broker, positions stopped out and levels kept back do not disturb it."""
    exits = ExitSettings(stop_frac=Decimal("0.003"), target_frac=Decimal("0.004"))
    base = configured()
    each = base.strategies[0].model_copy(update={"exits": exits})

    told = retell(recorded(base.model_copy(update={"strategies": (each,)}), seed))

    assert told.differences == ()
    assert told.decisions > 3


def test_a_day_of_a_strategy_with_state_is_retold() -> None:
    """Its state is made again of the bars known then."""
    each = configured().strategies[0].model_copy(update={"name": "opening_range"})
    settings = configured().model_copy(update={"strategies": (each,)})

    told = retell(recorded(settings, make=lambda: make_strategy("opening_range", SYMBOLS, {})))

    assert told.differences == ()
    assert told.decisions > 3


def test_an_older_ledger_is_retold_without_its_numbers(day: Recording) -> None:
    """Without the recorded numbers, all but what hung on the account's equity of the moment is the same."""
    told = retell(with_events(day, without_sight))

    assert {each.cause for each in told.differences} <= {Cause.NOT_RECORDED}
    assert len(told.differences) < told.decisions / 2


def test_a_minute_whose_process_died_is_retold(day: Recording) -> None:
    """A decision counts although its minute was never closed."""
    last = decided(day)[-1]
    cut = tuple((seq, event) for seq, event in day.events if seq <= last.judged_at + len(last.decided))

    told = retell(replace(day, events=cut))

    assert {each.cause for each in told.differences} <= {Cause.NOT_RECORDED}
    assert moments_of(cut, DAY)[-1].decided == last.decided


def test_an_altered_bar_is_named_with_both_closes(day: Recording) -> None:
    """The decision on it, the close that was seen, and the one that is there now."""
    at = decided(day)[0]
    order = at.decided[0]
    told = retell(changed(day, at, close=pl.col("close") * 1.01, high=pl.col("high") * 1.02))

    first = told.differences[0]
    assert (first.order_id, first.cause) == (order.order_id, Cause.ALTERED)
    seen = day.said.filter((pl.col("symbol") == order.intent.symbol) & (pl.col("ts") == at.minute))["price"][
        0
    ]
    assert f"{order.intent.symbol} {at.minute:%H:%M} UTC: close {seen:g} when" in first.why
    assert f"is {seen * 1.01:.7g} in the warehouse" in first.why
    assert first in told.troubles


def test_numbers_that_rest_on_an_altered_bar_of_another_symbol_say_so(day: Recording) -> None:
    """Gross exposure counts every symbol at its newest close: one altered bar is told in both verdicts."""
    at = next(m for m in decided(day) if len(m.decided) == 2)
    changed_one, other = (each.order_id for each in at.decided)

    told = retell(changed(day, at, close=pl.col("close") * 1.01, high=pl.col("high") * 1.02))

    found = {each.order_id: each for each in told.differences}
    assert found[other].cause is found[changed_one].cause is Cause.ALTERED
    assert found[other].why.endswith(f", and {at.decided[1].intent.symbol} was judged beside it")
    assert found[other].why.startswith(at.decided[0].intent.symbol)


def test_another_intent_is_not_laid_at_an_altered_bar_of_another_symbol(day: Recording) -> None:
    """What a symbol wants rests on its own bars: a wrong quantity beside an altered bar is unexplained."""
    at = next(m for m in decided(day) if len(m.decided) == 2)
    wrong = at.decided[1].intent

    def change(event: AnyEvent) -> AnyEvent:
        if isinstance(event, OrderPlanned | IntentDenied) and event.intent == wrong:
            return event.model_copy(update={"intent": wrong.model_copy(update={"qty": wrong.qty + 1})})
        return event

    altered = changed(day, at, close=pl.col("close") * 1.01, high=pl.col("high") * 1.02)

    assert causes(with_events(altered, change))[wrong.client_order_id] is Cause.UNEXPLAINED


def test_a_missing_bar_is_named(day: Recording) -> None:
    """A bar that a strategy spoke of and the warehouse does not have."""
    at = decided(day)[0]
    symbol = at.decided[0].intent.symbol
    gone = (pl.col("symbol") == symbol) & (pl.col("ts") == at.minute)

    told = retell(with_prints(day, day.prints.filter(~gone)))

    assert told.differences[0].cause is Cause.MISSING
    assert f"{symbol} {at.minute:%H:%M} UTC" in told.differences[0].why


def test_a_revision_after_the_decision_changes_nothing(day: Recording) -> None:
    """What was known later was not known then."""
    at = decided(day)[0]
    symbol = at.decided[0].intent.symbol
    late = day.prints.filter((pl.col("symbol") == symbol) & (pl.col("ts") == at.minute)).with_columns(
        close=pl.col("close") * 1.01,
        high=pl.col("high") * 1.02,
        revision=pl.lit(1, pl.Int32),
        known_at=pl.col("known_at") + 6 * 60 * MINUTE,
    )

    assert causes(with_prints(day, pl.concat([day.prints, late]))) == {}


def test_what_only_the_prints_of_today_explain_is_revised_data(day: Recording) -> None:
    """Known then, the bar was not there; known now, it gives the decision."""
    at = decided(day)[0]

    found = causes(changed(day, at, known_at=pl.col("known_at") + 6 * 60 * MINUTE))

    assert found[at.decided[0].order_id] is Cause.REVISED


def test_a_bar_that_came_with_the_minute_is_late(day: Recording) -> None:
    """Without the late bar that came at the same instant the decision is the recorded one."""
    at = decided(day)[0]
    symbol, earlier = at.decided[0].intent.symbol, at.minute - 3 * MINUTE
    late = day.prints.filter((pl.col("symbol") == symbol) & (pl.col("ts") == earlier)).with_columns(
        close=pl.col("close") * 1.01,
        high=pl.col("high") * 1.02,
        revision=pl.lit(1, pl.Int32),
        known_at=pl.lit(at.at, pl.Datetime("us", "UTC")),
    )

    found = causes(with_prints(day, pl.concat([day.prints, late])))

    assert found[at.decided[0].order_id] is Cause.LATE


def test_a_decision_on_the_bars_of_the_minute_before_is_latency(day: Recording) -> None:
    """A desk that decided before its minute's bars were there."""
    bars = day.accepted()
    decider = Redecider(
        settings=day.settings,
        strategies=day.strategies,
        hours=day.hours,
        assets=day.assets,
        books=Books(day.events),
    )
    for at in decided(day):
        before = at.minute - MINUTE
        shown = Bars(taped(bars.filter(pl.col("ts") <= before)))
        assert at.sight is not None
        other = decider.outcome(at, shown, account=at.sight.account, bar_ts=before).decided
        if len(other) == 1 == len(at.decided):
            break
    else:
        pytest.fail("no minute of the day decides on the bars of the minute before")
    verdict = {"denial" if isinstance(other[0].verdict, Denial) else "approval": other[0].verdict}

    def change(event: AnyEvent) -> AnyEvent:
        if isinstance(event, OrderPlanned | IntentDenied) and event.intent.bar_ts == at.minute:
            kind = IntentDenied if "denial" in verdict else OrderPlanned
            return kind(at=event.at, intent=other[0].intent, **verdict)  # type: ignore[arg-type]
        return event

    found = causes(with_events(day, change))

    assert found[other[0].order_id] is Cause.LATENCY


def test_an_unrecorded_equity_is_said_to_be_so(day: Recording) -> None:
    """In an older ledger, when the equity recorded before gives another size, the one after its own."""
    at = next(m for m in decided(day) if m.decided[0].intent.limit_price is not None)

    def change(event: AnyEvent) -> AnyEvent:
        plain = without_sight(event)
        if isinstance(plain, MinuteClosed) and plain.bar_ts == at.minute - MINUTE:
            return plain.model_copy(update={"broker_equity": Decimal(50_000)})
        return plain

    found = causes(with_events(day, change))

    assert found[at.decided[0].order_id] is Cause.NOT_RECORDED


def test_what_the_broker_said_of_a_symbol_is_not_recorded(day: Recording) -> None:
    """A denial for a split rests on what nobody keeps."""
    at = next(moment for moment in decided(day) if isinstance(moment.decided[0].verdict, Denial))
    wanted = at.decided[0].order_id
    denial = Denial(
        client_order_id=wanted,
        reason=Reason.CORPORATE_ACTION,
        number=Decimal(1),
        limit=Decimal(0),
        message="a split",
        judged_at=at.decided[0].verdict.judged_at,
    )

    def change(event: AnyEvent) -> AnyEvent:
        if (
            isinstance(event, OrderPlanned | IntentDenied)
            and event.intent.client_order_id == denial.client_order_id
        ):
            return IntentDenied(at=event.at, intent=event.intent, denial=denial)
        return event

    assert causes(with_events(day, change))[wanted] is Cause.NOT_RECORDED


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        ({}, Cause.UNEXPLAINED),
        ({"code_differs": "ran by version a, this is b"}, Cause.CODE),
        ({"settings_differ": "ran by settings a, these are b"}, Cause.SETTINGS),
    ],
    ids=["same program", "another version", "other settings"],
)
def test_what_nothing_explains(day: Recording, known: dict[str, str], cause: Cause) -> None:
    """A record that says another quantity than any input gives; another program may be why."""
    at = decided(day)[-1]
    told = retell(replace(with_intent(day, at, reason="moon phase"), **known))

    assert [(each.order_id, each.cause) for each in told.differences] == [(at.decided[0].order_id, cause)]
    assert "moon phase" in told.differences[0].retold
    assert len(told.troubles) == (cause is Cause.UNEXPLAINED)


def test_an_intent_that_was_never_recorded_is_named(day: Recording) -> None:
    """A decision missing in the record is a difference of its minute."""
    at = next(m for m in decided(day) if isinstance(m.decided[0].verdict, Denial) and len(m.decided) == 1)
    lost = tuple(
        (seq, event)
        for seq, event in day.events
        if not (isinstance(event, IntentDenied) and event.intent.bar_ts == at.minute)
    )

    told = retell(replace(day, events=lost))

    found = [(each.order_id, each.recorded) for each in told.differences]
    assert found == [(at.decided[0].order_id, "nothing")]
