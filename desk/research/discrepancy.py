"""Hold a recorded day against its retelling, and say what each difference comes from.

A decision is equal when the intent (client order id, side, quantity, prices, words) and the verdict with all
its numbers are the same to the last byte. One that differs is tried with other inputs, and what gives the
recorded decision again is the cause; where nothing does, the record itself is doubted:

- altered bar: the close that a strategy saw, which is kept beside its signal, is no print's any more;
- missing bar: a strategy spoke of a bar that the warehouse does not have (either may be another symbol's,
  whose close the gate counted exposure by);
- revised data: the prints as they are known now give the decision, those known then do not;
- late bar: with the bars that came while the minute was decided, or without those that came with it;
- latency: with the bars of the minute before or after;
- not recorded: the account's numbers of an older ledger, what the broker says of a symbol, or which splits
  were known: with the warm-up in the shares after a night that jumps as by a split the decision comes out
  again; or with the session before alone, where the signals began as late as after that, because nobody
  told of splits;
- settings, code version: the session ran with others;
- unexplained: none of these.

Altered and missing bars and what is unexplained are troubles of the desk; the others are how markets and
programs are.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

import polars as pl

from desk.research.decision_words import differing, is_equal
from desk.research.doubts import Doubt, close_words, doubts_of
from desk.research.recording import Recording
from desk.research.redecision import Bars, Books, Outcome, Redecider, taped
from desk.research.retelling import Moment, at_place, moments_of, quiet_places
from desk.research.shares import Jump, overnight_jumps, split_like
from desk.research.witness import Broken, said_of
from desk.splits import adjusted, words_of
from desk.tape import Tape
from schemas.account import BrokerAccount
from schemas.bars import ACCEPTED_SCHEMA
from schemas.events import MinuteClosed, SessionStarted
from schemas.orders import Approval, Denial, Reason

MINUTE = timedelta(minutes=1)
NAMED_MAX = 3  # bars named for one decision; a window of thirty says no more
_SAID_OF = ("strategy", "symbol", "ts")
MARGIN = 4  # an account's multiplier where it was not recorded
# Reasons that rest on what the broker said of a symbol, which nobody keeps.
UNSEEN = frozenset({Reason.CORPORATE_ACTION, Reason.INELIGIBLE_SYMBOL, Reason.SHORT_NOT_ALLOWED})


class Cause(StrEnum):
    """What a difference comes from."""

    ALTERED = "altered bar"
    MISSING = "missing bar"
    REVISED = "revised data"
    LATE = "late bar"
    LATENCY = "latency"
    NOT_RECORDED = "not recorded"
    SETTINGS = "settings"
    CODE = "code version"
    FILL_MODEL = "fill model"
    UNEXPLAINED = "unexplained"


TROUBLES = frozenset({Cause.ALTERED, Cause.MISSING, Cause.UNEXPLAINED})


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that was recorded one way and is retold another."""

    minute: datetime
    order_id: str
    cause: Cause
    recorded: str
    retold: str
    why: str


@dataclass(frozen=True, slots=True)
class Retelling:
    """What came of it."""

    minutes: int
    decisions: int
    differences: tuple[Difference, ...]
    altered: tuple[str, ...]  # bars that are not what was seen, whether or not a decision hung on them

    @property
    def troubles(self) -> tuple[Difference, ...]:
        """Give the differences that somebody must look into."""
        return tuple(each for each in self.differences if each.cause in TROUBLES)


def retell(recording: Recording) -> Retelling:
    """Decide every minute of a recorded session again, and compare."""
    teller = _Teller(recording)
    moments = moments_of(recording.events, recording.hours.session_date)
    differences = tuple(found for moment in moments for found in teller.compared(moment))
    return Retelling(
        minutes=len(moments),
        decisions=sum(len(moment.decided) for moment in moments),
        differences=differences,
        altered=tuple(each.words for each in teller.doubts),
    )


