"""Defects of sending and asking: an order doubled, forgotten or ended on no evidence (I1, I2, I4, I14)."""

from soak.planting import Planted

ORDERS = (
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
        "exit sent again to a gone position",
        "an unanswered exit is repeated although the position was closed by hand (F4)",
        "desk/prober.py",
        "    return held >= intent.qty and hours.opens_at <= desk.now() < hours.closes_at",
        "    return True",
        ("tests/desk/test_prober.py",),
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
        ("tests/desk/test_session.py", "tests/desk/test_kill_switch.py", "tests/desk/test_session_breaks.py"),
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
)
