"""Our screen: the compiled kernel under every search, levels included."""

import polars as pl
from contest import FAST, SLOW, Contest
from our_fills import told

from bench.screen_once import TERMS, sma_levels
from desk.research.screen import Played, Screen
from desk.research.slate import Slate
from tasks.kernel_warmth import warm_up_kernel


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    warm_up_kernel()
    bars = pl.read_parquet(contest.path, columns=["symbol", "ts", "open", "close"])
    slate = Slate(bars)
    contest.loaded()
    screen = Screen(slate, TERMS)

    def play() -> Played:
        screened = screen.play(slate.targets(sma_levels(bars, fast=FAST, slow=SLOW)))
        screened.summary()
        return screened

    play()
    contest.played()
    contest.again("again_s", play)
    targets = slate.targets(sma_levels(bars, fast=FAST, slow=SLOW))
    contest.again("kernel_s", lambda: screen.play(targets).summary())
    screened = screen.play(targets)
    summary, fills = screened.summary(), screened.fills("sma")
    assert fills.height == summary.executions, "the summary miscounts"
    contest.tell(told(fills))


if __name__ == "__main__":
    main()
