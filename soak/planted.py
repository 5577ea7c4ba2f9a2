"""Defects to plant: each a small change that would lose or double money, and the tests that must notice.

`old` stands exactly once in its module; a test keeps the list in step with the code. A defect the simulation
is expected to find names no test; the others name the tests that hold what no seed can see.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """One defect."""

    name: str
    why: str  # what it does, in words
    path: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


PLANTED = (
    Planted(
        "write after send",
        "the order goes out before it is in the ledger (I1)",
        "desk/dispatcher.py",
        "    desk.journal.record(*events)\n    _send_all(",
        "    for intent, verdict in judged:\n        if isinstance(verdict, Approval):\n"
        "            desk.broker.submit(intent)\n"
        "    desk.journal.record(*events)\n    _send_all(",
    ),
    Planted(
        "post retried by the library",
        "alpaca-py sends a POST again on 504 (I2)",
        "desk/adapters/alpaca_http.py",
        "    client._retry = 0\n    client._retry_codes = []\n",
        "    client._retry = 3\n    client._retry_wait = 0\n",
        ("tests/desk/adapters/test_alpaca_broker.py",),
    ),
    Planted(
        "lost answer taken for a rejection",
        "a 504 ends the order although it may be at the broker (I4, F9)",
        "desk/dispatcher.py",
        "                OrderOutcomeLost(at=desk.now(), client_order_id=client_order_id, cause=str(lost))",
        "                OrderRejected("
        'at=desk.now(), client_order_id=client_order_id, code="504", message=str(lost))',
    ),
    Planted(
        "not found taken for never arrived",
        "absence at one look ends an unanswered order (I4)",
        "desk/prober.py",
        "        desk.journal.record(OrderProbed(at=desk.now(), client_order_id=client_order_id))",
        "        desk.journal.record(OrderNeverArrived(at=desk.now(), client_order_id=client_order_id))",
    ),
    Planted(
        "pending forgotten at start-up",
        "an order planned by a process that died is never asked about (I4)",
        "desk/prober.py",
        "        if order.state is OrderState.PENDING:\n            desk.journal.record(",
        "        if order.state is OrderState.FILLED:\n            desk.journal.record(",
    ),
    Planted(
        "fill counted twice",
        "an execution heard by stream and REST is booked twice (I3)",
        "desk/portfolio.py",
        "        if fill.execution_id in self.executions:\n            return True\n",
        "        if fill.execution_id in self.executions:\n            return False\n",
    ),
    Planted(
        "fill under another name counted twice",
        "an execution whose id differs between stream and REST is booked twice (I3)",
        "desk/portfolio.py",
        "        return fill.cum_qty is not None and (fill.broker_order_id, fill.cum_qty) in self.cumulative",
        "        return False",
        ("tests/desk/test_portfolio.py",),
    ),
    Planted(
        "fee paid twice over",
        "cash falls by the fee with the wrong sign (I3)",
        "desk/portfolio.py",
        "    p.cash -= signed * fill.price + fill.fee",
        "    p.cash -= signed * fill.price - fill.fee",
    ),
    Planted(
        "status before fills",
        "a canceled order with executions still to book ends at once (F2)",
        "desk/tracker.py",
        "    if stated.filled_qty > order.filled_qty:\n        return tuple(events)\n",
        "",
        ("tests/desk/test_tracker.py",),
    ),
    Planted(
        "one leg ends all",
        "an OCO ends when one of its orders has ended (F2)",
        "desk/tracker.py",
        "    if any(each is None or each.status not in ENDED for each in stated):",
        "    if all(each is None or each.status not in ENDED for each in stated):",
        ("tests/desk/test_legs.py", "tests/desk/test_protector.py"),
    ),
    Planted(
        "replaced quantity never checked",
        "a replacement that re-opened the original quantity executes more than was meant",
        "desk/replacing.py",
        "    if beyond <= 0:\n        return None\n",
        "    if beyond <= 1_000_000_000:\n        return None\n",
        ("tests/desk/test_replacing.py",),
    ),
    Planted(
        "cancel taken for canceled",
        "an order ends because a cancel was asked for (I4)",
        "desk/dispatcher.py",
        "    refusals = []\n    ids = _to_cancel(",
        "    from schemas.events import OrderCanceled\n"
        "    desk.journal.record(OrderCanceled(at=desk.now(), client_order_id=client_order_id))\n"
        "    refusals = []\n    ids = _to_cancel(",
    ),
    Planted(
        "latch forgotten at a restart",
        "a new session starts without the latches of the last (I7)",
        "desk/portfolio.py",
        "def _session_started(p: Portfolio, e: ev.SessionStarted) -> None:\n    p.session_open = True\n",
        "def _session_started(p: Portfolio, e: ev.SessionStarted) -> None:\n    p.session_open = True\n"
        "    p.latches.clear()\n",
    ),
    Planted(
        "loss reset by a restart",
        "a second process of a day starts the day's result anew (F6)",
        "desk/portfolio.py",
        "    if p.session_date == e.session_date:\n        return",
        "    if p.session_date is e:\n        return",
        ("tests/desk/test_portfolio.py", "tests/desk/test_session.py"),
    ),
    Planted(
        "the better witness decides",
        "the day's loss is the better of own books and broker (R3)",
        "desk/losses.py",
        "        return self.own_pnl if self.broker_pnl is None else min(self.own_pnl, self.broker_pnl)",
        "        return self.own_pnl if self.broker_pnl is None else max(self.own_pnl, self.broker_pnl)",
        ("tests/desk/test_losses.py",),
    ),
    Planted(
        "approved intents not counted",
        "many entries of one minute pass a limit together (I6, F3, F7)",
        "desk/gate.py",
        "        working=with_order(view.working, WorkingOrder(intent=intent, remaining=intent.qty)),",
        "        working=view.working,",
        ("tests/desk/test_gate.py",),
    ),
    Planted(
        "broken symbols trade on",
        "exits of an unknown size leave a symbol whose books are wrong (F4)",
        "desk/eligibility.py",
        "    ok = intent.symbol not in view.broken and not is_locked\n",
        "    ok = True\n",
    ),
    Planted(
        "exits beyond the position",
        "the gate lets two exits of one position through (F3)",
        "desk/eligibility.py",
        "        limit=held,\n",
        "        limit=held * 1000,\n",
        ("tests/desk/test_gate.py",),
    ),
    Planted(
        "exit sent again to a gone position",
        "an unanswered exit is repeated although the position was closed by hand (F4)",
        "desk/prober.py",
        "    return held >= intent.qty and hours.opens_at <= desk.now() < hours.closes_at",
        "    return True",
        ("tests/desk/test_prober.py",),
    ),
    Planted(
        "start-up without reconcile",
        "trading begins on books nobody compared (I9)",
        "desk/recovery.py",
        "    breaks = level_books(desk, adjust_max_usd=desk.settings.risk.break_halt_usd)\n",
        "    breaks: tuple[Break, ...] = ()\n",
    ),
    Planted(
        "a large break does not halt",
        "a start-up break over the limit trades on (I9)",
        "desk/recovery.py",
        "    return ours or item.notional_usd > halt_usd or item.notional_usd == 0",
        "    return False",
        ("tests/desk/test_session.py", "tests/desk/test_session_breaks.py"),
    ),
    Planted(
        "books repaired in the session",
        "a position break is adjusted while trading, without a person (T3)",
        "desk/upkeep.py",
        "            level_books(desk, adjust_max_usd=None)\n",
        "            level_books(desk, adjust_max_usd=desk.settings.risk.break_halt_usd * 1000)\n",
        ("tests/desk/test_session_breaks.py",),
    ),
    Planted(
        "day closed over open breaks",
        "close-day records a day although the books differ",
        "desk/closing.py",
        "    if breaks:\n        named",
        "    if False:\n        named",
        ("tests/desk/test_session_breaks.py",),
    ),
    Planted(
        "kill not verified",
        "the kill switch reports done after one look that may show anything (I14, F11)",
        "desk/kill.py",
        "        if first is not None and shown == _FLAT:\n",
        "        if first is not None:\n",
    ),
    Planted(
        "entries under the kill latch",
        "a planned entry is sent although the desk was killed meanwhile (I14)",
        "desk/dispatcher.py",
        "        if intent.purpose is Purpose.ENTRY and LatchName.KILL in desk.portfolio.latches:\n",
        "        if False:\n",
        ("tests/desk/test_session.py", "tests/desk/test_adversity.py", "tests/desk/test_session_breaks.py"),
    ),
    Planted(
        "no fencing at the write",
        "a process that lost its lease goes on writing (I12)",
        "data/ledger.py",
        "                self._lease.check(connection)\n                last_seq",
        "                last_seq",
        ("tests/data/test_lease.py", "tests/data/test_ledger.py"),
    ),
    Planted(
        "no lease check before the wire",
        "a process that slept after writing ahead sends without the account (I12)",
        "desk/dispatcher.py",
        '    facts = {"client_order_id": client_order_id, "correlation_id": intent.correlation_id}\n'
        "    desk.journal.renew()\n",
        '    facts = {"client_order_id": client_order_id, "correlation_id": intent.correlation_id}\n',
        ("tests/tasks/test_two_sessions.py",),
    ),
    Planted(
        "events may be changed",
        "the database lets a ledger row be updated (I13)",
        "data/database.py",
        "CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events ",
        "CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE OF seq ON events ",
        ("tests/data/test_ledger.py",),
    ),
    Planted(
        "state before ledger",
        "an event that could not be written is believed all the same (I8)",
        "desk/journal.py",
        "        last_seq = self._ledger.append(events)\n",
        "        for event in events:\n            self.portfolio.apply(event)\n"
        "        last_seq = self._ledger.append(events)\n",
        ("tests/desk/test_session.py", "tests/desk/test_adversity.py"),
    ),
    Planted(
        "quantity rounded up",
        "a lot more is bought than the money was meant for (I15)",
        "desk/money.py",
        "    return exact.quantize(FRACTIONAL_LOT if fractional else WHOLE_LOT, ROUND_FLOOR)",
        "    return exact.quantize(FRACTIONAL_LOT if fractional else WHOLE_LOT, ROUND_CEILING)",
        ("tests/desk/test_money.py",),
    ),
    Planted(
        "old bars are fresh",
        "entries are sent on a feed that stood still (F8)",
        "desk/eligibility.py",
        "        number=age,\n        limit=limits.stale_after_s,",
        "        number=min(age, limits.stale_after_s),\n        limit=limits.stale_after_s,",
        ("tests/desk/test_gate.py",),
    ),
    Planted(
        "no close-out",
        "positions stay over night although they were to be closed before the bell",
        "desk/upkeep.py",
        "            if desk.settings.session.close_out and now >= out_at:\n",
        "            if desk.settings.session.close_out and now >= hours.closes_at:\n",
        ("tests/desk/test_close_out.py",),
    ),
    Planted(
        "protective order beside an exit",
        "the desk leaves at market while its stop still rests at the broker",
        "desk/exits.py",
        "    if resting:\n        return _about(resting[0], held, rules)\n",
        "",
        ("tests/desk/test_exits.py",),
    ),
    Planted(
        "protection forgotten",
        "a pause set by a losing streak is not asked for by the gate (R4)",
        "desk/eligibility.py",
        "    if not found:\n        return kept(Reason.PROTECTION, True",
        "    if True:\n        return kept(Reason.PROTECTION, True",
        ("tests/desk/test_gate.py",),
    ),
    Planted(
        "latch not asked for",
        "entries pass the gate while a loss is latched (I7)",
        "desk/eligibility.py",
        "        Reason.LOSS_LATCH, number=len(view.latches), limit=0,",
        "        Reason.LOSS_LATCH, number=len(view.latches), limit=9,",
        ("tests/desk/test_gate.py",),
    ),
    Planted(
        "unknown order does not block",
        "a symbol whose last order has no answer gets another entry (I4)",
        "desk/eligibility.py",
        "Reason.UNKNOWN_ORDER, number=len(lost), limit=0,",
        "Reason.UNKNOWN_ORDER, number=len(lost), limit=9,",
        ("tests/desk/test_gate.py",),
    ),
)
