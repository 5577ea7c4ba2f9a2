"""A search's first try in its own process: load, levels, screen. `python -m bench.screen_once FILE`."""

import sys
from decimal import Decimal

import polars as pl

from desk.research.screen import Screen, Terms
from desk.research.slate import Slate
from schemas.research import Size, SizeKind
from schemas.settings import EntryOrder, SessionSettings
from strategies.sma_crossover import SmaCrossover
from tasks.kernel_warmth import warm_up_kernel

TERMS = Terms(
    size=Size(kind=SizeKind.SHARES, amount=Decimal(100)),
    session=SessionSettings(entry_order=EntryOrder.MARKET, close_out=False, overnight=True),
)


def sma_levels(bars: pl.DataFrame, *, fast: int = 20, slow: int = 50) -> pl.DataFrame:
    """Give SMA crossover's levels without their words."""
    params = {"fast": fast, "slow": slow, "band_bps": 0.0}
    return SmaCrossover(bars["symbol"].unique().to_list(), params).targets(bars)


def main() -> None:
    """Play a file and print what came of it."""
    warm_up_kernel()
    bars = pl.read_parquet(sys.argv[1], columns=["symbol", "ts", "open", "close"])
    slate = Slate(bars)
    summary = Screen(slate, TERMS).play(slate.targets(sma_levels(bars))).summary()
    print(summary.executions, f"{summary.pnl:.2f}")


if __name__ == "__main__":
    main()
