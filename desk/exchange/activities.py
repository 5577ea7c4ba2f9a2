"""The account's activities over HTTP: fills, fees and splits, filtered and paged (ALPACA.md section 2.1).

Activities are lists that only grow at their ends, so a page is found by searching their instants, not by
reading them all: the hundred-thousandth fill is answered as quickly as the first. No two activities of an
account have the same instant. A page token is the id of the last activity given; the id begins with its
New York time, which is where the search starts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from heapq import merge
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query
from desk.exchange.books import FeeCharge
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.orders import Execution, SplitDone, Status, fixed_id
from desk.exchange.refusals import BAD_REQUEST, Refusal
from desk.exchange.wire import Json, amount, instant
from desk.hours import from_new_york, new_york

PAGE_MAX = 100
FILL, FEE, SPLIT = "FILL", "FEE", "SPLIT"
GROUPS = {"TRANS": ("CSD", "CSW"), "MISC": (FEE, SPLIT)}  # the words that stand for several kinds
# What the service knows; an account here has fills, fees and splits, and none of the others.
KINDS = frozenset({
    "FILL", "TRANS", "MISC", "ACATC", "ACATS", "CFEE", "CGD", "CSD", "CSW", "DIV", "DIVCGL", "DIVCGS",
    "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "FEE", "INT", "INTNRA", "INTTW", "JNL", "JNLC",
    "JNLS", "MA", "NC", "OPASN", "OPCA", "OPCSH", "OPEXC", "OPEXP", "OPTRD", "PTC", "PTR", "REO", "REORG",
    "SPIN", "SPLIT", "FOPT", "OCT", "OPXRC",
})  # fmt: skip
CATEGORIES = ("trade_activity", "non_trade_activity")

Activity = Execution | FeeCharge | SplitDone


@dataclass(frozen=True, slots=True)
class Span:
    """Instants in (after, before)."""

    after: datetime
    before: datetime

    def of(self, rows: Sequence[Activity]) -> tuple[int, int]:
        """Give the places of the rows within."""
        return bisect_right(rows, self.after, key=_at), bisect_left(rows, self.before, key=_at)


class ActivitiesApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes under /v2/account/activities."""
        return self._door.routes(
            ("GET", "/v2/account/activities", self.activities),
            ("GET", "/v2/account/activities/{kind}", self.activities),
        )

    async def activities(self, request: Request) -> Response:
        """Answer one page."""
        wanted = request.query_params
        kinds = _kinds(request)
        newest_first = query.choice(wanted, "direction", ("desc", "asc")) == "desc"
        size = query.integer(wanted, "page_size", default=PAGE_MAX, most=PAGE_MAX)
        of_order = wanted.get("order_id")
        rows = self._rows(kinds, self._span(request, newest_first=newest_first), newest_first=newest_first)
        if of_order:
            rows = (row for row in rows if isinstance(row, Execution) and row.order_id == of_order)
        return reply([write(row) for row in islice(rows, size)])

    def _rows(self, kinds: frozenset[str], span: Span, *, newest_first: bool) -> Iterator[Activity]:
        """Give the activities of some kinds within a span, in order, none more than is read."""
        sources = (rows for kind, rows in self._sources() if kind in kinds)
        slices = [_slice(rows, span, newest_first=newest_first) for rows in sources]
        return merge(*slices, key=_at, reverse=newest_first)

    def _sources(self) -> tuple[tuple[str, Sequence[Activity]], ...]:
        """Give what there is of each kind, oldest first; a split counts where something was held."""
        books = self._floor.books
        splits = [split for split in self._floor.splits if split.before != 0]
        return (FILL, books.executions), (FEE, books.charges), (SPLIT, splits)

    def _span(self, request: Request, *, newest_first: bool) -> Span:
        """Read the bounds: after and until, a date, and the page before."""
        wanted = request.query_params
        lowest, highest = (
            datetime.min.replace(tzinfo=self._floor.now.tzinfo),
            self._floor.now + timedelta(days=1),
        )
        after = query.moment(wanted, "after") or lowest
        before = query.moment(wanted, "until") or highest
        on = query.day(wanted, "date")
        if on is not None:
            after = max(after, from_new_york(on, time(0)) - timedelta(microseconds=1))
            before = min(before, from_new_york(on + timedelta(days=1), time(0)))
        token = wanted.get("page_token")
        if token:
            at = self._named(token)
            after, before = (after, min(before, at)) if newest_first else (max(after, at), before)
        return Span(after, before)

    def _named(self, token: str) -> datetime:
        """Give the instant of the activity a page token names.

        Raises:
            Refusal: 422, it names none of ours.
        """
        refusal = Refusal(422, BAD_REQUEST, f"invalid page_token: {token}")
        try:
            day = date.fromisoformat(token[:8])
            clock = time.fromisoformat(token[8:14])
            millisecond = timedelta(milliseconds=int(token[14:17]))
        except ValueError as error:
            raise refusal from error
        at = from_new_york(day, clock) + millisecond
        # An hour that daylight saving repeats is written twice.
        for start in (at, at + timedelta(hours=1)):
            span = Span(start - timedelta(microseconds=1), start + timedelta(milliseconds=1))
            for _, rows in self._sources():
                for row in _slice(rows, span, newest_first=False):
                    if activity_id(row) == token:
                        return row.at
        raise refusal


