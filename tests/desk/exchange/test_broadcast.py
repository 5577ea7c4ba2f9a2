"""What goes out as the venue's time moves: which messages, when, in what order, and to whom."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pytest

from desk.exchange.broadcast import Broadcast, VenueStream
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.market import FrameMarket
from desk.exchange.matching import Rules
from desk.exchange.revisions import LateTrades
from schemas.bars import RAW_SCHEMA
from schemas.market_stream import (
    BarKind,
    Channel,
    StreamBar,
    StreamLuld,
    StreamMessage,
    StreamQuote,
    StreamStatus,
    StreamTrade,
)
from tests.desk.exchange.makers import CLOSE, DAY, NEXT_DAY, OPEN, at, flat, floor_of, minutes_frame


def listening(floor: Floor, **channels: Sequence[str]) -> VenueStream:
    """Give a started in-process stream that wants symbols by channel name."""
    stream = VenueStream(Broadcast(floor))
    for name, symbols in channels.items():
        stream.subscribe(Channel(name), symbols)
    stream.start()
    return stream


class Noting:
    """A reader that notes the floor's time of each hearing."""

    def __init__(self, stream: VenueStream) -> None:
        self.subscription = stream.subscription
        self.batches: list[Sequence[StreamMessage]] = []

    def hear(self, messages: Sequence[StreamMessage]) -> None:
        self.batches.append(messages)


def due(message: StreamMessage) -> datetime:
    """Give the instant a message goes out at, by the rules of ALPACA.md section 4.1."""
    if not isinstance(message, StreamBar):
        return message.ts
    return message.ts + timedelta(seconds=90 if message.kind is BarKind.UPDATED else 61)


def test_a_bar_goes_out_one_second_after_its_minute() -> None:
    """Not at the mark, but at 61 s, and once."""
    floor = floor_of()
    stream = listening(floor, bars=["SPY"])

    floor.advance(at(60))
    early = stream.drain()
    floor.advance(at(61))
    heard = stream.drain()
    floor.advance(at(119))

    assert early == ()
    assert heard == (StreamBar(BarKind.MINUTE, "SPY", OPEN, 100.0, 100.0, 100.0, 100.0, 40_000, 100.0, 4),)
    assert stream.drain() == ()


def test_one_long_step_tells_the_same_as_many_short_ones() -> None:
    """A day advanced at once and a day advanced by seconds give the same messages in the same order."""
    wanted = {"bars": ["*"], "updatedBars": ["*"], "dailyBars": ["SPY"], "quotes": ["SPY"], "trades": ["*"]}
    market = LateTrades(GeneratedMarket(3, ("SPY", "QQQ")), seed=5, share_frac=0.2)
    until = Floor(market, session_date=DAY).hours.opens_at + timedelta(minutes=23, seconds=7)

    heard = []
    for step in (timedelta(hours=1), timedelta(seconds=1)):
        floor = Floor(market, session_date=DAY)
        stream = listening(floor, **wanted)
        now = floor.now
        while now < until:
            now = min(now + step, until)
            floor.advance(now)
        heard.append(stream.drain())

    assert len(heard[0]) > 300
    assert heard[0] == heard[1]


def test_messages_come_in_the_order_of_the_venues_time() -> None:
    """Whatever the channels, what is due first is heard first; at one instant a quote precedes its trade."""
    floor = floor_of()
    stream = listening(floor, bars=["*"], quotes=["*"], trades=["*"], lulds=["*"])

    floor.advance(at(600))
    heard = stream.drain()

    assert [due(m) for m in heard] == sorted(due(m) for m in heard)
    assert {type(m) for m in heard} == {StreamBar, StreamQuote, StreamTrade, StreamLuld}
    first = [type(m) for m in heard if m.ts == OPEN and not isinstance(m, StreamBar)]
    assert first == [StreamQuote] * 2 + [StreamTrade] * 2 + [StreamLuld] * 2


def test_a_minute_of_all_symbols_is_one_batch() -> None:
    """The bars of a minute are told together."""
    floor = floor_of()
    stream = listening(floor, bars=["*"])
    noting = Noting(stream)
    stream._broadcast.readers.append(noting)

    floor.advance(at(181))

    assert [[m.symbol for m in batch] for batch in noting.batches] == [["SPY", "QQQ"]] * 3


