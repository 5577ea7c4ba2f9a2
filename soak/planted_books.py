"""Defects of the books and of what keeps them: ledger, lease, reconcile (I3, I8, I9, I12, I13)."""

from soak.planting import Planted

BOOKS = (
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
        "start-up without reconcile",
        "trading begins on books nobody compared (I9)",
        "desk/recovery.py",
        "    breaks = level_books(desk, adjust_max_usd=desk.settings.risk.break_halt_usd, after_night=True)",
        "    breaks: tuple[Break, ...] = ()",
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
        "lease believed between renewals",
        "a process whose account was taken goes on for seconds (I12)",
        "data/lease.py",
        "            with self._database.read() as connection:\n                self.check(connection)\n"
        "            return False",
        "            return False",
        ("tests/data/test_lease.py",),
    ),
)
