"""VWAP mean reversion with RSI: buy what fell far below the session's average and is oversold.

With VWAP and sigma of the session so far (`strategies.indicators`) and RSI(length) of the closes:

    far below  when close < VWAP - k * sigma and RSI < oversold
    far above  when close > VWAP + k * sigma and RSI > 100 - oversold
    middle     VWAP

and the levels are those of `strategies.reversion`: long where far below, flat when back at the average, short
where far above with allow_short. Where two of these are equal (`strategies.indicators.TIE`) there is no
opinion. Nothing is said before `settle_bars` of the session: the first bands are too narrow to mean
anything. The RSI starts anew each session, so an overnight gap is not a gain.
"""

import polars as pl
from pydantic import Field

from strategies.base import Params, Strategy
from strategies.indicators import Bars, above, bars_so_far, rsi, session_vwap, session_vwap_sigma
from strategies.registry import register
from strategies.reversion import reverting


class VwapParams(Params):
    """Bounds keep a typing error from becoming a strategy."""

    k: float = Field(1.0, gt=0, le=10, description="Band half-width in standard deviations around VWAP.")
    rsi_length: int = Field(7, ge=2, le=200, description="Changes in Wilder's averages.")
    oversold: float = Field(
        35.0, gt=0, lt=50, description="RSI below this is oversold; above 100 minus it, overbought."
    )
    settle_bars: int = Field(10, ge=1, le=390, description="Bars of a session before the first signal.")
    allow_short: bool = Field(False, description="Whether it also sells what rose far above VWAP.")


@register
class VwapMeanReversion(Strategy):
    """See the module."""

    name = "vwap_mean_reversion"
    params_model = VwapParams
    lazy = True
    session_anchored = True

    @property
    def params(self) -> VwapParams:
        """Give the checked parameters."""
        assert isinstance(self.checked, VwapParams)
        return self.checked

    def bars_needed(self) -> int:
        """Give the bars of a session before the first signal can come."""
        return max(self.params.settle_bars, self.params.rsi_length + 1)

    def levels(self, bars: Bars) -> Bars:
        """Give levels; see the module's formula."""
        params = self.params
        seen = bars.with_columns(
            session_vwap().alias("mean"),
            session_vwap_sigma().alias("sigma"),
            rsi(length=params.rsi_length, by_session=True).alias("rsi"),
            bars_so_far().alias("count"),
        ).filter((pl.col("count") >= self.warm_up) & above(pl.col("sigma"), 0.0))
        band = params.k * pl.col("sigma")
        low = above(pl.col("mean") - band, pl.col("close")) & above(params.oversold, pl.col("rsi"))
        high = above(pl.col("close"), pl.col("mean") + band) & above(pl.col("rsi"), 100.0 - params.oversold)
        target = reverting(
            value=pl.col("close"), middle=pl.col("mean"), low=low, high=high, allow_short=params.allow_short
        )
        return (
            seen.with_columns(target.alias("target"))
            .filter(pl.col("target").is_not_null())
            .select(
                "symbol",
                "ts",
                "target",
                pl.col("close").alias("price"),
                pl.format(
                    "close {} vwap {} sigma {} rsi {}",
                    pl.col("close").round(4),
                    pl.col("mean").round(4),
                    pl.col("sigma").round(4),
                    pl.col("rsi").round(1),
                ).alias("reason"),
            )
        )
