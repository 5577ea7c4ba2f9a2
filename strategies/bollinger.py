"""Bollinger bands: buy what closed far below the average of its last closes, let go back at it.

With SMA and sigma (population) of the session's last `length` closes, the bar's own included:

    far below  when close < SMA - k * sigma
    far above  when close > SMA + k * sigma
    middle     SMA

and the levels are those of `strategies.reversion`: long where far below, flat when back at the average, short
where far above with allow_short. Where two of these are equal (`strategies.indicators.TIE`), and where the
closes did not move, there is no opinion. The bands start anew each session: an overnight gap is no
deviation, and the first `length` - 1 bars of a session say nothing.

No close is further than sqrt(length - 1) sigma from an average it is part of, so a larger k is refused.
"""

import polars as pl
from pydantic import Field, model_validator

from strategies.base import Params, Strategy
from strategies.indicators import Bars, above, session_sigma, session_sma
from strategies.registry import register
from strategies.reversion import reverting


class BollingerParams(Params):
    """Bounds keep a typing error from becoming a strategy."""

    length: int = Field(20, ge=3, le=200, description="Bars in the average and in the deviation.")
    k: float = Field(2.0, gt=0, le=10, description="Band half-width in standard deviations.")
    allow_short: bool = Field(False, description="Whether it also sells what closed far above the average.")

    @model_validator(mode="after")
    def _band_can_be_left(self) -> "BollingerParams":
        if self.k >= (self.length - 1) ** 0.5:
            raise ValueError(
                f"parameter k = {self.k:g}: must be under the square root of length - 1 = {self.length - 1}"
            )
        return self


@register
class Bollinger(Strategy):
    """See the module."""

    name = "bollinger"
    params_model = BollingerParams
    lazy = True
    session_anchored = True

    @property
    def params(self) -> BollingerParams:
        """Give the checked parameters."""
        assert isinstance(self.checked, BollingerParams)
        return self.checked

    def bars_needed(self) -> int:
        """Give the bars of an average."""
        return self.params.length

    def levels(self, bars: Bars) -> Bars:
        """Give levels; see the module's formula."""
        params = self.params
        seen = bars.with_columns(
            session_sma("close", length=params.length).alias("mean"),
            session_sigma("close", length=params.length).alias("sigma"),
        ).filter(above(pl.col("sigma"), 0.0))
        close, mean, band = pl.col("close"), pl.col("mean"), params.k * pl.col("sigma")
        target = reverting(
            value=close,
            middle=mean,
            low=above(mean - band, close),
            high=above(close, mean + band),
            allow_short=params.allow_short,
        )
        return (
            seen.with_columns(target.alias("target"))
            .filter(pl.col("target").is_not_null())
            .select(
                "symbol",
                "ts",
                "target",
                close.alias("price"),
                pl.format(
                    "close {} sma({}) {} sigma {}",
                    close.round(4),
                    pl.lit(params.length),
                    mean.round(4),
                    pl.col("sigma").round(4),
                ).alias("reason"),
            )
        )
