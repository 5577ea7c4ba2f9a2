"""The auditor: a second bookkeeper that knows nothing of the desk's code.

It is told, in plain words and numbers as text, every row of the ledger when it is durable and every event
of the venue when it happens, and keeps books of its own in exact fractions. After each it checks what must
never break (I1 to I15) as far as that happening could have broken it, so a check costs the same at the end
of a long day as at its start. What does not hold is raised at once as `Broken`, a BaseException: no handler
in the code under audit can swallow it.

It imports nothing of ours but its own parts, the modules named `audit_`; a test holds it to that.
"""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from desk.simulation.audit_books import (
    ENDED,
    AtVenue,
    Audit,
    Broken,
    Known,
    Row,
    Rules,
    plain,
    signed,
    words_of,
)
from desk.simulation.audit_intents import Book, check_exit, check_form, check_judged, check_limits
from desk.simulation.audit_level import Sides, check_end, check_fill, check_level


class Auditor:
    """Listens to ledger and venue and holds each against the other."""

    def __init__(self, *, opening_cash: str, rules: Rules) -> None:
        """Begin with an account nobody traded on.

        Args:
            opening_cash: USD at the venue.
            rules: the limits to hold orders against.
        """
        self.rules = rules
        self.limits = {name: Fraction(value) for name, value in rules.limits.items()}
        self.checked: dict[str, int] = {}
        self.closes: dict[str, str] = {}  # by session date, UTC
        # the venue's side
        self.venue = Audit(cash=Fraction(opening_cash))
        self.venue_orders: dict[str, AtVenue] = {}  # by order id
        self.by_client: dict[str, AtVenue] = {}
        self.fills: dict[str, Mapping[str, str]] = {}  # by execution id
        self.by_hand: set[str] = set()  # order ids of a person
        self.touched: set[str] = set()  # symbols a person traded
        self.unseen: set[str] = set()  # of these, those the desk has not found out about yet
        # the ledger's side
        self.orders: dict[str, Known] = {}
        self.cash: Fraction | None = None
        self.positions: dict[tuple[str, str], Fraction] = {}
        self.booked: set[str] = set()
        self.cumulative: set[tuple[str, Fraction]] = set()
        self.before_opening: set[str] = set()  # executions that are part of the opening balance
        self.latches: dict[str, Row] = {}
        self.breaks: dict[str, Row] = {}
        self.accepted: set[str] = set()
        self.tolerated: set[str] = set()  # order ids of others that a person accepted
        self.orders_today = 0
        self.session_date = ""
        self.entered: set[tuple[str, str, str]] = set()
        self.prices: dict[str, Fraction] = {}
        self.loss_due: Row | None = None
        self.result = Fraction(0)  # of the newest minute
        self.result_base = Fraction(0)  # where the day's loss is measured from: a release moves it (R3)
        self.started = False  # whether the process that writes now has begun its session
        self.killing = False  # whether it is the kill switch's own
        self.lagging = False  # whether the broker's lists may be behind now

    # ---- what the harness tells ------------------------------------------------------------

    def price(self, symbol: str, close: str) -> None:
        """Learn the newest price the desk accepted."""
        self.prices[symbol] = Fraction(close)

    def hand(self, order_id: str, symbol: str) -> None:
        """Learn that an order is a person's."""
        self.by_hand.add(order_id)
        self.touched.add(symbol)
        self.unseen.add(symbol)

    def process_started(self, *, killing: bool = False) -> None:
        """Learn that another process writes from now on."""
        self.started = False
        self.killing = killing
        self.loss_due = None  # it died between the minute and its latch, and values the minute again

    def sends(self, client_order_id: str, *, holds_lease: bool) -> None:
        """A process is about to ask the broker for something (I1, I12)."""
        self._check("I12")
        if not holds_lease:
            raise Broken("I12", f"{client_order_id} is sent by a process that lost the lease")
        self._check("I1")
        if client_order_id and client_order_id not in self.orders:
            raise Broken("I1", f"{client_order_id} is sent and is not in the ledger")
        self._check("I14")
        known = self.orders.get(client_order_id)
        if known is not None and "kill" in self.latches and known.intent["purpose"] == "entry":
            raise Broken("I14", f"entry {client_order_id} is sent after the kill switch")

    def replayed(self, running: str, fresh: str) -> None:
        """Hold the hash of the state that ran against that of a replay (I8)."""
        self._check("I8")
        if running != fresh:
            raise Broken("I8", f"the replayed state is {fresh[:12]}, the running one was {running[:12]}")

    def saw(self, *, symbol: str, ts: str, is_public: bool, is_sound: bool) -> None:
        """A strategy was shown a bar (I10)."""
        self._check("I10")
        if not is_public:
            raise Broken("I10", f"a strategy saw {symbol} of {ts} before it was delivered")
        if not is_sound:
            raise Broken("I10", f"a strategy saw {symbol} of {ts}, which no contract accepts")

    def rows_kept(self, written: str, now: str) -> None:
        """The ledger's old rows are as they were (I13)."""
        self._check("I13")
        if written != now:
            raise Broken("I13", "a row of the ledger was changed or removed")

    def books(self, *, cash: str, positions: Mapping[str, str], latches: Iterable[str]) -> None:
        """Hold what the running process believes against the ledger's rows (I3, I7)."""
        self._check("I3")
        if Fraction(cash) != (self.cash if self.cash is not None else 0):
            raise Broken("I3", f"the process has cash {cash}, the ledger {plain(self.cash)}")
        mine = self.held()
        theirs = {symbol: Fraction(qty) for symbol, qty in positions.items() if Fraction(qty) != 0}
        if mine != theirs:
            raise Broken("I3", f"the process holds {words_of(theirs)}, the ledger {words_of(mine)}")
        self._check("I7")
        if set(latches) != set(self.latches):
            raise Broken(
                "I7", f"the process has latches {sorted(latches)}, the ledger {sorted(self.latches)}"
            )

    def held(self) -> dict[str, Fraction]:
        """Give the positions the ledger's rows make, by symbol, flat ones left out."""
        found: dict[str, Fraction] = {}
        for (_, symbol), qty in self.positions.items():
            found[symbol] = found.get(symbol, Fraction(0)) + qty
        return {symbol: qty for symbol, qty in found.items() if qty != 0}

    # ---- the venue -------------------------------------------------------------------------

    def venue_event(self, event: Mapping[str, Any]) -> None:
        """Take one event of the venue: event, order_id, client_order_id, symbol, side, status, execution.

        An order is new to the auditor at its first event, and that is the moment it reached the broker.
        """
        order_id = event["order_id"]
        known = self.venue_orders.get(order_id)
        if known is None:
            known = self._arrived(event)
        known.status = event["status"]
        execution = event["execution"]
        if execution is not None:
            self._executed(known, execution)

    def _arrived(self, event: Mapping[str, Any]) -> AtVenue:
        client_order_id, order_id = event["client_order_id"], event["order_id"]
        parent = event.get("parent", "")
        found = AtVenue(order_id, client_order_id, event["symbol"], event["side"], event["status"], parent)
        self._check("I2")
        if client_order_id in self.by_client:
            raise Broken("I2", f"the venue has two orders under {client_order_id}")
        self.venue_orders[order_id] = self.by_client[client_order_id] = found
        if event["source"] == "manual" or order_id in self.by_hand:
            self.hand(order_id, event["symbol"])
            return found
        planned = self.orders.get(parent or client_order_id)
        self._check("I1")
        if planned is None:
            raise Broken("I1", f"{client_order_id} is at the venue and not in the ledger")
        if planned.state in ENDED - {"rejected"} and not parent:
            raise Broken("I4", f"{client_order_id} arrives at the venue after the ledger ended it")
        self._check("I15")
        if not parent:
            for name, here in (("qty", event["qty"]), ("limit_price", event["limit_price"])):
                meant = planned.intent.get(name)
                if meant is not None and here is not None and Fraction(meant) != Fraction(here):
                    raise Broken("I15", f"{client_order_id}: {name} {meant} was planned, {here} arrived")
        return found

    def _executed(self, order: AtVenue, execution: Mapping[str, str]) -> None:
        symbol = order.symbol
        before = self.venue.positions.get(symbol, Fraction(0))
        self.venue.take(execution)
        self.fills[execution["execution_id"]] = {**execution, "client_order_id": order.client_order_id}
        after = self.venue.positions[symbol]
        planned = self.orders.get(order.parent or order.client_order_id)
        if planned is None or symbol in self.touched:
            return
        is_exit = order.parent != "" or planned.intent["purpose"] == "exit"
        self._check("I2")
        if is_exit and (abs(after) > abs(before) or before * after < 0):
            raise Broken(
                "I2", f"{order.client_order_id} is an exit and moved {symbol} from {before} to {after}"
            )

    # ---- the ledger ------------------------------------------------------------------------

    def ledger_row(self, row: Row, *, operator: bool = False) -> None:
        """Take one durable row; `operator` says that a person's command wrote it."""
        handler = _HANDLERS.get(row["kind"])
        if handler is not None:
            handler(self, row, operator)

    def _opened(self, row: Row, _: bool) -> None:
        self.cash = Fraction(row["cash"])
        self.before_opening = set(self.venue.executions)

    def _session(self, row: Row, _: bool) -> None:
        """Books and open orders equal the venue's where no break says otherwise (I9)."""
        self.started = True
        if row["session_date"] != self.session_date:
            self.session_date = row["session_date"]
            self.orders_today = 0
            self.loss_due = None
            self.result = self.result_base = Fraction(0)
        self.level("I9")

    def level(self, invariant: str) -> None:
        """Hold the ledger's positions and open orders against the venue's; breaks explain differences."""
        self._check(invariant)
        if self.lagging:
            return
        check_level(
            invariant,
            Sides(
                held=self.held(),
                orders=self.orders,
                held_there=self.venue.open_positions(),
                orders_there=self.venue_orders,
            ),
            doubted={item["key"] for item in self.breaks.values()} | self.tolerated,
        )

    def _planned(self, row: Row, _: bool) -> None:
        intent, approval = row["intent"], row["approval"]
        client_order_id = intent["client_order_id"]
        self._check("I2")
        if client_order_id in self.orders:
            raise Broken("I2", f"{client_order_id} is planned twice")
        self._check("I9")
        if not self.started and not self.killing:
            raise Broken("I9", f"{client_order_id} is planned before start-up was done")
        self._check("I5")
        if approval["client_order_id"] != client_order_id or not approval["checks"]:
            raise Broken("I5", f"{client_order_id} is planned without an approval of its own")
        check_judged(client_order_id, approval["checks"], self.limits)
        self._check("I15")
        check_form(intent, self.rules)
        self.orders_today += 1
        book = Book(
            held=self.held(),
            working=tuple(known for known in self.orders.values() if known.works),
            prices=self.prices,
            orders_today=self.orders_today,
        )
        if intent["purpose"] == "entry":
            self._entry(intent)
            self._check("I6")
            check_limits(intent, book, self.limits)
        else:
            check_exit(intent, book)
            self._known_right(intent)
        self.orders[client_order_id] = Known(intent)

    def _known_right(self, intent: Row) -> None:
        """No exit leaves a position that the desk itself found to be another, and nobody booked yet (I9)."""
        symbol = intent["symbol"]
        if symbol not in self.touched or symbol in self.unseen or self.lagging:
            return
        self._check("I9")
        ours, theirs = self.held().get(symbol, Fraction(0)), self.venue.positions.get(symbol, Fraction(0))
        for execution_id, made in self.fills.items():
            is_booked = execution_id in self.booked or execution_id in self.before_opening
            planned = self.orders.get(made["client_order_id"])
            if made["symbol"] == symbol and not is_booked and planned is not None:
                theirs -= signed(made["side"], Fraction(made["qty"]))  # on its way to the ledger
        if ours != theirs:
            raise Broken(
                "I9",
                f"exit {intent['client_order_id']} leaves {plain(ours)} {symbol}; the desk found out that "
                f"the venue has {plain(theirs)}, and has not booked it",
            )

    def _entry(self, intent: Row) -> None:
        client_order_id, symbol = intent["client_order_id"], intent["symbol"]
        self._check("I7")
        losses = sorted(set(self.latches) - {"kill"})  # a person's latch may come between verdict and row
        if losses:
            raise Broken("I7", f"entry {client_order_id} is planned under the latch {losses[0]}")
        same = (intent["strategy"], symbol, intent["bar_ts"])
        if same in self.entered:
            raise Broken("I2", f"entry {client_order_id} is the second for its bar")
        self.entered.add(same)
        if any(item["key"] == symbol for item in self.breaks.values()):
            raise Broken("I9", f"entry {client_order_id} is planned in a symbol with an open break")
        self._check("I4")
        for known in self.orders.values():
            if known.state == "unknown" and known.intent["symbol"] == symbol:
                raise Broken("I4", f"entry {client_order_id} is planned while an answer is awaited")

    def _ended(self, state: str) -> Callable[[Row], None]:
        def end(row: Row) -> None:
            known = self._order(row)
            self._check("I4")
            name = row["client_order_id"]
            check_end(row, self.by_client.get(name), state, is_accepted=self._accepted_shadow(name))
            known.state = state

        return end

    def _accepted_shadow(self, client_order_id: str) -> bool:
        """Tell whether a person accepted that the venue lacks the order."""
        return any(item.startswith("shadow_order") and client_order_id[:24] in item for item in self.accepted)

    def _order(self, row: Row) -> Known:
        known = self.orders.get(row["client_order_id"])
        if known is None:
            raise Broken("I1", f"{row['kind']} of {row['client_order_id']}, which was never planned")
        return known

    def _acknowledged(self, row: Row, _: bool) -> None:
        known = self._order(row)
        if row["client_order_id"] not in self.by_client:
            raise Broken("I4", f"{row['client_order_id']} is acknowledged and the venue does not have it")
        if known.state in ("pending", "unknown", "rejected"):
            known.state = "submitted"

    def _lost(self, row: Row, _: bool) -> None:
        self._order(row).state = "unknown"

    def _never_arrived(self, row: Row, _: bool) -> None:
        closes = self.closes.get(self._order(row).intent["session_date"], "")
        if row["at"][:19] < closes[:19]:
            raise Broken("I4", f"{row['client_order_id']} is given up while its session is open")
        self._ended("never_arrived")(row)

    def _filled(self, row: Row, _: bool) -> None:
        """A booked execution is one the venue made, with its numbers (I3)."""
        fill = row["fill"]
        execution_id = fill["execution_id"]
        cumulative = (fill["broker_order_id"], Fraction(fill["cum_qty"])) if fill["cum_qty"] else None
        if execution_id in self.booked or (cumulative is not None and cumulative in self.cumulative):
            return
        self._check("I3")
        check_fill(fill, self.fills.get(execution_id))
        if execution_id in self.before_opening:
            raise Broken("I3", f"execution {execution_id} is part of the opening balance")
        self.booked.add(execution_id)
        if cumulative is not None:
            self.cumulative.add(cumulative)
        self._book(fill)

    def _book(self, fill: Row) -> None:
        known = self.orders.get(fill["client_order_id"])
        if known is not None:
            known.filled += Fraction(fill["qty"])
            if known.works or known.state in ("canceled", "expired", "rejected"):
                full = known.filled >= known.qty
                known.state = "filled" if full else known.state if not known.works else "partially_filled"
        change = signed(fill["side"], Fraction(fill["qty"]))
        key = (fill["strategy"], fill["symbol"])
        self.positions[key] = self.positions.get(key, Fraction(0)) + change
        assert self.cash is not None, "an account is opened before anything is booked"
        self.cash -= change * Fraction(fill["price"]) + Fraction(fill["fee"])

    def _adjusted(self, row: Row, _: bool) -> None:
        key = (row["strategy"], row["symbol"])
        self.positions[key] = self.positions.get(key, Fraction(0)) + Fraction(row["qty_change"])

    def _cash_adjusted(self, row: Row, _: bool) -> None:
        assert self.cash is not None, "an account is opened before its cash is adjusted"
        self.cash += Fraction(row["amount"])

    def _break_found(self, row: Row, _: bool) -> None:
        """A break has a cause that the harness knows of (I9)."""
        found = row["found"]
        self.breaks[found["break_id"]] = found
        self.unseen.discard(found["key"])
        self._check("I9")
        symbol_kinds = ("position", "foreign_fill")
        explained = (
            (found["kind"] in symbol_kinds and found["key"] in self.touched)
            or (found["kind"] == "foreign_order" and found["key"] in self.by_hand)
            or (found["kind"] == "cash" and bool(self.touched))
            or self.lagging
        )
        if not explained:
            raise Broken("I9", f"a break without a cause: {found['detail']}")

    def _break_resolved(self, row: Row, operator: bool) -> None:
        found = self.breaks.pop(row["break_id"], None)
        if found is not None and found["kind"] == "foreign_order" and row["how"] == "accepted":
            self.tolerated.add(found["key"])
        if row["how"] == "accepted" and not operator:
            raise Broken("I9", f"the desk itself accepted {row['break_id']}")
        if row["how"] == "cleared":
            self.accepted.discard(row["break_id"])
        else:
            self.accepted.add(row["break_id"])

    def _latch_set(self, row: Row, _: bool) -> None:
        self.latches[row["name"]] = row
        if row["name"] == "daily_loss":
            self.loss_due = None

    def _latch_released(self, row: Row, operator: bool) -> None:
        self._check("I7")
        if not operator:
            raise Broken("I7", f"latch {row['name']} is released by {row['by']}, who is no person")
        self.latches.pop(row["name"], None)
        if row["name"] == "daily_loss":
            self.result_base = self.result

    def _killed(self, _: Row, __: bool) -> None:
        """Verified means that the venue itself has nothing open and nothing held (I14)."""
        self._check("I14")
        if self.lagging:
            return
        held = self.venue.open_positions()
        resting = [o.client_order_id for o in self.venue_orders.values() if o.status not in ENDED]
        if held or resting:
            raise Broken("I14", f"the kill is verified; the venue has {words_of(held)} and open {resting}")

    def _minute(self, row: Row, _: bool) -> None:
        """A loss at the limit latches before the next minute is recorded (R3, with I7).

        One that is first known at the bell or later does not: there is nothing left to trade that day.
        """
        self._check("I7")
        due = self.loss_due
        if (
            due is not None
            and "daily_loss" not in self.latches
            and due["session_date"] == row["session_date"]
        ):
            raise Broken("I7", f"the loss at {due['bar_ts']} reached the limit and nothing latched")
        result = Fraction(row["realized_pnl"]) + Fraction(row["unrealized_pnl"]) - Fraction(row["fees"])
        self.result = result
        loss = self.result_base - result
        is_due = loss >= self.limits["daily_loss_usd"] and "daily_loss" not in self.latches
        closes = self.closes.get(row["session_date"])
        is_over = closes is not None and row["at"][:19] >= closes[:19]
        self.loss_due = row if is_due and self.started and not is_over else None

    # ---- the end ---------------------------------------------------------------------------

    def day_closed(self) -> None:
        """After a day was closed the books are equal and every order has its end (I3, I4)."""
        self.level("I3")
        if self.breaks or self.accepted:
            return  # adjusted by hand: cash and executions are what a person said they are
        missing = self.venue.executions - self.before_opening - self.booked
        if missing:
            raise Broken("I3", f"the day is closed without execution {sorted(missing)[0]}")
        waiting = [name for name, known in self.orders.items() if known.works and not _is_gtc(known)]
        if waiting:
            raise Broken("I4", f"the day is closed while {waiting[0]} is {self.orders[waiting[0]].state}")

    def _check(self, invariant: str) -> None:
        self.checked[invariant] = self.checked.get(invariant, 0) + 1


def _is_gtc(known: Known) -> bool:
    return bool(known.intent["time_in_force"] == "gtc")


_Handler = Callable[[Auditor, Row, bool], None]
_HANDLERS: dict[str, _Handler] = {
    "account_opened": Auditor._opened,
    "session_started": Auditor._session,
    "order_planned": Auditor._planned,
    "order_acknowledged": Auditor._acknowledged,
    "order_outcome_lost": Auditor._lost,
    "order_rejected": lambda a, row, _: a._ended("rejected")(row),
    "order_never_arrived": Auditor._never_arrived,
    "order_canceled": lambda a, row, _: a._ended("canceled")(row),
    "order_expired": lambda a, row, _: a._ended("expired")(row),
    "order_replaced": lambda a, row, _: a._ended("replaced")(row),
    "fill_recorded": Auditor._filled,
    "position_adjusted": Auditor._adjusted,
    "cash_adjusted": Auditor._cash_adjusted,
    "break_found": Auditor._break_found,
    "break_resolved": Auditor._break_resolved,
    "latch_set": Auditor._latch_set,
    "latch_released": Auditor._latch_released,
    "kill_verified": Auditor._killed,
    "minute_closed": Auditor._minute,
}