def write(row: Activity) -> Json:
    """Write an activity."""
    match row:
        case Execution():
            return _fill(row)
        case FeeCharge():
            return _fee(row)
        case SplitDone():
            return _split(row)


def activity_id(row: Activity) -> str:
    """Give an activity's id: New York's local time to the millisecond, then the thing's own id."""
    match row:
        case Execution():
            name = row.execution_id
        case FeeCharge():
            name = row.activity_id
        case SplitDone():
            name = split_id(row)
    local = new_york(row.at)
    return f"{local.strftime('%Y%m%d%H%M%S')}{local.microsecond // 1000:03d}::{name}"


def _fill(done: Execution) -> Json:
    """Write an execution as a FILL activity."""
    return {
        "activity_type": FILL,
        "id": activity_id(done),
        "type": "fill" if done.order_status is Status.FILLED else "partial_fill",
        "price": amount(done.price),
        "qty": amount(done.qty),
        "cum_qty": amount(done.cum_qty),
        "leaves_qty": amount(done.leaves_qty),
        "side": str(done.side),
        "symbol": done.symbol,
        "order_id": done.order_id,
        "order_status": str(done.order_status),
        "transaction_time": instant(done.at),
    }


def _fee(charge: FeeCharge) -> Json:
    """Write a session's fees as a FEE activity."""
    return {
        "activity_type": FEE,
        "id": activity_id(charge),
        "date": charge.session_date.isoformat(),
        "created_at": instant(charge.at),
        "net_amount": amount(-charge.amount),
        "description": f"SEC and TAF fees of {charge.session_date.isoformat()}",
        "status": "executed",
    }


def _split(done: SplitDone) -> Json:
    """Write a split as a SPLIT activity: what it added to the position, or took from it."""
    return {
        "activity_type": SPLIT,
        "id": activity_id(done),
        "date": new_york(done.at).date().isoformat(),
        "created_at": instant(done.at),
        "net_amount": "0",
        "symbol": done.symbol,
        "qty": amount(done.after - done.before),
        "description": f"{amount(done.new)} for {amount(done.old)} split of {done.symbol}",
        "status": "executed",
    }


def split_id(done: SplitDone) -> str:
    """Give a split's id."""
    return fixed_id(f"split:{done.symbol}:{done.at.isoformat()}")


def _kinds(request: Request) -> frozenset[str]:
    """Read which activities are asked for, by path, by list or by category.

    Raises:
        Refusal: 422, a kind the service does not know, or a list and a category at once.
    """
    wanted = request.query_params
    named = request.path_params.get("kind")
    words = (str(named),) if named is not None else query.words(wanted, "activity_types")
    kinds = [word.strip().upper() for word in words]
    for kind in kinds:
        if kind not in KINDS:
            raise Refusal(422, BAD_REQUEST, f"invalid activity type: {kind}")
    category = wanted.get("category")
    if kinds and category:
        raise Refusal(422, BAD_REQUEST, "category cannot be used with activity_types")
    if category:
        trades = query.choice(wanted, "category", CATEGORIES) == CATEGORIES[0]
        return frozenset({FILL}) if trades else KINDS - {FILL}
    if not kinds:
        return KINDS
    return frozenset(one for kind in kinds for one in GROUPS.get(kind, (kind,)))


def _slice(rows: Sequence[Activity], span: Span, *, newest_first: bool) -> Iterator[Activity]:
    """Give a list's rows within a span, one by one."""
    first, last = span.of(rows)
    places = range(last - 1, first - 1, -1) if newest_first else range(first, last)
    return (rows[place] for place in places)


def _at(row: Activity) -> datetime:
    """Give an activity's instant."""
    return row.at
