"""Strategies that each break one rule, as users do: a forgotten `over`, a `last()`, a leftover attribute."""

from datetime import date, time
from typing import ClassVar

import polars as pl

from schemas.signals import SIGNAL_SCHEMA
from strategies.base import Level, SeenBar, StatefulStrategy, Strategy
from strategies.indicators import NEW_YORK, above

CLOSE = pl.col("close")


class Answering(Strategy):
    """Says 1 where `rises` is true, else 0, of every bar from the `needed`-th of a symbol on."""

    needed: ClassVar[int] = 2

    def bars_needed(self) -> int:
        return self.needed

    def rises(self) -> pl.Expr:
        return above(CLOSE, pl.col("open"))

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        target = self.rises().fill_null(value=False).cast(pl.Float64)
        number = pl.int_range(1, pl.len() + 1).over("session" if self.session_anchored else "symbol")
        said = bars.select(
            "symbol",
            "ts",
            target.alias("target"),
            CLOSE.alias("price"),
            number.alias("n"),
            reason=pl.lit("rose"),
        )
        return said.filter(pl.col("n") >= self.needed).drop("n")


class Honest(Answering):
    """Rose since the bar before."""

    name = "honest"

    def rises(self) -> pl.Expr:
        return above(CLOSE, CLOSE.shift(1).over("symbol"))


class OneBarAhead(Answering):
    """Knows the next close."""

    name = "one_bar_ahead"

    def rises(self) -> pl.Expr:
        return above(CLOSE.shift(-1).over("symbol"), CLOSE)


class WholeDay(Answering):
    """Compares with the mean of the whole session, the commonest way to look ahead."""

    name = "whole_day"
    session_anchored = True

    def rises(self) -> pl.Expr:
        return above(CLOSE.mean().over("session"), CLOSE)


class Unfinished(Answering):
    """Judges every bar by the newest price there is, as a loop over a live chart does."""

    name = "unfinished"

    def rises(self) -> pl.Expr:
        return above(CLOSE.last().over("symbol"), CLOSE)


class BeforeSymbol(Answering):
    """Compares with the row before, which may be another symbol's last: `over` was forgotten."""

    name = "before_symbol"
    needed = 1

    def rises(self) -> pl.Expr:
        return above(CLOSE, CLOSE.shift(1))


class FirstSymbol(Answering):
    """Buys the first symbol of the frame."""

    name = "first_symbol"

    def rises(self) -> pl.Expr:
        return (pl.col("symbol").rle_id() == 0) & (pl.col("ts").dt.minute() % 2 == 0)


class Strongest(Answering):
    """Buys what moved most of all symbols in the minute."""

    name = "strongest"

    def rises(self) -> pl.Expr:
        move = CLOSE / pl.col("open")
        return move >= move.max().over("ts")


class LastOfOthers(Answering):
    """Compares with the dearest price any symbol will ever have."""

    name = "last_of_others"

    def rises(self) -> pl.Expr:
        others = pl.col("high").max() / pl.col("high").max().over("symbol")
        return CLOSE * others > pl.col("open") * others + (others - others.floor()) / 10


class TooShort(Answering):
    """Says it needs three bars and uses an average that remembers sixty."""

    name = "too_short"
    needed = 3

    def rises(self) -> pl.Expr:
        return above(CLOSE, CLOSE.ewm_mean(span=60, adjust=False).over("symbol"))


class NotAnchored(Answering):
    """Says that it starts anew each session and compares with yesterday's prices."""

    name = "not_anchored"
    session_anchored = True

    def rises(self) -> pl.Expr:
        return above(CLOSE, CLOSE.rolling_mean(50, min_samples=1).over("symbol"))


class Eager(Answering):
    """Says that it needs ten bars and speaks from the second."""

    name = "eager"

    def bars_needed(self) -> int:
        return 10


class Counting(StatefulStrategy):
    """Keeps a count from one question to the next."""

    name = "counting"
    count = 0

    def bars_needed(self) -> int:
        return 1

    def on_start(self) -> None:
        self.count += 1

    def on_bar(self, bar: SeenBar) -> Level | None:
        return Level(float(self.count % 2), f"question {self.count}")


class Ranged(Answering):
    """Divides by a bar's range, which may be nothing."""

    name = "ranged"

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        place = (CLOSE - pl.col("low")) / (pl.col("high") - pl.col("low"))
        said = super().levels(bars).drop("target")
        return said.join(bars.select("symbol", "ts", place.alias("target")), on=["symbol", "ts"])


class GreenwichHours(Answering):
    """Trades from 14:30 to 15:00 UTC, the first half hour in winter only."""

    name = "greenwich_hours"

    def rises(self) -> pl.Expr:
        return pl.col("ts").dt.hour() == 14


class FullDays(Answering):
    """Cannot stand a session that ended at one o'clock."""

    name = "full_days"

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        ends = bars.group_by("symbol", "session", maintain_order=True).agg(
            pl.col("ts").dt.convert_time_zone(NEW_YORK).dt.time().max().alias("end")
        )
        done = ends.filter(pl.col("session") < pl.col("session").max().over("symbol"))
        if (done["end"] < time(13, 0)).any():
            raise ValueError("a session has 390 bars")
        return super().levels(bars)


class EarlyBell(Answering):
    """Knows the day of an early close by heart, and then how it ended."""

    name = "early_bell"
    session_anchored = True

    def rises(self) -> pl.Expr:
        local = pl.col("ts").dt.convert_time_zone(NEW_YORK)
        is_short = local.dt.date().is_in([date(2024, 11, 29)])
        return pl.when(is_short).then(above(CLOSE.last().over("session"), CLOSE)).otherwise(super().rises())


class FromNothing(Answering):
    """Looks at the first bar of a frame that may be empty."""

    name = "from_nothing"

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        assert bars["symbol"][0]
        return super().signals(bars)


class Doubled(Answering):
    """Wants to hold twice of everything."""

    name = "doubled"

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        return super().levels(bars).with_columns(pl.lit(2.0).alias("target"))


class NextMinute(Answering):
    """Speaks of the minute that has not begun."""

    name = "next_minute"

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        return super().levels(bars).with_columns(pl.col("ts") + pl.duration(minutes=1))


class Raising(Answering):
    """Raises what it likes."""

    name = "raising"

    def rises(self) -> pl.Expr:
        raise RuntimeError("the moon\nis full")


class Wordless(Answering):
    """Answers nothing at all."""

    name = "wordless"

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        return None  # type: ignore[return-value]  # that is its fault


class Quiet(Answering):
    """Has no opinion of anything."""

    name = "quiet"

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame(schema=SIGNAL_SCHEMA)
