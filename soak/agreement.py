"""One generated backtest played four ways: a plain loop, the exact engine, without skipping, and the screen.

The plain loop (tests/answers/reference_loop.py) was written without looking at the others. All four must
fill alike: instant of the bar, symbol, side, quantity, price and fee. Skipping must not change the ledger
either, to the last byte, and the same under protections and a loss limit that the case reaches.
"""

import multiprocessing
from dataclasses import dataclass, replace

from rich.console import Console
from rich.progress import track

from desk.research import engine
from tasks.unheard import unheard
from tests.desk.research.cases import Case, case
from tests.desk.research.exact import played, protected
from tests.desk.research.test_screen import screened

COLUMNS = ("ts", "symbol", "side", "qty", "price", "fee")

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Told:
    """What came of one case."""

    seed: int
    fills: int
    differs: tuple[str, ...]  # which ways differ, and the first fill that does


@unheard()
def play(seed: int) -> Told:
    """Play a case four ways."""
    made = case(seed)
    wanted = _plain(made)
    skipped, visited = (played(made, skips=each, hashes=True) for each in (True, False))
    ways = {
        "exact engine": sorted(skipped.fills.select(COLUMNS).rows()),
        "without skipping": sorted(visited.fills.select(COLUMNS).rows()),
        "screen": sorted(screened(made).fills().select(COLUMNS).rows()),
    }
    differs = [f"{way}: {_first(rows, wanted)}" for way, rows in ways.items() if rows != wanted]
    if skipped.ledger_hash != visited.ledger_hash:
        differs.append("skipping changes the ledger")
    plan = replace(protected(made), hashes=True)
    if engine.play(plan).ledger_hash != engine.play(replace(plan, skips=False)).ledger_hash:
        differs.append("skipping changes the ledger under protections")
    return Told(seed, len(wanted), tuple(differs))


def run(*, cases: int, jobs: int, console: Console) -> list[Told]:
    """Play cases 0 to `cases` - 1 and give those that differ."""
    told = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for each in track(
            pool.imap_unordered(play, range(cases), chunksize=4), "cases", total=cases, console=console
        ):
            told.append(each)
            for words in each.differs:
                console.print(f"case {each.seed}: {words}")
    console.print(f"{cases:,} cases, {sum(each.fills for each in told):,} fills each way")
    return [each for each in told if each.differs]


def show(differing: list[Told], *, cases: int, console: Console) -> None:
    """Say how many differ."""
    seeds = ", ".join(str(each.seed) for each in sorted(differing, key=lambda each: each.seed))
    console.print(f"differing: {seeds}" if differing else f"all {cases:,} agree")


def _plain(made: Case) -> Rows:
    return sorted((f.ts, f.symbol, f.side, f.qty, f.price, f.fee) for f in made.play().fills)


def _first(rows: Rows, wanted: Rows) -> str:
    place = next(
        (place for place, (mine, plain) in enumerate(zip(rows, wanted, strict=False)) if mine != plain),
        min(len(rows), len(wanted)),
    )
    return f"{rows[place : place + 1]} instead of {wanted[place : place + 1]}"
