"""Find out whether a strategy is honest: that what it says of a bar needs that bar and earlier ones only.

A backtest gives a strategy all bars at once, a live session those known so far. They agree only for a
strategy that says of a bar the same whatever else is in the frame. Each check changes something that must not
matter and compares the answers, exactly but for `window`, whose sums begin elsewhere.
desk/research/findings.py says what each check is.

What no check can see: a strategy that was fitted to the bars it is tested on (desk/research/overfitting.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product

import polars as pl

from desk.errors import ConfigError
from desk.hours import minute_words
from desk.research.findings import Check, Finding, Verdict
from desk.research.provocation import (
    AUTUMN,
    EARLY_CLOSE,
    KEYS,
    SPRING,
    cut_points,
    difference,
    moved,
    poor_frames,
    renamed,
    reversed_names,
    session_dates,
    spread,
    up_to,
    with_later_of_others,
    with_newest_changed,
)
from desk.research.witness import Broken, Examined, said_of
from desk.warm_up import SESSIONS_MAX, warm_up_sessions
from schemas.bars import RAW_SCHEMA
from schemas.signals import SIGNAL_SCHEMA

CUTS_DEFAULT = 48  # minutes at which the bars are cut, beside the edges of sessions: some seconds of work
WINDOW_TOLERANCE = 1e-9  # a sum that begins elsewhere differs in its last bits
NEWEST_FACTORS = (1.02, 0.98)  # a move that any idea about prices notices, in both directions
OTHERS_FACTORS = (100.0, 0.0)  # dearer than any symbol beside them; and not there at all
SYMBOLS_DROPPED = 8  # symbols left out, one at a time
EXACT = tuple(name for name in SIGNAL_SCHEMA if name not in KEYS)
DECISION = ("target", "price")  # what is traded on; words may name a symbol or a time


@dataclass(frozen=True)
class _Question:
    """Two answers that must be the same, and in which words they are not."""

    expected: pl.DataFrame
    found: pl.DataFrame
    words: str
    columns: Sequence[str] = EXACT
    tolerance: float = 0.0


def examine(strategy: Examined, bars: pl.DataFrame, *, cuts: int = CUTS_DEFAULT) -> tuple[Finding, ...]:
    """Put a strategy through every check, in the order of `Check`.

    Args:
        strategy: who is asked; its symbols should be those of the bars.
        bars: `RAW_SCHEMA`, of the regular session, sorted by (symbol, ts), at least one row.
        cuts: about how many minutes the bars are cut at.
    """
    assert bars.height > 0, "at least one bar is needed"
    try:
        whole = said_of(strategy, bars)
    except Broken as error:
        rest = "not asked: its answer to all bars is broken"
        return (
            Finding(Check.SCHEMA, Verdict.FAILS, str(error)),
            *(Finding(check, Verdict.UNTRIED, rest) for check in Check if check is not Check.SCHEMA),
        )
    return _Examination(strategy, bars, whole, cuts).run()


def needs(strategy: Examined, bars: pl.DataFrame) -> str:
    """Say what a strategy needs before it can speak, and where a live session may not have it."""
    if strategy.session_anchored:
        return (
            f"It starts anew each session and speaks from bar {strategy.warm_up} of it at the earliest; "
            "of the days before it needs nothing."
        )
    told = f"It needs {strategy.warm_up} bars of a symbol. "
    rows = bars.group_by("symbol", pl.col("ts").dt.date()).len().rows()
    counts = {(symbol, day): count for symbol, day, count in rows}
    days = sorted({day for _, day in counts})
    found: list[int] = []
    loaded = 0
    for day in days:
        try:
            before = [each.session_date for each in warm_up_sessions(strategy.warm_up, day)]
        except ConfigError:
            return (
                told + f"That is more than the {SESSIONS_MAX} sessions a live desk loads: it does not start."
            )
        loaded = max(loaded, len(before))
        if before and before[0] >= days[0]:
            symbols = {symbol for symbol, of in counts if of == day}
            found += [sum(counts.get((symbol, each), 0) for each in before) for symbol in symbols]
    told += (
        f"A live session loads {loaded} before it" if loaded > 1 else "A live session loads the one before it"
    )
    short = sum(count < strategy.warm_up for count in found)
    if short == 0:
        return f"{told}, so it can speak from the open; of a symbol that seldom trades, later."
    return (
        f"{told}. Of a symbol, {short} of {len(found)} times here they have fewer bars than it needs; "
        "then it speaks later than after more of them."
    )


class _Examination:
    """One strategy, its bars, and what it says of all of them."""

    def __init__(self, strategy: Examined, bars: pl.DataFrame, whole: pl.DataFrame, cuts: int) -> None:
        self.strategy = strategy
        self.bars = bars
        self.whole = whole
        self.cuts = cut_points(bars, whole, count=cuts)
        self.symbols: list[str] = bars["symbol"].unique().sort().to_list()

    def run(self) -> tuple[Finding, ...]:
        """Make every check; determinism last, so that what the others left behind shows."""
        made = {check: self._compared(check, questions) for check, questions in self._questions()}
        ahead, early = made[Check.LOOK_AHEAD], made[Check.EARLY_CLOSE]
        if ahead.difference is not None and early.difference is not None:
            made[Check.EARLY_CLOSE] = Finding(
                Check.EARLY_CLOSE, Verdict.UNTRIED, "it looks ahead on ordinary days already"
            )
        found = [*made.values(), self._spoke(), self._warm_up(), self._poor(), self._empty()]
        found.append(self._compared(Check.DETERMINISM, self._again))
        return tuple(sorted(found, key=lambda each: list(Check).index(each.check)))

    def _questions(self) -> Iterator[tuple[Check, Callable[[], Iterator[_Question]]]]:
        yield Check.LOOK_AHEAD, lambda: self._prefixes(self.bars, self.whole, self.cuts)
        yield Check.UNFINISHED_BAR, self._unfinished
        yield Check.LATER_BARS_OF_OTHERS, self._later_of_others
        yield Check.SYMBOL_ORDER, self._order
        yield Check.SYMBOL_SET, self._without_one
        yield Check.WINDOW, self._windows
        yield Check.EARLY_CLOSE, self._early_close
        yield Check.DAYLIGHT_SAVING, self._daylight_saving

    def _compared(self, check: Check, questions: Callable[[], Iterator[_Question]]) -> Finding:
        """Ask until two answers differ."""
        asked = 0
        try:
            for each in questions():
                asked += 1
                differs = difference(
                    each.expected, each.found, columns=each.columns, tolerance=each.tolerance
                )
                if differs is not None:
                    return Finding(check, Verdict.FAILS, each.words, differs)
        except Broken as error:
            return Finding(check, Verdict.FAILS, str(error))
        if asked == 0:
            return Finding(check, Verdict.UNTRIED, self._why_untried(check))
        if self.whole.is_empty():
            return Finding(check, Verdict.UNTRIED, "it said nothing of these bars, so nothing is proved")
        return Finding(check, Verdict.HOLDS, f"the same {asked} times")

    def _why_untried(self, check: Check) -> str:
        if check is Check.WINDOW:
            return f"these bars are not more than the {self.strategy.warm_up} a symbol it needs"
        if len(self.symbols) < 2:
            return "it takes two symbols"
        return "these bars are too few"

    # ---- questions ---------------------------------------------------------------------------

    def _said(self, bars: pl.DataFrame) -> pl.DataFrame:
        return said_of(self.strategy, bars)

    def _again(self) -> Iterator[_Question]:
        for words in ("asked again it says something else", "asked once more it says something else"):
            yield _Question(self.whole, self._said(self.bars), words)

    def _prefixes(
        self, bars: pl.DataFrame, whole: pl.DataFrame, cuts: Sequence[datetime]
    ) -> Iterator[_Question]:
        for cut in cuts:
            words = f"known up to {minute_words(cut)} it says something else of this bar than with later bars"
            yield _Question(up_to(whole, cut), self._said(up_to(bars, cut)), words)

    def _unfinished(self) -> Iterator[_Question]:
        for cut in self.cuts:
            seen = up_to(self.bars, cut)
            earlier = self._said(seen).filter(pl.col("ts") < cut)
            for factor in NEWEST_FACTORS:
                now = self._said(with_newest_changed(seen, factor=factor)).filter(pl.col("ts") < cut)
                words = f"with other values in the newer bar of {minute_words(cut)} it decides otherwise here"
                yield _Question(earlier, now, words)

    def _later_of_others(self) -> Iterator[_Question]:
        if len(self.symbols) < 2:
            return
        for index, (cut, factor) in enumerate(product(self.cuts, OTHERS_FACTORS)):
            symbol = self.symbols[index % len(self.symbols)]
            mine = pl.col("symbol") == symbol
            now = self._said(with_later_of_others(self.bars, symbol, cut, factor=factor))
            words = f"with other bars of other symbols after {minute_words(cut)} it decides otherwise here"
            yield _Question(up_to(self.whole.filter(mine), cut), up_to(now.filter(mine), cut), words)

    def _order(self) -> Iterator[_Question]:
        for rows in (self.bars.reverse(), self.bars.sort("ts", "symbol", descending=[False, True])):
            yield _Question(
                self.whole, self._said(rows), "with the rows in another order it says something else"
            )
        if len(self.symbols) < 2:
            return
        names = reversed_names(self.bars)
        back = renamed(self._said(renamed(self.bars, names)), names)
        words = "with the symbols named in the opposite order it says something else"
        yield _Question(self.whole, back, words, DECISION)

    def _without_one(self) -> Iterator[_Question]:
        if len(self.symbols) < 2:
            return
        for symbol in self.symbols[:SYMBOLS_DROPPED]:
            others = pl.col("symbol") != symbol
            words = f"without {symbol} it says something else of this symbol"
            yield _Question(self.whole.filter(others), self._said(self.bars.filter(others)), words)

    def _windows(self) -> Iterator[_Question]:
        for cut in [*self.cuts, self.bars["ts"].max()]:
            assert isinstance(cut, datetime)
            seen = up_to(self.bars, cut)
            if self.strategy.session_anchored:
                shared = pl.col("ts").dt.date() == cut.date()
                window = seen.filter(shared)
                words = f"shown only the session so far, up to {minute_words(cut)} it says something else"
            else:
                shared = pl.col("ts") == cut
                window = seen.group_by("symbol", maintain_order=True).tail(self.strategy.warm_up)
                words = (
                    f"shown only {self.strategy.warm_up} bars, as many as it needs, it says something else"
                )
            if window.height < seen.height:
                expected, found = self._said(seen).filter(shared), self._said(window).filter(shared)
                yield _Question(expected, found, words, DECISION, WINDOW_TOLERANCE)

    def _early_close(self) -> Iterator[_Question]:
        days = EARLY_CLOSE if len(session_dates(self.bars)) > 1 else EARLY_CLOSE[1:]
        bars = moved(self.bars, days).drop("was")
        whole = self._said(bars)
        yield from self._prefixes(bars, whole, spread(cut_points(bars, whole, count=16), 32))

    def _daylight_saving(self) -> Iterator[_Question]:
        for around, plain in (SPRING, AUTUMN):
            names = f"{around[0]} to {around[-1]}"
            words = (
                f"at the same minutes of the sessions of {names} it decides otherwise than later that month"
            )
            one, other = self._decided(plain), self._decided(around)
            yield _Question(one, other, words, DECISION)

    def _decided(self, days: Sequence[date]) -> pl.DataFrame:
        """Give what is said of bars moved to other days, at the instants they were moved from."""
        bars = moved(self.bars, days)
        said = self._said(bars.select(list(RAW_SCHEMA)))
        back = said.join(bars.select(*KEYS, "was"), on=KEYS, how="left", maintain_order="left")
        return back.with_columns(ts=pl.col("was")).select(list(SIGNAL_SCHEMA)).sort(KEYS)

    # ---- other findings ----------------------------------------------------------------------

    def _spoke(self) -> Finding:
        if self.whole.is_empty():
            return Finding(Check.SCHEMA, Verdict.UNTRIED, "it said nothing of these bars")
        counts = self.whole.group_by("target").len().sort("target").rows()
        told = ", ".join(f"target {target:g} of {count:,} bars" for target, count in counts)
        return Finding(Check.SCHEMA, Verdict.HOLDS, f"{told}; no opinion of the others")

    def _warm_up(self) -> Finding:
        needed = self.strategy.warm_up
        if needed <= 1:
            return Finding(Check.WARM_UP, Verdict.HOLDS, "one bar is enough")
        first = session_dates(self.bars)[0]
        bars = (
            self.bars.filter(pl.col("ts").dt.date() == first) if self.strategy.session_anchored else self.bars
        )
        few = bars.group_by("symbol", maintain_order=True).head(needed - 1)
        try:
            said = self._said(few)
        except Broken as error:
            return Finding(Check.WARM_UP, Verdict.FAILS, str(error))
        if said.is_empty():
            return Finding(Check.WARM_UP, Verdict.HOLDS, f"silent before {needed} bars")
        nothing = pl.DataFrame(schema=SIGNAL_SCHEMA)
        words = f"it speaks before the {needed} bars it says it needs"
        return Finding(Check.WARM_UP, Verdict.FAILS, words, difference(nothing, said, columns=DECISION))

    def _poor(self) -> Finding:
        frames = poor_frames(self.bars)
        for words, frame in frames.items():
            try:
                self._said(frame)
            except Broken as error:
                return Finding(Check.NAN_AND_NULLS, Verdict.FAILS, f"{words}: {error}")
        return Finding(Check.NAN_AND_NULLS, Verdict.HOLDS, f"lawful answers to {len(frames)} poor frames")

    def _empty(self) -> Finding:
        try:
            said = self._said(pl.DataFrame(schema=RAW_SCHEMA))
        except Broken as error:
            return Finding(Check.EMPTY_FRAME, Verdict.FAILS, str(error))
        return Finding(Check.EMPTY_FRAME, Verdict.HOLDS, f"{said.height} signals of no bars")