class _Teller:
    """Goes through the minutes with the bars known by each."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.bars = recording.accepted()
        self._known = self.bars["known_at"].to_list()
        self._tape, self._shown = Tape(), 0
        self.decider = Redecider(
            settings=recording.settings,
            strategies=recording.strategies,
            hours=recording.hours,
            assets=recording.assets,
            books=Books(recording.events),
        )

    # ---- comparing ------------------------------------------------------------------------

    def compared(self, moment: Moment) -> Iterator[Difference]:
        """Give the differences of a minute, one for each decision."""
        wanted = Outcome(moment.decided, moment.left)
        first: tuple[Moment, Outcome] | None = None
        for tried in self._possible(moment):
            outcome = self.decider.outcome(
                tried, self._known_at(tried.at), account=self._account(tried), keeps=first is None
            )
            if is_equal(wanted, outcome, exact=_is_exact(moment)):
                return
            first = first or (tried, outcome)
        if first is None:
            if not moment.decided:
                return
            first = moment, Outcome()
        tried, outcome = first
        for order_id, was, now in differing(wanted, outcome, exact=_is_exact(moment)):
            cause, why = self._cause(tried, order_id, wanted, outcome)
            yield Difference(moment.minute, order_id, cause, was, now, why)

    def _possible(self, moment: Moment) -> Iterator[Moment]:
        """Give the minute with its instant, or with each that fits the record of a quiet one."""
        if moment.at is not None:
            yield moment
            return
        mine = self.bars.filter((pl.col("ts") == moment.minute) & (pl.col("known_at") <= moment.over_at))
        for at in mine["known_at"].unique().sort().to_list():
            for place in quiet_places(moment, at):
                yield at_place(moment, place, at)

    def _known_at(self, at: datetime | None) -> Bars:
        """Give the bars known at an instant; instants only go forward."""
        assert at is not None, "the caller says when"
        while self._shown < len(self._known) and self._known[self._shown] <= at:
            end, known_at = self._shown, self._known[self._shown]
            while end < len(self._known) and self._known[end] == known_at:
                end += 1
            chunk = self.bars.slice(self._shown, end - self._shown)
            ended = chunk.filter(pl.col("ts") + MINUTE <= known_at)  # no tape takes an unfinished bar
            self._tape.add(ended.select(*ACCEPTED_SCHEMA), known_at)
            self._shown = end
        return Bars(self._tape)

    # ---- the account ----------------------------------------------------------------------

    @cached_property
    def _equities(self) -> list[tuple[int, Decimal]]:
        """Give what the broker said of equity, by seq."""
        found = []
        for seq, event in self.recording.events:
            if isinstance(event, SessionStarted):
                found.append((seq, event.equity))
            elif isinstance(event, MinuteClosed) and event.broker_equity is not None:
                found.append((seq, event.broker_equity))
        return found

    def _account(self, moment: Moment, *, after: bool = False) -> BrokerAccount | None:
        """Give the recorded account, or one by the nearest record of its equity before (or after)."""
        if moment.sight is not None:
            return moment.sight.account
        earlier = [equity for seq, equity in self._equities if seq <= moment.before]
        later = [equity for seq, equity in self._equities if seq > moment.before]
        equity = (later if after else earlier[::-1] or later)[:1]
        if not equity:
            return None
        stated = (decision.verdict for decision in moment.decided)
        checks = [check for each in stated if isinstance(each, Approval) for check in each.checks]
        power = next((c.limit for c in checks if c.reason is Reason.BUYING_POWER), equity[0] * MARGIN)
        return BrokerAccount(
            equity=equity[0],
            last_equity=equity[0],
            cash=equity[0],
            buying_power=power,
            multiplier=MARGIN,
            accrued_fees=Decimal(0),
            trading_blocked=False,
            account_blocked=False,
            trade_suspended_by_user=False,
            shorting_enabled=True,
            status="ACTIVE",
        )

    # ---- causes ---------------------------------------------------------------------------

    def _cause(self, moment: Moment, order_id: str, wanted: Outcome, found: Outcome) -> tuple[Cause, str]:
        """Say what a difference comes from, and in words by what that is known."""
        symbol = _symbol(order_id)
        doubts = [each for each in self.doubts if each.symbol == symbol and each.ts <= moment.minute]
        if doubts:
            words = "; ".join(each.words for each in doubts[-NAMED_MAX:])
            return _doubted(doubts[-1]), words
        for cause, why, outcome in self._variants(moment):
            if is_equal(wanted, outcome, exact=_is_exact(moment)):
                return cause, why
        beside = self._beside(moment.minute)
        if beside and not _is_another_intent(order_id, wanted, found):
            return _doubted(beside[0]), f"{beside[0].words}, and {symbol} was judged beside it"
        if self._is_unseen(moment, order_id):
            return Cause.NOT_RECORDED, "rests on what the broker said of the symbol, which is not kept"
        if self.recording.settings_differ:
            return Cause.SETTINGS, self.recording.settings_differ
        if self.recording.code_differs:
            return Cause.CODE, self.recording.code_differs
        return Cause.UNEXPLAINED, "no other input known gives the recorded decision"

    def _variants(self, moment: Moment) -> Iterator[tuple[Cause, str, Outcome]]:
        """Give what the minute would have decided by other inputs."""
        assert moment.at is not None, "it was decided at some instant"
        ts, known = pl.col("ts"), pl.col("known_at")
        account = self._account(moment)
        past = self.bars.filter(ts <= moment.minute)
        revised = past.filter((known > moment.at) & (ts <= moment.minute))
        if revised.height > 0:
            yield Cause.REVISED, _bars_in_words(revised, "known since"), self._with(moment, past, account)
        came = past.filter((known > moment.at) & (known <= moment.over_at))
        if came.height > 0:
            shown = past.filter(known <= moment.over_at)
            yield Cause.LATE, _bars_in_words(came, "known while deciding"), self._with(moment, shown, account)
        with_it = (known == moment.at) & (ts < moment.minute)
        late = past.filter(with_it)
        if late.height > 0:
            shown = past.filter((known <= moment.at) & ~with_it)
            yield Cause.LATE, _bars_in_words(late, "known with it"), self._with(moment, shown, account)
        if moment.decided:
            for shift, words in ((-MINUTE, "before"), (MINUTE, "after")):
                shown = self.bars.filter(ts <= moment.minute + shift)
                outcome = self._with(moment, shown, account, bar_ts=moment.minute + shift)
                yield Cause.LATENCY, f"decided on the bars of the minute {words}", outcome
        yield from self._by_splits(moment, past.filter(known <= moment.at), account)
        if moment.sight is None:
            why = "the account's numbers were not recorded; another record of its equity gives it"
            shown = past.filter(known <= moment.at)
            yield Cause.NOT_RECORDED, why, self._with(moment, shown, self._account(moment, after=True))

    def _by_splits(
        self, moment: Moment, shown: pl.DataFrame, account: BrokerAccount | None
    ) -> Iterator[tuple[Cause, str, Outcome]]:
        """Give what the minute would have decided by other knowledge of splits."""
        if self._jumps:
            named = "; ".join(
                f"{each.symbol} {words_of(split_like(each))}" for each in self._jumps[-NAMED_MAX:]
            )
            outcome = self._with(moment, adjusted(shown, [split_like(each) for each in self._jumps]), account)
            yield Cause.NOT_RECORDED, f"the warm-up was shown in new shares, by its prices: {named}", outcome
        if self._is_cut:
            why = "the signals began as late as after the session before alone: nobody told of splits"
            yield Cause.NOT_RECORDED, why, self._with(moment, shown.filter(self._in_cut), account)

    @property
    def _in_cut(self) -> pl.Expr:
        """Give which bars a warm-up has that is cut to the session before."""
        return pl.col("ts") >= self.recording.warm_up[-1].opens_at

    @cached_property
    def _is_cut(self) -> bool:
        """Tell whether the recorded signals show that the warm-up was cut to the session before.

        They do where none is of a bar that it leaves without one, and some such bars were known in time.
        """
        if len(self.recording.warm_up) < 2:
            return False
        said = set(self.recording.said.select(*_SAID_OF).iter_rows())
        ended = {
            event.bar_ts: event.at for _, event in self.recording.events if isinstance(event, MinuteClosed)
        }
        in_time = {
            (symbol, ts)
            for symbol, ts, known_at in self.bars.select("symbol", "ts", "known_at").iter_rows()
            if ts in ended and known_at <= ended[ts]
        }
        late = self._spoken(self.bars.filter(self._in_cut))
        missed = {each for each in self._spoken(self.bars) - late if each[1:] in in_time}
        return bool(said) and said <= late and bool(missed)

    def _spoken(self, bars: pl.DataFrame) -> set[tuple[str, str, datetime]]:
        """Give of which bars of the session the strategies speak: (strategy, symbol, ts)."""
        frame, opens_at = taped(bars).frame(), self.recording.hours.opens_at
        found: set[tuple[str, str, datetime]] = set()
        for strategy in self.recording.strategies:
            with suppress(Broken):
                said = said_of(strategy, frame.filter(pl.col("symbol").is_in(list(strategy.symbols))))
                found.update(said.filter(pl.col("ts") >= opens_at).select(*_SAID_OF).iter_rows())
        return found

    @cached_property
    def _jumps(self) -> tuple[Jump, ...]:
        """Give the nights between the bars that look like a split."""
        return overnight_jumps(taped(self.bars).frame())

    def _with(
        self,
        moment: Moment,
        bars: pl.DataFrame,
        account: BrokerAccount | None,
        bar_ts: datetime | None = None,
    ) -> Outcome:
        return self.decider.outcome(moment, Bars(taped(bars)), account=account, bar_ts=bar_ts)

    def _is_unseen(self, moment: Moment, order_id: str) -> bool:
        verdicts = [each.verdict for each in moment.decided if each.order_id == order_id]
        return any(isinstance(each, Denial) and each.reason in UNSEEN for each in verdicts)

    def _beside(self, minute: datetime) -> list[Doubt]:
        """Give the doubted bars that were the newest of their symbols: the gate counts exposure by them."""
        past = self.bars.filter(pl.col("ts") <= minute)
        newest = dict(past.group_by("symbol").agg(pl.col("ts").max()).iter_rows())
        return [each for each in self.doubts if newest.get(each.symbol, each.ts) <= each.ts <= minute]

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """Give the bars whose recorded close is no print's, by time."""
        return doubts_of(self.recording.said, self.bars, self.recording.strategies)


