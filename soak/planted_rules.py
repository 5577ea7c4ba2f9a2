"""Defects of the rules an order is held to: gate, limits, latches, money (I5, I6, I7, I15)."""

from soak.planting import Planted

RULES = (
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
        ("tests/desk/test_gate_together.py",),
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
    Planted(
        "an approval without its rules",
        "the ledger keeps the last rule an order was judged by and forgets the others (I5)",
        "desk/gate.py",
        "        checks.append(finding.check())\n",
        "        checks = [finding.check()]\n",
        ("tests/desk/test_gate.py",),
    ),
    Planted(
        "closing orders approved unjudged",
        "close-out, loss latch and kill send exits that no rule looked at (I5)",
        "desk/flattener.py",
        "        place(desk, _judged(desk, intents, emergency=emergency))",
        "        place(desk, tuple((each, Approval(client_order_id=each.client_order_id, checks=(), "
        "judged_at=desk.now())) for each in intents))",
    ),
    Planted(
        "judged by other limits",
        "entries are held to twice the gross the desk was told (I5)",
        "desk/cycle.py",
        "gate_view(self.desk, market), self.desk.settings.risk)",
        "gate_view(self.desk, market), self.desk.settings.risk.model_copy("
        'update={"gross_max_usd": self.desk.settings.risk.gross_max_usd * 2}))',
    ),
)
