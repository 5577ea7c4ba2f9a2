"""Our screen: the compiled kernel under every search, levels included."""

import polars as pl
from contest import FAST, SLOW, Contest
from our_fills import told

from bench.screen_once import TERMS, sma_levels
from desk.research.screen import Screen
from desk.research.slate import Slate


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    bars = pl.read_parquet(contest.path)
    contest.loaded()
    slate = Slate(bars)
    screened = Screen(slate, TERMS).play(slate.targets(sma_levels(bars, fast=FAST, slow=SLOW)))
    summary = screened.summary()
    contest.played()
    fills = screened.fills("sma")
    assert fills.height == summary.executions, "the summary miscounts"
    contest.tell(told(fills))


if __name__ == "__main__":
    main()
