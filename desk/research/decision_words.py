"""Hold two outcomes of a minute against each other, and say in words how decisions differ."""

from collections.abc import Iterator

from desk.money import plain
from desk.research.redecision import Outcome
from desk.research.retelling import Decision
from schemas.orders import Approval, Denial


def is_equal(was: Outcome, now: Outcome, *, exact: bool) -> bool:
    """Tell whether two outcomes are the same; `exact` with every number of the verdicts."""
    return not list(differing(was, now, exact=exact))


def differing(was: Outcome, now: Outcome, *, exact: bool) -> Iterator[tuple[str, str, str]]:
    """Give client order id and both words of everything that differs."""
    mine = {each.order_id: each for each in was.decided}
    theirs = {each.order_id: each for each in now.decided}
    for order_id in dict.fromkeys((*mine, *theirs)):
        one, other = mine.get(order_id), theirs.get(order_id)
        if one is None or other is None or _bytes(one, exact=exact) != _bytes(other, exact=exact):
            yield order_id, _words(one), _words(other) + _detail(one, other)
    for order_id in sorted(set(was.left) ^ set(now.left)):
        kept, canceled = "entry kept", "entry canceled, its level was left"
        yield (
            order_id,
            canceled if order_id in was.left else kept,
            (canceled if order_id in now.left else kept),
        )


def _bytes(decision: Decision, *, exact: bool) -> str:
    """Give a decision as it is written; of an older ledger without the numbers nobody recorded."""
    verdict = decision.verdict
    if exact:
        return decision.intent.model_dump_json() + verdict.model_dump_json()
    word = verdict.reason.value if isinstance(verdict, Denial) else "approved"
    return decision.intent.model_dump_json() + word


def _words(decision: Decision | None) -> str:
    """Say a decision in one line."""
    if decision is None:
        return "nothing"
    intent, verdict = decision.intent, decision.verdict
    price = "market" if intent.limit_price is None else f"limit {plain(intent.limit_price)}"
    order = f"{intent.side.value} {plain(intent.qty)} {intent.symbol} {price}"
    return f"{order}, " + ("approved" if isinstance(verdict, Approval) else f"denied: {verdict.reason.value}")


def _detail(one: Decision | None, other: Decision | None) -> str:
    """Name the first number that differs where the words do not tell it."""
    if one is None or other is None or _words(one) != _words(other):
        return ""
    pairs = zip(_fields(one), _fields(other), strict=False)
    found = next(
        (f" ({name} {mine}, then {theirs})" for (name, mine), (_, theirs) in pairs if mine != theirs), ""
    )
    return found or " (other numbers)"


def _fields(decision: Decision) -> list[tuple[str, str]]:
    """Give every field of intent and verdict with its name, the verdict's checks by their rule."""
    fields = [(name, str(value)) for name, value in decision.intent.model_dump(mode="json").items()]
    written = decision.verdict.model_dump(mode="json")
    checks = written.pop("checks", [])
    fields += [(name, str(value)) for name, value in written.items()]
    return fields + [(check["reason"], f"{check['number']} over {check['limit']}") for check in checks]
