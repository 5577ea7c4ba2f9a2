"""A recorded day, told again: the inputs as they were known then, through the code that decides.

Theory of operation. The ledger says when each minute of a session was over (`MinuteClosed`), what was
intended in it and what became of each intent. The warehouse says when each print of a bar was known. So for
every minute the books are folded up to the event before its decision, the strategies are shown the bars known
by its instant, and sizer and gate are asked again. The books are the recorded ones in every minute, so that
one difference does not lead to others.

What the decision looked at besides is in `MinuteClosed.sight`: the account's numbers, the requests, doubted
and halted symbols, prices of other sources. In an older ledger the nearest record stands for it. Nobody keeps
what the broker says of a symbol and which splits it knows: symbols are taken for ordinary, without splits.

A minute in which nothing was intended has no recorded instant; where an event of another kind happened at the
same moment, its books may be those before or after it, and what decides nothing in either is equal.

Left out: what is not decided by levels: close-out, protective exits, flattening and the kill switch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from desk.cycle import LEVEL_LEFT
from desk.portfolio import EXTERNAL
from schemas.events import (
    AnyEvent,
    CancelRequested,
    IntentDenied,
    MinuteClosed,
    OrderPlanned,
    SessionEnded,
    SessionStarted,
    Sight,
    StrategyStopped,
)
from schemas.orders import Approval, Denial, OrderIntent


@dataclass(frozen=True, slots=True)
class Decision:
    """An intent and the gate's word on it."""

    intent: OrderIntent
    verdict: Approval | Denial

    @property
    def order_id(self) -> str:
        """Give the client order id."""
        return self.intent.client_order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A minute's decision as the ledger has it."""

    minute: datetime  # left edge
    run: int  # of the day's session processes, from 1
    decided: tuple[Decision, ...]
    left: tuple[str, ...]  # client order ids of entries canceled because their level was left
    at: datetime | None  # when; None: nothing was intended
    over_at: datetime  # when the minute was over
    sized_at: int  # the sizer saw the books after this seq ...
    judged_at: int  # ... and the gate those after this one
    before: int  # the newest seq of the minute before
    places: tuple[tuple[int, datetime], ...]  # seq and instant of the minute's own events
    sight: Sight | None
    stopped: frozenset[str]  # strategies that had raised


@dataclass(slots=True)
class _Open:
    """A minute as it is read."""

    first: int  # the newest seq before it
    decided: list[tuple[int, Decision]] = field(default_factory=list)
    left: list[tuple[int, str]] = field(default_factory=list)
    left_at: datetime | None = None
    places: list[tuple[int, datetime]] = field(default_factory=list)


def moments_of(events: Iterable[tuple[int, AnyEvent]], session_date: date) -> tuple[Moment, ...]:
    """Give the minutes of a session that were decided, in order.

    Args:
        events: the ledger with its seqs.
        session_date: whose.
    """
    return tuple(_moments(events, session_date))


def _moments(events: Iterable[tuple[int, AnyEvent]], session_date: date) -> Iterator[Moment]:
    run, is_on, stopped, minute = 0, False, frozenset[str](), _Open(0)
    for seq, event in events:
        match event:
            case SessionStarted() if event.session_date == session_date:
                yield from _unclosed(minute, run, stopped)
                run, is_on, stopped, minute = run + 1, True, frozenset(), _Open(seq)
                continue
            case SessionStarted():
                is_on = False
            case _ if not is_on:
                continue
            case SessionEnded():
                yield from _unclosed(minute, run, stopped)
                is_on, minute = False, _Open(seq)
            case MinuteClosed():
                yield _closed(minute, event, run, stopped)
                minute = _Open(seq)
                continue
            case StrategyStopped():
                stopped |= {event.strategy}
            case OrderPlanned() if _is_of_level(event.intent):
                minute.decided.append((seq, Decision(event.intent, event.approval)))
            case IntentDenied() if _is_of_level(event.intent):
                minute.decided.append((seq, Decision(event.intent, event.denial)))
            case CancelRequested() if event.cause == LEVEL_LEFT:
                minute.left.append((seq, event.client_order_id))
                minute.left_at = event.at
        minute.places.append((seq, event.at))
    yield from _unclosed(minute, run, stopped)


def _is_of_level(intent: OrderIntent) -> bool:
    """Tell whether the sizer made it of a level: what leaves otherwise counts its attempts from 1."""
    return intent.attempt == 0 and not intent.protects and intent.strategy != EXTERNAL


def _closed(minute: _Open, closed: MinuteClosed, run: int, stopped: frozenset[str]) -> Moment:
    return _moment(minute, closed.bar_ts, run, stopped, over_at=closed.at, sight=closed.sight)


def _unclosed(minute: _Open, run: int, stopped: frozenset[str]) -> Iterator[Moment]:
    """Give a minute whose process died after it had decided."""
    if minute.decided:
        _, last = minute.decided[-1]
        over_at = last.verdict.judged_at
        yield _moment(minute, last.intent.bar_ts, run, stopped, over_at=over_at, sight=None)


def _moment(
    minute: _Open,
    bar_ts: datetime,
    run: int,
    stopped: frozenset[str],
    *,
    over_at: datetime,
    sight: Sight | None,
) -> Moment:
    judged_at = minute.first
    if sight is not None:
        judged_at = sight.seq
    elif minute.decided:
        judged_at = minute.decided[0][0] - 1
    at = minute.decided[0][1].verdict.judged_at if minute.decided else minute.left_at
    return Moment(
        minute=bar_ts,
        run=run,
        decided=tuple(decision for _, decision in minute.decided),
        left=tuple(order_id for _, order_id in minute.left),
        at=at if sight is None else sight.at,
        over_at=over_at,
        sized_at=minute.left[0][0] - 1 if minute.left else judged_at,
        judged_at=judged_at,
        before=minute.first,
        places=tuple(minute.places),
        sight=sight,
        stopped=stopped,
    )


def quiet_places(moment: Moment, at: datetime) -> tuple[int, ...]:
    """Give the seqs the books of a quiet minute may have stood at by an instant, ascending.

    What happened before the instant was known; what happened at it may have been.
    """
    known = max((seq for seq, happened_at in moment.places if happened_at < at), default=moment.before)
    return known, *(seq for seq, happened_at in moment.places if happened_at == at)


def at_place(moment: Moment, seq: int, at: datetime) -> Moment:
    """Give a quiet minute as if it had been decided at a place."""
    return replace(moment, at=at, sized_at=seq, judged_at=seq)
