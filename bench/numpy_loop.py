"""What a person writes in a notebook: SMA 20/50, 100 shares, the next bar's open, no costs; numpy alone.

The floor the screen is measured beside (bench/screen.py), in its own process: `python -m bench.numpy_loop
FILE`. It plays this one case and nothing else; averages are compared as whole cents, so ties are exact.
"""

import sys

import numpy as np
import polars as pl

FAST, SLOW, SHARES = 20, 50, 100


def levels(close: np.ndarray) -> np.ndarray:
    """Give 1, 0 or, where the averages tie or are not known, -1."""
    total = np.cumsum(np.concatenate(([0], np.rint(close * 100).astype(np.int64))))
    fast = total[SLOW:] - total[SLOW - FAST : -FAST]
    slow = total[SLOW:] - total[:-SLOW]
    said = np.full(len(close), -1, dtype=np.int8)
    said[SLOW - 1 :] = np.where(fast * SLOW > slow * FAST, 1, np.where(fast * SLOW < slow * FAST, 0, -1))
    return said


def play(said: np.ndarray, opened: np.ndarray, close: np.ndarray) -> tuple[int, float]:
    """Give the executions and the P&L of one symbol: the newest opinion is held from the next open on."""
    newest = np.maximum.accumulate(np.where(said >= 0, np.arange(len(said)), 0))
    held = np.maximum(said[newest], 0)
    change = np.diff(held, prepend=0)[:-1]  # at the end of a bar; executed at the next one's open
    pnl = held[-2] * close[-1] - (change * opened[1:]).sum() if len(said) > 1 else 0.0
    return int(np.count_nonzero(change)), float(pnl) * SHARES


def main() -> None:
    """Play a file and print what came of it."""
    bars = pl.read_parquet(sys.argv[1], columns=["symbol", "open", "close"])
    executions, pnl = 0, 0.0
    for part in bars.partition_by("symbol", maintain_order=True):
        opened, close = part["open"].to_numpy(), part["close"].to_numpy()
        count, gain = play(levels(close), opened, close)
        executions, pnl = executions + count, pnl + gain
    print(executions, f"{pnl:.2f}")


if __name__ == "__main__":
    main()