def test_only_what_is_wanted_is_heard() -> None:
    """By channel and symbol; unsubscribing ends it, stopping ends all."""
    floor = floor_of()
    stream = listening(floor, bars=["SPY", "QQQ"], trades=["QQQ"])

    floor.advance(at(61))
    both = stream.drain()
    stream.unsubscribe(Channel.BARS, ["SPY"])
    stream.unsubscribe(Channel.TRADES, ["QQQ", "NEVER"])
    floor.advance(at(121))
    one = stream.drain()
    stream.stop()
    floor.advance(at(300))

    assert {(type(m), m.symbol) for m in both} == {
        (StreamBar, "SPY"), (StreamBar, "QQQ"), (StreamTrade, "QQQ"),
    }  # fmt: skip
    assert [(type(m), m.symbol, m.ts) for m in one] == [(StreamBar, "QQQ", at(60))]
    assert stream.drain() == ()


def test_what_was_told_before_the_start_is_not_told_again() -> None:
    """A stream that starts in the middle of the day hears the rest of it."""
    floor = floor_of()
    broadcast = Broadcast(floor)
    floor.advance(at(300))
    stream = VenueStream(broadcast)
    stream.subscribe(Channel.BARS, ["SPY"])
    stream.start()
    stream.start()

    floor.advance(at(361))

    assert [m.ts for m in stream.drain()] == [at(240), at(300)]
    assert stream.connections() == 1


def test_the_trades_of_a_minute_make_its_bar() -> None:
    """First, highest, lowest and last of a minute's trades are its prices, their shares its volume."""
    floor = floor_of([(100.0, 102.0, 99.0, 101.0, 1003), (101.0, 101.5, 98.0, 99.5, 7)])
    stream = listening(floor, bars=["SPY"], trades=["SPY"])

    floor.advance(at(121))
    heard = stream.drain()
    bars = [m for m in heard if isinstance(m, StreamBar)]
    trades = [m for m in heard if isinstance(m, StreamTrade)]

    assert len(bars) == 2
    for bar in bars:
        mine = [t for t in trades if bar.ts <= t.ts < bar.ts + timedelta(minutes=1)]
        prices = [t.price for t in mine]
        assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)
        assert sum(t.size for t in mine) == bar.volume
    assert len({t.trade_id for t in trades}) == len(trades)


def test_a_quote_is_what_an_order_meets() -> None:
    """Bid, ask and size are the prices a market order fills at and the shares it may take."""
    floor = floor_of(rules=Rules(spread_bps=Decimal(10)))
    stream = listening(floor, quotes=["SPY"])

    floor.advance(OPEN)
    (heard,) = stream.drain()

    assert isinstance(heard, StreamQuote)
    bid, ask = floor.tape.quote("SPY", floor.now) or (None, None)
    assert (heard.bid_price, heard.ask_price) == (float(bid or 0), float(ask or 0)) == (99.95, 100.05)
    assert heard.bid_size == heard.ask_size == 1000


def test_the_day_so_far_goes_out_every_minute() -> None:
    """Its high, low and volume grow, its time is New York's midnight, and it ends with the session."""
    minutes = [(100.0, 101.0, 99.0, 100.5, 400), None, (100.5, 103.0, 100.0, 102.0, 200)]
    floor = floor_of(minutes)
    stream = listening(floor, dailyBars=["SPY"])

    floor.advance(CLOSE + timedelta(hours=1))
    first, second = stream.drain()

    assert isinstance(first, StreamBar)
    assert isinstance(second, StreamBar)
    midnight = datetime.fromisoformat("2024-08-27T00:00:00-04:00")
    assert (first.kind, first.ts, first.volume, first.close) == (BarKind.DAILY, midnight, 400, 100.5)
    assert (second.open, second.high, second.low, second.close) == (100.0, 103.0, 99.0, 102.0)
    assert second.volume == 600


