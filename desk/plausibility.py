"""Whether a price can be what the tape says: jumps, bad prints and wrong units.

A bar is held against the close before it in the same session (the last accepted one, or the row before
it in the delivery). Between sessions only the unit is judged, for prices do jump overnight.

- scale_mismatch: off by a power of ten (100 = cents, 10,000 = ten-thousandths), within a seventh.
- price_jump: open or close differs by more than `jump_frac`.
- price_outlier: open and close are plausible, but an extreme is not: an error print. A range with no
  volume behind it is held to a third of `jump_frac`, for nothing traded there.

A refused bar is no reference: when in doubt, do not trade. A level that stays away is believed once so many
refused bars in a row agree (desk/new_levels.py); a historical load, which can look ahead, lets a move stand
that is confirmed by the bars after it. Clean deliveries are cleared in one vectorised pass; the
careful walk is for the symbols that were not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median

import polars as pl

from desk.inspection import Context
from desk.new_levels import is_settled
from schemas.bars import PRICES, Flaw

# How far from an exact power of ten still is one: prices move meanwhile, but not by a seventh.
SCALE_SLACK = math.log10(1.15)
# A ten-for-one split also moves the price tenfold overnight; a hundredfold is a unit.
OVERNIGHT_POWERS_MIN = 2
# An older close says nothing of today's unit.
REFERENCE_DAYS_MAX = 10
# With no bar before it, a delivery's first level is the middle of this many closes.
ANCHOR_BARS = 5
# Closes of one session that differ by more than this factor are not in one unit.
UNIT_FACTOR = 3.0
PAIR = 2
# Bars that must agree after a move before a historical load lets it stand.
CONFIRM_BARS = 15
IDLE_WICK_SHARE = 0.3


@dataclass(frozen=True)
class _Bar:
    row: int
    session_date: date
    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int

    @property
    def body_low(self) -> float:
        return min(self.open, self.close)

    @property
    def body_high(self) -> float:
        return max(self.open, self.close)


@dataclass(frozen=True)
class Doubt:
    """A row whose prices are not believed, with the number and the limit in words.

    `confirmed` is a move that later bars confirm: usable, and worth a warning.
    """

    row: int
    flaw: Flaw
    detail: str
    confirmed: bool = False


def price_doubts(rows: pl.DataFrame, context: Context) -> list[Doubt]:
    """Give the rows whose prices are not believed.

    Args:
        rows: Readable rows sorted by (symbol, ts, row), with session_date.
        context: For the limits, the mode and the last accepted closes.
    """
    jump = float(context.limits.jump_frac)
    last = context.memory.last()
    known = rows.select("row", "symbol", "session_date", "ts", *PRICES, "volume")
    if last.height > 0:
        known = known.join(last, on="symbol", how="left", maintain_order="left")
    else:
        known = known.with_columns(
            pl.lit(None, pl.Datetime("us", "UTC")).alias("last_ts"),
            pl.lit(None, pl.Float64).alias("last_close"),
            pl.lit(None, pl.Date).alias("last_session"),
        )
    flagged = known.filter(_looks_wrong(jump))["symbol"].unique().to_list()
    doubts: list[Doubt] = []
    for symbol in sorted(flagged):
        mine = known.filter(pl.col("symbol") == symbol)
        first = mine.row(0, named=True)
        walk = _Walk(
            jump=jump,
            hindsight=not context.mode.is_live,
            last_close=first["last_close"],
            last_session=first["last_session"],
            confirm_minutes=context.limits.jump_confirm_minutes,
            refused=dict(context.refused.get(symbol, {})),
        )
        columns = ("row", "session_date", "ts", *PRICES, "volume")
        doubts.extend(walk.judge([_Bar(*values) for values in mine.select(columns).iter_rows()]))
    return doubts


def _looks_wrong(jump: float) -> pl.Expr:
    """Flag generously: what is not flagged here needs no walk."""
    same_symbol = pl.col("symbol") == pl.col("symbol").shift(1)
    before = pl.when(same_symbol.fill_null(value=False)).then(pl.col("close").shift(1))
    before_day = pl.when(same_symbol.fill_null(value=False)).then(pl.col("session_date").shift(1))
    reference = pl.coalesce(before, pl.col("last_close"))
    same_day = pl.coalesce(before_day, pl.col("last_session")) == pl.col("session_date")
    far = pl.max_horizontal((pl.col(name) / reference - 1).abs() for name in PRICES) > jump
    unit = (pl.col("close") / reference).log(10).abs() > 1 - SCALE_SLACK
    body_low, body_high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    wick = pl.max_horizontal(1 - pl.col("low") / body_low, pl.col("high") / body_high - 1)
    limit = pl.when(pl.col("volume") == 0).then(jump * IDLE_WICK_SHARE).otherwise(jump)
    return (far & same_day).fill_null(value=False) | unit.fill_null(value=False) | (wick > limit)


def _power_of_ten(ratio: float) -> int:
    """Give k when the ratio is near 10**k, else 0."""
    exponent = math.log10(ratio)
    power = round(exponent)
    return power if abs(exponent - power) <= SCALE_SLACK else 0


@dataclass
class _Walk:
    """One symbol's bars in time order, each held against the last one believed."""

    jump: float
    hindsight: bool
    last_close: float | None
    last_session: date | None
    confirm_minutes: int
    refused: dict[datetime, float]  # closes that jumped since the last bar believed, by minute

    def judge(self, bars: Sequence[_Bar]) -> list[Doubt]:
        doubts = []
        for index, bar in enumerate(bars):
            if self.last_close is None or self.last_session is None:
                self._anchor(bars[index:])
            doubt = self._doubt(bar, bars[index + 1 : index + 1 + CONFIRM_BARS])
            if doubt is not None:
                doubts.append(doubt)
            if doubt is None or doubt.confirmed:
                self.last_close, self.last_session = bar.close, bar.session_date
                self.refused = {ts: close for ts, close in self.refused.items() if ts > bar.ts}
            elif doubt.flaw is Flaw.PRICE_JUMP:
                self.refused[bar.ts] = bar.close
        return doubts

    def _anchor(self, bars: Sequence[_Bar]) -> None:
        """Take a level from the delivery itself when nothing is known before it.

        The unit is the majority's: the first closes count only within `UNIT_FACTOR` of the median of the
        session. Half against half, or one against one, gives a level between, and neither is believed.
        """
        closes = [bar.close for bar in bars if bar.session_date == bars[0].session_date]
        middle = math.sqrt(max(closes) * min(closes)) if len(closes) == PAIR else median(closes)
        near = [close for close in closes if 1 / UNIT_FACTOR < close / middle < UNIT_FACTOR]
        if len(closes) == 1:
            return
        if len(closes) == PAIR and max(closes) / min(closes) - 1 <= self.jump:
            return
        level = median(near[:ANCHOR_BARS]) if near and len(closes) > PAIR else middle
        self.last_close, self.last_session = level, bars[0].session_date

    def _doubt(self, bar: _Bar, after: Sequence[_Bar]) -> Doubt | None:
        reference, session = self.last_close, self.last_session
        if reference is not None and session is not None:
            power = _power_of_ten(bar.close / reference)
            same_day = session == bar.session_date
            days = abs((bar.session_date - session).days)
            if abs(power) >= (1 if same_day else OVERNIGHT_POWERS_MIN) and days <= REFERENCE_DAYS_MAX:
                return Doubt(
                    bar.row,
                    Flaw.SCALE_MISMATCH,
                    f"close {bar.close:g} is 10^{power} times the close before it, {reference:g}",
                )
            if same_day and (far := self._far(bar, reference, after)) is not None:
                return far
        return self._wick(bar)

    def _far(self, bar: _Bar, reference: float, after: Sequence[_Bar]) -> Doubt | None:
        body = max((bar.open, bar.close), key=lambda price: abs(price / reference - 1))
        off = abs(body / reference - 1)
        if off > self.jump:
            stays = abs(bar.close / reference - 1) > self.jump  # a bad print comes back, a move does not
            confirmed = stays and self._wick(bar) is None and self._is_confirmed(bar, after)
            return Doubt(
                bar.row,
                Flaw.PRICE_JUMP,
                f"price {body:g} is {off:.1%} from the close before it, {reference:g}; limit {self.jump:.1%}",
                confirmed=confirmed,
            )
        extreme = max((bar.high, bar.low), key=lambda price: abs(price / reference - 1))
        off = abs(extreme / reference - 1)
        if off > self.jump:
            return Doubt(
                bar.row,
                Flaw.PRICE_OUTLIER,
                f"extreme {extreme:g} is {off:.1%} from the close before it, {reference:g}; "
                f"limit {self.jump:.1%}",
            )
        return None

    def _is_confirmed(self, bar: _Bar, after: Sequence[_Bar]) -> bool:
        """Tell whether bars after it, or live the refused ones before it, agree with a move."""
        if not self.hindsight:
            before = {ts: close for ts, close in self.refused.items() if ts < bar.ts}
            return is_settled(bar.close, before, jump=self.jump, minutes=self.confirm_minutes)
        return len(after) == CONFIRM_BARS and all(
            later.session_date == bar.session_date and abs(later.close / bar.close - 1) <= self.jump
            for later in after
        )

    def _wick(self, bar: _Bar) -> Doubt | None:
        limit = self.jump * IDLE_WICK_SHARE if bar.volume == 0 else self.jump
        wick = max(1 - bar.low / bar.body_low, bar.high / bar.body_high - 1)
        if wick <= limit:
            return None
        return Doubt(
            bar.row,
            Flaw.PRICE_OUTLIER,
            f"range {bar.low:g} to {bar.high:g} reaches {wick:.1%} beyond open and close "
            f"on a volume of {bar.volume}; limit {limit:.1%}",
        )
