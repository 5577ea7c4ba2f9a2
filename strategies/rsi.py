"""RSI reversion: buy what is oversold by Wilder's relative strength index, let go when it has recovered.

With RSI(length) of the session's closes (`strategies.indicators.rsi`):

    far below  when RSI < oversold
    far above  when RSI > 100 - oversold
    middle     50

and the levels are those of `strategies.reversion`: long where far below, flat when gains outweigh losses
again, short where far above with allow_short. On a bound, within 1e-6 of a point
(`strategies.indicators.TIE`), there is no opinion. The index starts anew each session, so an overnight gap is
neither gain nor loss, and the first `length` bars of a session say nothing.
"""

import polars as pl
from pydantic import Field

from strategies.base import Params, Strategy
from strategies.indicators import Bars, above, rsi
from strategies.registry import register
from strategies.reversion import reverting

MIDDLE = 50.0  # gains and losses weigh the same


class RsiParams(Params):
    """Bounds keep a typing error from becoming a strategy."""

    length: int = Field(14, ge=2, le=200, description="Changes in Wilder's averages.")
    oversold: float = Field(
        30.0, gt=0, lt=50, description="RSI below this is oversold; above 100 minus it, overbought."
    )
    allow_short: bool = Field(False, description="Whether it also sells what is overbought.")


@register
class RsiReversion(Strategy):
    """See the module."""

    name = "rsi"
    params_model = RsiParams
    lazy = True
    session_anchored = True

    @property
    def params(self) -> RsiParams:
        """Give the checked parameters."""
        assert isinstance(self.checked, RsiParams)
        return self.checked

    def bars_needed(self) -> int:
        """Give the bars of a session before the index is known: one more than its changes."""
        return self.params.length + 1

    def levels(self, bars: Bars) -> Bars:
        """Give levels; see the module's formula."""
        params = self.params
        seen = bars.with_columns(rsi(length=params.length, by_session=True).alias("rsi"))
        index = pl.col("rsi")
        target = reverting(
            value=index,
            middle=MIDDLE,
            low=above(params.oversold, index),
            high=above(index, 100.0 - params.oversold),
            allow_short=params.allow_short,
        )
        return (
            seen.filter(index.is_not_null())
            .with_columns(target.alias("target"))
            .filter(pl.col("target").is_not_null())
            .select(
                "symbol",
                "ts",
                "target",
                pl.col("close").alias("price"),
                pl.format(
                    "close {} rsi({}) {}", pl.col("close").round(4), pl.lit(params.length), index.round(1)
                ).alias("reason"),
            )
        )
