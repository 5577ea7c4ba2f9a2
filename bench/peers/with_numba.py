"""The other floor: a kernel of one pass, compiled by numba, that plays this one case and nothing else."""

import numpy as np
import polars as pl
from contest import FAST, SHARES, SLOW, Contest
from numba import njit


@njit(cache=True)
def play(close: np.ndarray, opened: np.ndarray, edges: np.ndarray, out: np.ndarray) -> int:
    """Write (bar that fills, +1 or -1) into `out` and give how many; symbols are `edges[i]:edges[i + 1]`."""
    count = 0
    for symbol in range(len(edges) - 1):
        first, end = edges[symbol], edges[symbol + 1]
        fast, slow, held, wanted = 0, 0, 0, 0
        for bar in range(first, end):
            if wanted != held:
                out[count, 0], out[count, 1] = bar, wanted - held
                count, held = count + 1, wanted
            cents = round(close[bar] * 100)
            fast, slow = fast + cents, slow + cents
            if bar - first >= FAST:
                fast -= round(close[bar - FAST] * 100)
            if bar - first >= SLOW:
                slow -= round(close[bar - SLOW] * 100)
            if bar - first >= SLOW - 1 and fast * SLOW != slow * FAST:
                wanted = 1 if fast * SLOW > slow * FAST else 0
    return count


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    bars = pl.read_parquet(contest.path, columns=["symbol", "ts", "open", "close"])
    lengths = bars["symbol"].rle().struct.field("len").to_numpy()
    edges = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    close, opened = bars["close"].to_numpy(), bars["open"].to_numpy()
    contest.loaded()
    out = np.empty((bars.height, 2), dtype=np.int64)
    out = out[: play(close, opened, edges, out)]
    value = float(opened[out[:, 0]] @ out[:, 1]) * -SHARES  # the P&L's cash, as a search would want it
    contest.played()
    spare = np.empty((bars.height, 2), dtype=np.int64)
    contest.again("again_s", lambda: play(close, opened, edges, spare))
    assert np.isfinite(value), "the floor's cash is no number"
    filled = bars[out[:, 0]].select(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S"), "symbol", "open")
    contest.tell(
        (ts, symbol, "buy" if side > 0 else "sell", SHARES, price)
        for (ts, symbol, price), side in zip(filled.iter_rows(), out[:, 1], strict=True)
    )


if __name__ == "__main__":
    main()