def _is_exact(moment: Moment) -> bool:
    """Tell whether the numbers of a minute's verdicts can be the same: what they rest on was recorded."""
    return moment.sight is not None


def _doubted(bar: Doubt) -> Cause:
    return Cause.MISSING if bar.is_missing else Cause.ALTERED


def _is_another_intent(order_id: str, one: Outcome, other: Outcome) -> bool:
    """Tell whether both have an order and want different things of it; what the gate says does not count."""
    mine, theirs = (
        {each.order_id: each.intent for each in outcome.decided}.get(order_id) for outcome in (one, other)
    )
    return mine is not None and theirs is not None and mine != theirs


def _symbol(order_id: str) -> str:
    """Give the symbol of an order: `mqd-<strategy>-<yyyymmdd>-<symbol>-<hhmm>-<attempt>`."""
    return order_id.split("-")[-3]


def _bars_in_words(bars: pl.DataFrame, how: str) -> str:
    newest = bars.sort("ts", "symbol", "known_at").tail(NAMED_MAX)
    return "; ".join(
        f"{symbol} {ts:%H:%M} UTC close {close_words(close)}, {how} {known_at:%H:%M:%S}"
        for symbol, ts, close, known_at in newest.select("symbol", "ts", "close", "known_at").iter_rows()
    )