def test_a_revised_minute_is_told_twice() -> None:
    """First as it was known, 30 s after the mark as it is; REST shows the new one from then on."""
    market = Revising(
        minutes_frame([(100.0, 103.0, 99.0, 102.0, 1000)] * 3), first=(100.0, 101.0, 99.0, 101.0, 900)
    )
    floor = Floor(market, session_date=DAY)
    stream = listening(floor, bars=["SPY"], updatedBars=["SPY"])

    def shown() -> list[float]:
        return floor.bars(OPEN, CLOSE)["close"].to_list()

    floor.advance(at(61))
    (early,) = stream.drain()
    before = shown()
    floor.advance(at(90) - timedelta(microseconds=1))
    still = shown()
    floor.advance(at(90))
    (late,) = stream.drain()

    assert isinstance(early, StreamBar)
    assert isinstance(late, StreamBar)
    assert (early.kind, early.close, early.volume) == (BarKind.MINUTE, 101.0, 900)
    assert (late.kind, late.close, late.volume, late.ts) == (BarKind.UPDATED, 102.0, 1000, early.ts)
    assert (before, still, shown()) == ([101.0], [101.0], [102.0])


def test_a_minute_that_was_silent_at_first_is_told_once() -> None:
    """Its only trades were late: no bar at 61 s, an updated bar at 90 s."""
    market = Revising(minutes_frame([(100.0, 100.0, 100.0, 100.0, 10)]), first=None)
    floor = Floor(market, session_date=DAY)
    stream = listening(floor, bars=["SPY"], updatedBars=["SPY"])

    floor.advance(at(61))
    silent = (stream.drain(), floor.bars(OPEN, CLOSE).height)
    floor.advance(at(90))

    assert silent == ((), 0)
    assert [m.kind for m in stream.drain() if isinstance(m, StreamBar)] == [BarKind.UPDATED]
    assert floor.bars(OPEN, CLOSE).height == 1


class Revising(FrameMarket):
    """A market whose first minute was first published otherwise, or not at all."""

    def __init__(self, frame: pl.DataFrame, *, first: tuple[float, float, float, float, int] | None) -> None:
        super().__init__({DAY: frame})
        shown = first if first is not None else (None, None, None, None, None)
        row = ("SPY", OPEN, *shown, None, None)
        self._first = pl.DataFrame([row], schema=RAW_SCHEMA, orient="row")

    def first_prints(self, session_date: object) -> pl.DataFrame:
        return self._first


def test_late_trades_change_about_the_share_asked_for() -> None:
    """The first print never has more volume, and its prices stay inside the final ones."""
    market = LateTrades(GeneratedMarket(1, ("SPY", "QQQ", "AAPL")), seed=2, share_frac=0.1)

    first = market.first_prints(DAY)
    final = market.frame(DAY)
    both = first.join(final, on=["symbol", "ts"], suffix="_final")

    assert both.height == first.height
    assert 0.06 < first.height / final.height < 0.14
    told = both.filter(pl.col("volume").is_not_null())
    assert 0 < told.height < both.height
    assert (told["volume"] < told["volume_final"]).all()
    assert told.select((pl.col("close") <= pl.col("high")) & (pl.col("close") >= pl.col("low")))[
        "close"
    ].all()
    assert first.equals(LateTrades(market._market, seed=2, share_frac=0.1).first_prints(DAY))


def test_bands_move_when_the_price_has_moved_a_hundredth() -> None:
    """5 % around the opening print, then around the five-minute mean once that is 1 % away."""
    floor = floor_of([flat(100.0)] * 10 + [flat(102.0)] * 10)
    stream = listening(floor, lulds=["SPY"])

    floor.advance(at(1200))
    heard = [m for m in stream.drain() if isinstance(m, StreamLuld)]

    assert [(m.limit_down, m.limit_up) for m in heard[:1]] == [(95.0, 105.0)]
    assert heard[0].ts == OPEN
    assert all(b.limit_up > a.limit_up for a, b in pairwise(heard))
    assert 2 <= len(heard) <= 4
    assert at(600) < heard[1].ts <= at(900)


def test_an_editor_may_drop_double_and_change() -> None:
    """What an editor gives is what is told, everywhere."""
    floor = floor_of()
    stream = listening(floor, bars=["*"])

    def edit(when: datetime, messages: Sequence[StreamMessage]) -> Sequence[StreamMessage]:
        spy = [m for m in messages if m.symbol == "SPY"]
        return [] if when < at(121) else [*spy, *spy]

    stream._broadcast.editors.append(edit)
    floor.advance(at(121))

    assert [(m.symbol, m.ts) for m in stream.drain()] == [("SPY", at(60))] * 2


