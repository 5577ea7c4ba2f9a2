"""A session that hears its bars: decided as soon as they are there, whole whatever the stream loses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from desk.desk import Desk
from desk.errors import BrokerUnavailable
from desk.exchange.generated import GeneratedMarket
from desk.exchange.market import FrameMarket
from desk.exchange.venue import Venue
from schemas.bars import RAW_SCHEMA
from schemas.events import MinuteClosed
from schemas.market_stream import BarKind, StreamBar, StreamMessage, StreamTrade
from schemas.orders import OrderIntent
from tests import rehearsal as r
from tests.desk.short_day import CLOSE, LATE, SHORT_DAY, kinds, short_venue
from tests.memory_ledger import MemoryLedger

MINUTE = timedelta(minutes=1)
Editor = Callable[[datetime, Sequence[StreamMessage]], Sequence[StreamMessage]]


@dataclass
class Asked:
    """The history between desk and venue: counts what is asked, and may be away."""

    place: Venue
    calls: list[tuple[tuple[str, ...], datetime, datetime]] = field(default_factory=list)
    is_away: bool = False

    @property
    def provider(self) -> str:
        return self.place.provider

    @property
    def feed(self) -> str:
        return self.place.feed

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        self.calls.append((tuple(symbols), start, end))
        if self.is_away:
            raise BrokerUnavailable("503 no history today")
        return self.place.bars(symbols, start, end)


@dataclass
class Heard:
    """A short day heard over the stream, and what came of it."""

    place: Venue
    desk: Desk
    history: Asked
    ledger: MemoryLedger
    strategy: r.Churner
    recorder: r.Frames

    @property
    def minutes(self) -> list[MinuteClosed]:
        """Give the minutes that began after the stream was connected."""
        return [minute for minute in kinds(self.ledger, MinuteClosed) if minute.bar_ts >= LATE]

    @property
    def prints(self) -> pl.DataFrame:
        return pl.concat(self.recorder.printed)


class Witness(r.Churner):
    """A churner that checks, each time it is shown bars, that every one of them has ended by then (I10)."""

    clock: Callable[[], datetime]

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        now = self.clock()
        assert bars.filter(pl.col("ts") + MINUTE > now).is_empty()
        return super().signals(bars)


def heard_day(
    *,
    editor: Editor | None = None,
    place: Venue | None = None,
    is_away: bool = False,
    data: dict[str, Any] | None = None,
    prepare: Callable[[Venue, Desk], None] | None = None,
    run: bool = True,
) -> Heard:
    """Run the last 45 minutes of the short day over the stream, with an editor between venue and desk."""
    place = short_venue() if place is None else place
    if editor is not None:
        place.broadcast.editors.append(editor)
    ledger, recorder, strategy = r.new_ledger(), r.Frames(), Witness()
    strategy.clock = place.now
    settings = r.settings()
    settings = settings.model_copy(update={"data": settings.data.model_copy(update=data or {})})
    plain = r.desk_on(place, ledger, strategy=strategy, configured=settings, recorder=recorder)
    history = Asked(place, is_away=is_away)
    desk = Desk(
        settings=settings,
        clock=place,
        broker=place,
        market=history,
        updates=plain.updates,
        journal=plain.journal,
        recorder=recorder,
        strategies=plain.strategies,
        stream=place.market_stream(),
    )
    if prepare is not None:
        prepare(place, desk)
    if run:
        r.session_of(desk, SHORT_DAY).run()
    return Heard(place, desk, history, ledger, strategy, recorder)


def decided_after(day: Heard) -> list[float]:
    """Give each minute's seconds from its end to its record."""
    return [(minute.at - minute.bar_ts - MINUTE).total_seconds() for minute in day.minutes]


def dropping(should: Callable[[StreamBar], bool]) -> Editor:
    """Give an editor that loses some bars."""

    def edit(at: datetime, messages: Sequence[StreamMessage]) -> Sequence[StreamMessage]:
        return [one for one in messages if not (isinstance(one, StreamBar) and should(one))]

    return edit


