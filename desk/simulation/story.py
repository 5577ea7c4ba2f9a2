"""What happened to a seed, in words: one line a happening, for a person who looks for the cause of a failure.

The facts are the ledger's rows and the venue's events as they were; nothing is added but grammar.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from desk.hours import new_york
from desk.simulation.run import Outcome
from desk.simulation.scenario import Scenario
from desk.simulation.world import Happening

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the story: the venue's time in New York, who, and what."""

    date: str
    time: str
    who: str
    words: str
    is_failure: bool


def lines(happenings: Sequence[Happening]) -> Iterator[Line]:
    """Tell every happening in its order."""
    for each in happenings:
        at = new_york(each.at)
        yield Line(
            date=f"{at:%Y-%m-%d}",
            time=f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}",
            who=each.who,
            words=_words(each),
            is_failure=each.who == "auditor",
        )


def setting(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Say what the seed drew, as (name, words)."""
    risk, session = scenario.settings.risk, scenario.settings.session
    yield "account", f"{scenario.cash:,} USD"
    yield "symbols", ", ".join(scenario.symbols)
    yield "strategies", ", ".join(scenario.ideas)
    for window in scenario.windows:
        start = new_york(window.starts_at)
        end = "the close" if window.ends_at is None else f"{new_york(window.ends_at):%H:%M:%S}"
        yield "machine on", f"{window.session_date} {start:%H:%M:%S} to {end}"
    yield "limits", ", ".join(f"{name} {value}" for name, value in risk.model_dump().items())
    yield "session", ", ".join(f"{name} {value}" for name, value in session.model_dump().items())
    yield (
        "mortality",
        f"{scenario.mortality.deaths_max} kills at most, {scenario.mortality.likelihood:.1%} a step",
    )
    for planned in scenario.acts:
        at = new_york(planned.at)
        yield "planned", f"{at:%Y-%m-%d %H:%M:%S} {planned.act.value}"


def markdown(scenario: Scenario, outcome: Outcome) -> str:
    """Write the whole story as Markdown."""
    failure = outcome.failure
    verdict = "every invariant held" if failure is None else f"**{failure.invariant}**: {failure.words}"
    parts = [f"# Seed {outcome.seed}", "", verdict, "", "## What the seed drew", ""]
    parts += [f"- {name}: {words}" for name, words in setting(scenario)]
    day = ""
    for line in lines(outcome.happenings):
        if line.date != day:
            day = line.date
            parts += ["", f"## {day}", "", "| New York | who | what |", "| --- | --- | --- |"]
        words = line.words.replace("|", "\\|")
        parts.append(f"| {line.time} | {line.who} | {'**' + words + '**' if line.is_failure else words} |")
    parts += ["", "## In numbers", ""]
    parts += [f"- {name}: {number:,}" for name, number in outcome.counts.items()]
    if failure is not None and failure.trace:
        parts += ["", "## Traceback", "", "```", failure.trace.rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _words(each: Happening) -> str:
    facts = each.facts
    if facts is None:
        return each.words
    if "kind" in facts:
        teller = _ROWS.get(facts["kind"])
        return facts["kind"].replace("_", " ") if teller is None else teller(facts)
    return _event(facts)


def _event(facts: Facts) -> str:
    name, done = facts["client_order_id"], facts["execution"]
    if done is not None:
        return f"executes {done['side']} {done['qty']} {done['symbol']} at {done['price']} ({name})"
    return f"order {name} is {facts['status'].replace('_', ' ')}"


def _order(intent: Facts) -> str:
    price = intent.get("limit_price") or intent.get("stop_price")
    form = intent["order_type"] if price is None else f"{intent['order_type']} {price}"
    legs = {"take-profit": intent.get("take_profit_price"), "stop": intent.get("stop_loss_price")}
    named = "".join(f", {name} {value}" for name, value in legs.items() if value is not None)
    group = "" if intent["order_class"] == "simple" else f", {intent['order_class']}{named}"
    return f"{intent['purpose']} {intent['side']} {intent['qty']} {intent['symbol']}, {form}{group}"


def _filled(facts: Facts) -> str:
    fill = facts["fill"]
    return (
        f"books {fill['side']} {fill['qty']} {fill['symbol']} at {fill['price']} of "
        f"{fill['client_order_id']}, heard by {facts['source']}"
    )


def _minute(facts: Facts) -> str:
    marks = ", ".join(f"{mark['symbol']} {mark['price']}" for mark in facts["marks"]) or "nothing held"
    return (
        f"closes the minute {new_york(datetime.fromisoformat(facts['bar_ts'])):%H:%M}: "
        f"equity {float(facts['equity']):,.2f} USD; {marks}"
    )


_ROWS: dict[str, Callable[[Facts], str]] = {
    "account_opened": lambda f: f"opens the books with {Decimal(f['cash']):,.2f} USD",
    "session_started": lambda f: f"begins the session of {f['session_date']} as {f['run_id']}",
    "session_ended": lambda f: f"ends the session: {f['cause']}",
    "day_closed": lambda f: f"closes the day {f['session_date']}: cash {Decimal(f['cash']):,.2f} USD",
    "intent_denied": lambda f: f"denies: {f['denial']['message']}",
    "order_planned": lambda f: f"writes ahead {f['intent']['client_order_id']}: {_order(f['intent'])}",
    "order_acknowledged": lambda f: f"learns that the broker has {f['client_order_id']}",
    "order_rejected": lambda f: f"records a refusal of {f['client_order_id']}: {f['code']} {f['message']}",
    "order_outcome_lost": lambda f: f"does not know what became of {f['client_order_id']}: {f['cause']}",
    "order_probed": lambda f: f"asks for {f['client_order_id']}; the broker does not know it",
    "order_never_arrived": lambda f: f"ends {f['client_order_id']}, which never arrived",
    "cancel_requested": lambda f: f"is about to cancel {f['client_order_id']}: {f['cause']}",
    "cancel_refused": lambda f: f"is refused the cancel of {f['client_order_id']}: {f['message']}",
    "order_canceled": lambda f: f"records that {f['client_order_id']} is canceled",
    "order_replaced": lambda f: f"records that {f['client_order_id']} is replaced by {f['by']}",
    "order_expired": lambda f: f"records that {f['client_order_id']} expired",
    "fill_recorded": _filled,
    "position_adjusted": lambda f: (
        f"adjusts {f['strategy']}'s {f['symbol']} by {f['qty_change']}: {f['cause']}"
    ),
    "cash_adjusted": lambda f: f"adjusts cash by {f['amount']} USD: {f['cause']}",
    "break_found": lambda f: f"finds a break: {f['found']['detail']}",
    "break_resolved": lambda f: f"break {f['break_id']} is {f['how']} by {f['by']}",
    "trading_state_changed": lambda f: f"trading state {f['state']}: {f['cause']}",
    "latch_set": lambda f: f"latch {f['name']}: {f['cause']}",
    "latch_released": lambda f: f"latch {f['name']} is released by {f['by']}",
    "kill_verified": lambda f: (
        f"kill verified: {f['orders_canceled']} orders canceled, {f['positions_closed']} positions closed"
    ),
    "strategy_stopped": lambda f: f"stops strategy {f['strategy']}: {f['cause']}",
    "minute_closed": _minute,
}