def test_a_halt_is_told_and_silences_the_symbol() -> None:
    """A status, then nothing of the symbol, in the bars of REST neither, until it resumes."""
    floor = floor_of()
    stream = listening(floor, statuses=["SPY"], bars=["*"], trades=["SPY"])
    floor.advance(at(90))
    stream.drain()

    floor.halt("SPY", "T1")
    floor.halt("QQQ", "T1")
    floor.unhalt("QQQ")
    floor.advance(at(300))
    halted = stream.drain()
    floor.unhalt("SPY")
    floor.advance(at(420))
    resumed = stream.drain()

    assert halted[0] == StreamStatus("SPY", at(90), "H", "Trading Halt", "T1", "Halt News Pending", "C")
    assert [m.ts for m in halted if m.symbol == "SPY" and isinstance(m, StreamBar)] == [at(60)]
    assert not any(isinstance(m, StreamTrade) for m in halted)
    assert {m.ts for m in halted if m.symbol == "QQQ"} >= {at(120), at(180)}
    assert isinstance(resumed[0], StreamStatus)
    assert (resumed[0].status_code, resumed[0].ts) == ("T", at(300))
    assert next(m.ts for m in resumed if isinstance(m, StreamTrade)) == at(315)
    shown = floor.bars(OPEN, CLOSE).filter(pl.col("symbol") == "SPY")["ts"].to_list()
    assert shown == [OPEN, at(60), at(300)]


def test_a_halt_over_night_keeps_the_next_day_silent() -> None:
    """Until it ends, no bar of the next session either."""
    floor = floor_of()
    stream = listening(floor, bars=["SPY"])
    floor.halt("SPY", "H10")

    floor.advance(OPEN + timedelta(days=1, seconds=121))
    silent = stream.drain()
    floor.unhalt("SPY")
    floor.advance(OPEN + timedelta(days=1, seconds=241))

    assert silent == ()
    assert [m.ts - OPEN for m in stream.drain()] == [timedelta(days=1, minutes=3)]


def test_the_next_session_is_told_as_well() -> None:
    """The bars around the edge at 04:00 are complete: none lost, none twice."""
    floor = floor_of()
    stream = listening(floor, bars=["SPY"])

    floor.advance(OPEN + timedelta(days=1, seconds=121))
    stamps = [m.ts for m in stream.drain()]

    assert len(stamps) == 392
    assert stamps == sorted(set(stamps))
    assert stamps[-1].date() == NEXT_DAY


def test_a_venue_nobody_listens_to_puts_nothing_together() -> None:
    """No lane is arranged for a symbol nobody wants."""
    floor = floor_of()
    stream = listening(floor, trades=["QQQ"])

    floor.advance(CLOSE)

    assert set(floor.tape._lanes) == {"QQQ"}
    assert len(stream.drain()) == 390 * 4


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_fraction(share: float) -> None:
    """More than all minutes cannot be revised."""
    with pytest.raises(ValueError, match="share_frac"):
        LateTrades(GeneratedMarket(1), seed=1, share_frac=share)


@pytest.mark.parametrize("step", [1, 600])
def test_a_late_bar_goes_out_in_its_turn(step: int) -> None:
    """Published 100 s late it is heard after the bars that were on time, and REST has it from then on."""
    floor = floor_of()
    stream = listening(floor, bars=["SPY"], dailyBars=["SPY"])
    late = (pl.col("ts") == OPEN) & (pl.col("symbol") == "SPY")
    on_time = floor.tape.publications()
    floor.tape.publish(
        on_time.with_columns(
            public_at=pl.when(late)
            .then(pl.col("public_at") + timedelta(seconds=100))
            .otherwise(pl.col("public_at"))
        )
    )

    shown: dict[int, int] = {}
    while floor.now < at(300):
        floor.advance(min(floor.now + timedelta(seconds=step), at(300)))
        passed = int((floor.now - OPEN).total_seconds())
        shown[passed] = floor.bars(OPEN, OPEN + timedelta(minutes=1)).filter(pl.col("symbol") == "SPY").height

    heard = [m for m in stream.drain() if isinstance(m, StreamBar)]
    assert [m.ts for m in heard if m.kind is BarKind.MINUTE] == [at(60), OPEN, at(120), at(180)]
    assert [m.volume for m in heard if m.kind is BarKind.DAILY] == [40_000, 80_000, 120_000, 160_000]
    if step == 1:
        assert (shown[160], shown[161]) == (0, 1)
