"""SMA crossover: hold what trades above its longer average by its shorter one.

    long (1) while SMA(fast) > SMA(slow) * (1 + band);  flat (0) while SMA(fast) < SMA(slow) * (1 - band)
    short (-1) instead of flat with allow_short

The band (basis points; none by default) keeps two averages that touch from trading at every minute; inside
it, and where they are equal (`strategies.indicators.TIE`), there is no opinion.
The averages run across sessions, so they are known from the first bar of the day when there is a warm-up.
"""

import polars as pl
from pydantic import Field, model_validator

from strategies.base import Params, Strategy
from strategies.indicators import Bars, above, sma
from strategies.registry import register

BPS = 10_000.0


class SmaParams(Params):
    """Fast must be shorter than slow."""

    fast: int = Field(10, ge=1, le=200, description="Bars in the shorter average.")
    slow: int = Field(30, ge=2, le=400, description="Bars in the longer average; more than fast.")
    band_bps: float = Field(0.0, ge=0, le=1000, description="Dead band around the crossing, basis points.")
    allow_short: bool = Field(
        False, description="Whether it sells short below the band instead of going flat."
    )

    @model_validator(mode="after")
    def _fast_is_shorter(self) -> "SmaParams":
        if self.fast >= self.slow:
            raise ValueError(f"parameter fast = {self.fast}: must be less than slow = {self.slow}")
        return self


@register
class SmaCrossover(Strategy):
    """See the module."""

    name = "sma_crossover"
    params_model = SmaParams
    lazy = True

    @property
    def params(self) -> SmaParams:
        """Give the checked parameters."""
        assert isinstance(self.checked, SmaParams)
        return self.checked

    def bars_needed(self) -> int:
        """Give the bars of the longer average."""
        return self.params.slow

    def levels(self, bars: Bars) -> Bars:
        """Give levels; see the module's formula."""
        params = self.params
        band = params.band_bps / BPS
        below = -1.0 if params.allow_short else 0.0
        return (
            bars.with_columns(
                sma("close", length=params.fast).alias("quick"),
                sma("close", length=params.slow).alias("slow"),
            )
            .with_columns(
                pl.when(above(pl.col("quick"), pl.col("slow") * (1.0 + band)))
                .then(1.0)
                .when(above(pl.col("slow") * (1.0 - band), pl.col("quick")))
                .then(below)
                .alias("target")
            )
            .filter(pl.col("target").is_not_null())
            .select(
                "symbol",
                "ts",
                "target",
                pl.col("close").alias("price"),
                pl.format(
                    "sma({}) {} sma({}) {}",
                    pl.lit(params.fast),
                    pl.col("quick").round(4),
                    pl.lit(params.slow),
                    pl.col("slow").round(4),
                ).alias("reason"),
            )
        )
