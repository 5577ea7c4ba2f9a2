"""Play pieces of a sweep in whatever process: a folder in, one small Parquet file a piece out.

Theory of operation. A sweep's folder has the job and the bars, an uncompressed Arrow file that processes of
one machine map into memory together. A process opens the folder once and keeps what it made of it. A piece's
file is written under another name and renamed: one that is there is whole, and the piece is never played
again. Signals of a set are computed once over all bars, which is sound because they are causal
(`desk check`), and cut to the sessions of each fold.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter

from desk.hours import session_hours
from desk.research.curve import equity_curve
from desk.research.engine import Plan, Played, play
from desk.research.performance import daily
from desk.research.reel import Reel
from desk.research.screen import Screen
from desk.research.search import Space
from desk.research.slate import Slate
from desk.research.trades import round_trips
from desk.research.walk import DAYS_SCHEMA, FillsDiffer, first_difference
from schemas.settings import Settings
from schemas.sweep import Fold, Job, Piece
from strategies.base import Strategy
from tasks.backtest_plan import BacktestPlan, said_by, settings_of, targets_by, terms_of
from tasks.kernel_warmth import warm_up_kernel
from tasks.strategy_source import read_params, strategy_class, strategy_of
from tasks.unheard import unheard

JOB_FILE = "job.json"
BARS_FILE = "bars.arrow"
PLANS = TypeAdapter(BacktestPlan)
PROOF_SCHEMA = {"place": pl.Int64(), "fold": pl.Int64(), "fills": pl.Int64()}
# Windows of bars a process keeps cut: of a fold both, and of some folds more, each 24 bytes a bar.
WINDOWS_KEPT = 64


@dataclass(frozen=True)
class Window:
    """The bars of some sessions in a row."""

    bars: pl.DataFrame
    screen: Screen | None  # None: the exact engine plays
    sessions: int


class Bench:
    """A sweep's folder, opened."""

    def __init__(self, folder: Path) -> None:
        """Read the job and map the bars."""
        self.job = Job.model_validate_json((folder / JOB_FILE).read_bytes())
        if self.job.screens:
            warm_up_kernel()
        self.bars = pl.read_ipc(folder / BARS_FILE)
        self.plan = PLANS.validate_json(self.job.plan)
        self._settings = Settings.model_validate_json(self.job.settings)
        self._space = Space(self.job.ranges)
        self._folds = {fold.number: fold for fold in self.job.folds}
        self._base = read_params(self.plan.params)
        self._kind = strategy_class(self.plan.strategy)
        self._windows: dict[tuple[int, int], Window] = {}

    def days(self, piece: Piece) -> pl.DataFrame:
        """Play a piece's sets in its folds; `DAYS_SCHEMA`."""
        rows = []
        for place in piece.sets:
            strategy = self._strategy(place)
            said = (targets_by if self.job.screens else said_by)(strategy, self.bars)
            for number in piece.folds:
                fold = self._folds[number]
                trained, train = self._played(strategy, said, fold.train_start, fold.train_end)
                tested, test = self._played(strategy, said, fold.test_start, fold.test_end)
                rows.append((place, number, trained, train, tested, test))
        return pl.DataFrame(rows, schema=DAYS_SCHEMA, orient="row")

    def proof(self, piece: Piece) -> pl.DataFrame:
        """Play a piece's sets on their folds' tests with both engines; one row a set and fold.

        Raises:
            FillsDiffer: names the first fill in which they differ.
        """
        rows: list[tuple[int, int, int]] = []
        for place in piece.sets:
            strategy = self._strategy(place)
            said = said_by(strategy, self.bars)
            rows.extend(
                (place, number, self._proven(strategy, said, self._folds[number])) for number in piece.folds
            )
        return pl.DataFrame(rows, schema=PROOF_SCHEMA, orient="row")

    def _proven(self, strategy: Strategy, said: pl.DataFrame, fold: Fold) -> int:
        window = self._window(fold.test_start, fold.test_end, strategy)
        assert window.screen is not None, "only what was screened is proven"
        mine = self._cut(said, fold.test_start, fold.test_end)
        screened = window.screen.play(window.screen.slate.targets(mine)).fills(strategy.name)
        exact = self._exact(strategy, mine, window.bars).fills
        if (difference := first_difference(screened, exact)) is not None:
            raise FillsDiffer(f"fold {fold.number}, {dict(strategy.checked.model_dump())}: {difference}")
        return exact.height

    def _strategy(self, place: int) -> Strategy:
        params: Mapping[str, object] = {**self._base, **dict(self._space.at(place))}
        return strategy_of(self._kind, self.plan.strategy, self.job.symbols, params)

    def _played(
        self, strategy: Strategy, said: pl.DataFrame, start: int, end: int
    ) -> tuple[int, list[float]]:
        """Give the trades that ended and the P&L by session."""
        if start == end:
            return 0, []
        window, mine = self._window(start, end, strategy), self._cut(said, start, end)
        if window.screen is not None:
            played = window.screen.play(window.screen.slate.targets(mine))
            return (len(played.done) - played.open_positions) // 2, played.daily_pnl().tolist()
        exact = self._exact(strategy, mine, window.bars)
        curve = equity_curve(exact.fills, window.bars, cash=self.plan.cash, flows=exact.flows)
        trades = round_trips(exact.fills, window.bars)
        ended = trades.height - trades["left_at"].null_count()
        return ended, daily(curve, opening=float(self.plan.cash))["pnl"].to_list()

    def _exact(self, strategy: Strategy, said: pl.DataFrame, bars: pl.DataFrame) -> Played:
        made = Plan(
            settings=settings_of(self.plan, self._settings, strategy),
            reel=Reel(bars),
            said={strategy.name: said},
            strategies=(strategy,),
            cash=self.plan.cash,
            costs=self.plan.costs,
            gate=self.plan.gate,
            skips=self.plan.skips,
            seed=self.plan.seed,
        )
        with unheard():
            return play(made)

    def _window(self, start: int, end: int, strategy: Strategy) -> Window:
        """Give the bars of sessions [start, end), cut once."""
        if (start, end) not in self._windows:
            if len(self._windows) >= WINDOWS_KEPT:
                del self._windows[next(iter(self._windows))]
            bars = self._cut(self.bars, start, end)
            screen = None
            if self.job.screens:
                screen = Screen(
                    Slate(bars), terms_of(self.plan, settings_of(self.plan, self._settings, strategy))
                )
            self._windows[start, end] = Window(bars=bars, screen=screen, sessions=end - start)
        return self._windows[start, end]

    def _cut(self, frame: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
        first, last = session_hours(self.job.sessions[start]), session_hours(self.job.sessions[end - 1])
        assert first is not None, "bars lie in sessions"
        assert last is not None, "bars lie in sessions"
        return frame.filter((pl.col("ts") >= first.opens_at) & (pl.col("ts") < last.closes_at))


@lru_cache(maxsize=1)
def bench_of(folder: Path) -> Bench:
    """Give a folder's bench, opened once a process."""
    return Bench(folder)


def play_piece(folder: Path, piece: Piece) -> str:
    """Play a piece, write its file, and give its name; one that is there is left alone.

    Raises:
        FillsDiffer: the screen and the exact engine differ.
        ConfigError: the strategy raised, or said what is no signal.
        OSError: the file cannot be written.
    """
    path = file_of(folder, piece)
    if not path.exists():
        bench = bench_of(folder)
        frame = bench.proof(piece) if piece.is_proof else bench.days(piece)
        part = path.with_suffix(f".{os.getpid()}.part")
        frame.write_parquet(part)
        part.replace(path)
    return piece.name


def file_of(folder: Path, piece: Piece) -> Path:
    """Give where a piece's result lies."""
    return folder / f"{piece.name}.parquet"