def test_a_minute_is_decided_when_its_bars_are_there() -> None:
    """Every minute is decided one second after its end, when the bars go out, and the day is traded."""
    day = heard_day()

    assert len(day.minutes) == 45
    assert set(decided_after(day)) == {1.0}
    assert len(day.place.floor.books.executions) > 0
    assert r.audited(day.place, day.desk) == []


def test_history_is_asked_at_the_start_and_as_an_audit_only() -> None:
    """A stream that loses nothing leaves the history one request in five minutes, and the warm-up's none."""
    day = heard_day()

    assert len(day.history.calls) == 10  # for 47 minutes, two of them over when it began
    assert {symbols for symbols, _, _ in day.history.calls} == {r.SYMBOLS}


def test_an_audit_waits_for_the_minute_s_orders() -> None:
    """While the stream lacks nothing, the history is asked only after the strategies judged the minute."""
    asked: list[tuple[datetime, datetime]] = []  # up to which minute, and the newest minute judged by then

    def note(place: Venue, desk: Desk) -> None:
        judged = [LATE]
        (strategy,), bars, signals = desk.strategies, desk.market.bars, desk.strategies[0].signals

        def noted(symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
            asked.append((end - MINUTE, judged[-1]))
            return bars(symbols, start, end)

        def judging(shown: pl.DataFrame) -> pl.DataFrame:
            judged.append(shown["ts"].max())
            return signals(shown)

        desk.market.bars, strategy.signals = noted, judging  # type: ignore[method-assign]

    day = heard_day(prepare=note)

    assert set(decided_after(day)) == {1.0}
    audits = asked[2:]  # after the warm-up's and the session's so far
    assert len(audits) > 5
    assert all(upto == judged for upto, judged in audits)


def test_heard_and_polled_days_know_the_same_bars() -> None:
    """The prints kept of a heard day are those of a polled one."""
    heard = heard_day()
    recorder = r.Frames()
    polled = r.desk_on(short_venue(), r.new_ledger(), recorder=recorder)
    r.session_of(polled, SHORT_DAY).run()

    values = [*RAW_SCHEMA, "revision"]
    assert (
        heard.prints.select(values)
        .sort("symbol", "ts")
        .equals(pl.concat(recorder.printed).select(values).sort("symbol", "ts"))
    )


@pytest.mark.parametrize("every", [1, 3])
def test_what_the_stream_loses_the_history_gives(every: int) -> None:
    """Lost bars are asked for at the deadline, and no minute and no symbol is missing at the end."""
    day = heard_day(editor=dropping(lambda bar: bar.symbol == "MSFT" and bar.ts.minute % every == 0))

    published = day.place.floor.bars(LATE.replace(hour=14, minute=30), CLOSE)
    assert set(day.prints.select("symbol", "ts").rows()) == set(published.select("symbol", "ts").rows())
    assert any(symbols == ("MSFT",) for symbols, _, _ in day.history.calls)
    assert all(after in (1.0, 2.0) for after in decided_after(day))
    assert 2.0 in decided_after(day)


def test_a_mute_stream_is_renewed_and_does_not_stop_the_day() -> None:
    """Nothing over the stream: every minute comes by the history, and the stream is made anew, rarely."""
    day = heard_day(editor=dropping(lambda bar: True))

    assert len(day.minutes) == 45
    assert day.prints["ts"].max() == CLOSE - MINUTE
    stream = day.desk.stream
    assert stream is not None
    assert 4 <= stream.connections() <= 8  # the first, then at the 1st, 2nd, 4th, ... mute minute


def test_a_stream_alone_carries_the_day() -> None:
    """With the history away, the heard bars are traded on."""
    day = heard_day(is_away=True, prepare=lambda place, desk: None)

    assert len(day.minutes) == 45
    assert len(day.place.floor.books.executions) > 0
    assert r.audited(day.place, day.desk) == []


def test_a_late_bar_is_shown_from_then_on_and_decides_nothing() -> None:
    """A bar that comes after its minute was decided is in the next minute's frame, known at that time."""
    late_ts = LATE + 10 * MINUTE
    held: list[StreamMessage] = []

    def hold(at: datetime, messages: Sequence[StreamMessage]) -> Sequence[StreamMessage]:
        keep = [one for one in messages if not (isinstance(one, StreamBar) and is_held(one))]
        held.extend(one for one in messages if one not in keep)
        if held and at > late_ts + 2 * MINUTE:
            keep = [*held, *keep]
            held.clear()
        return keep

    def is_held(bar: StreamBar) -> bool:
        return bar.symbol == "XOM" and bar.ts == late_ts

    def hide(place: Venue, desk: Desk) -> None:
        bars = place.bars  # the history does not have it either until it was heard

        def without(symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
            found = bars(symbols, start, end)
            is_late = (pl.col("symbol") == "XOM") & (pl.col("ts") == late_ts)
            return found.filter(~is_late) if place.now() < late_ts + 2 * MINUTE else found

        place.bars = without  # type: ignore[method-assign]

    day = heard_day(editor=hold, prepare=hide)

    known = day.prints.filter((pl.col("symbol") == "XOM") & (pl.col("ts") == late_ts))
    assert known["known_at"].to_list() == [late_ts + 2 * MINUTE + timedelta(seconds=1)]
    signals = pl.concat(day.recorder.said)
    assert signals.filter((pl.col("symbol") == "XOM") & (pl.col("ts") == late_ts)).is_empty()
    assert not signals.filter((pl.col("symbol") == "AAPL") & (pl.col("ts") == late_ts)).is_empty()


def revised_place() -> Venue:
    """Open the short day on a market one minute of which is revised half a minute later."""
    market = GeneratedMarket(1, r.SYMBOLS)

    class Revising:
        symbols, provider = market.symbols, market.provider

        def frame(self, day: Any) -> pl.DataFrame:
            return market.frame(day)

        def prior_close(self, symbol: str, day: Any) -> float | None:
            return market.prior_close(symbol, day)

        def first_prints(self, day: Any) -> pl.DataFrame:
            first = market.frame(day).filter(
                (pl.col("symbol") == "AAPL") & (pl.col("ts") == LATE + 5 * MINUTE)
            )
            return first.with_columns(volume=pl.col("volume") - 1)

    return Venue(Revising(), session_date=SHORT_DAY, starts_at=LATE)  # type: ignore[arg-type]


def test_a_revised_bar_is_a_new_print_known_later() -> None:
    """The revision is kept beside the first print with its own time, and strategies see it from then on."""
    day = heard_day(place=revised_place())

    ts = LATE + 5 * MINUTE
    prints = day.prints.filter((pl.col("symbol") == "AAPL") & (pl.col("ts") == ts)).sort("revision")
    assert prints["revision"].to_list() == [0, 1]
    assert prints["known_at"].to_list() == [ts + MINUTE + timedelta(seconds=1 + 60 * n) for n in (0, 1)]
    first, revised = prints["volume"].to_list()
    shown = [
        (frame["ts"].max(), frame.filter((pl.col("symbol") == "AAPL") & (pl.col("ts") == ts))["volume"])
        for frame in day.strategy.seen
    ]
    volumes = {newest: volume.to_list() for newest, volume in shown}
    assert volumes[ts] == [first]
    assert volumes[ts + MINUTE] == [revised]


def test_a_first_print_repeated_after_its_revision_changes_nothing() -> None:
    """A first print that comes again, late, with its old values, does not undo the revision."""
    ts = LATE + 5 * MINUTE
    kept: list[StreamMessage] = []

    def again(at: datetime, messages: Sequence[StreamMessage]) -> Sequence[StreamMessage]:
        bars = [one for one in messages if isinstance(one, StreamBar)]
        kept.extend(one for one in bars if (one.symbol, one.ts, one.kind) == ("AAPL", ts, BarKind.MINUTE))
        return [*messages, *kept] if kept and at > ts + 3 * MINUTE else messages

    day = heard_day(place=revised_place(), editor=again)

    prints = day.prints.filter((pl.col("symbol") == "AAPL") & (pl.col("ts") == ts))
    assert sorted(prints["revision"].to_list()) == [0, 1]


def test_a_symbol_that_seldom_prints_is_not_waited_for_for_long() -> None:
    """After ten minutes a symbol that prints in one minute of three costs no decision its wait."""
    day_frame = GeneratedMarket(1, r.SYMBOLS).frame(SHORT_DAY)
    sparse = day_frame.filter((pl.col("symbol") != "XOM") | (pl.col("ts").dt.minute() % 3 == 0))
    place = Venue(FrameMarket({SHORT_DAY: sparse}), session_date=SHORT_DAY, starts_at=LATE)

    day = heard_day(place=place)

    after = decided_after(day)
    assert 2.0 in after[:10]
    assert set(after[12:]) == {1.0}
    assert set(day.prints.filter(pl.col("symbol") == "XOM")["ts"]) == set(
        sparse.filter(pl.col("symbol") == "XOM")["ts"]
    )


def test_a_halted_symbol_is_known_as_such_until_it_trades_again() -> None:
    """A status says who is halted; the view the gate judges by has it, and loses it at the resumption."""
    seen: dict[datetime, frozenset[str]] = {}

    def halting(place: Venue, desk: Desk) -> None:
        session = r.session_of(desk, SHORT_DAY)
        plain = session.steps()

        def trade(minute: datetime, signals: pl.DataFrame) -> Any:
            if minute == LATE + 5 * MINUTE:
                place.floor.halt("AAPL", code="T1")
            if minute == LATE + 9 * MINUTE:
                place.floor.unhalt("AAPL")
            seen[minute] = session.cycle.market(account=None).halted
            return plain.trade(minute, signals)

        session.run(type(plain)(ingest=plain.ingest, evaluate=plain.evaluate, trade=trade))

    heard_day(prepare=halting, run=False)

    halted = [minute for minute, symbols in seen.items() if symbols == {"AAPL"}]
    assert halted == [LATE + n * MINUTE for n in (6, 7, 8, 9)]


def test_quotes_price_entries_only_when_configured() -> None:
    """With quotes heard, an entry's limit follows from the middle of bid and ask; without, from the close."""

    def limits(**data: Any) -> list[Decimal | None]:
        sent: list[OrderIntent] = []
        place = short_venue()
        submit = place.submit

        def noting(intent: OrderIntent) -> Any:
            sent.append(intent)
            return submit(intent)

        place.submit = noting  # type: ignore[method-assign]
        heard_day(place=place, data=data)
        return [intent.limit_price for intent in sent if intent.limit_price is not None]

    closes, middles = limits(), limits(quotes=True)

    assert closes
    assert middles
    assert closes != middles


def test_bars_are_built_from_trades_while_nobody_prints_them() -> None:
    """With trades heard, a minute neither stream nor history has is built of them, and says so."""
    missing = LATE + 10 * MINUTE

    def hide(place: Venue, desk: Desk) -> None:
        bars = place.bars

        def without(symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
            return bars(symbols, start, end).filter(pl.col("ts") != missing)

        place.bars = without  # type: ignore[method-assign]

    day = heard_day(editor=dropping(lambda bar: bar.ts == missing), prepare=hide, data={"trades": True})

    built = day.prints.filter(pl.col("ts") == missing).sort("symbol")
    published = day.place.floor.bars(missing, missing + MINUTE).sort("symbol")
    prices = ["symbol", "ts", "open", "high", "low", "close"]
    assert built["provider"].unique().to_list() == [f"{day.place.provider}:trades"]
    assert built.select(prices).equals(published.select(prices))


def test_trades_are_not_asked_for_unless_configured() -> None:
    """Nobody pays for trades who does not use them."""
    seen: list[StreamMessage] = []

    def note(at: datetime, messages: Sequence[StreamMessage]) -> Sequence[StreamMessage]:
        seen.extend(messages)
        return messages

    heard_day(editor=note)

    assert not any(isinstance(message, StreamTrade) for message in seen)
