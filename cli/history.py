"""`desk log`, `desk explain`, `desk replay`: what happened, why, and whether the record holds."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.tables import as_json, clock_time, console, grid, moment, number, price, signed, usd
from schemas.orders import Approval
from tasks.configuration import load_settings
from tasks.errors import ConfigError, DeskError

if TYPE_CHECKING:
    from tasks.inquiry import LogLine
    from tasks.story import Story

LAST_DEFAULT = 50  # a screen
HASH_SHOWN = 16


class ReplayDiffers(DeskError):
    """The ledger, replayed, does not give the state a session recorded (I8)."""


def log(
    after: Annotated[int | None, typer.Option(help="All events after this seq.")] = None,
    last: Annotated[
        int, typer.Option(min=1, help="Without --after: this many of the newest.")
    ] = LAST_DEFAULT,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind of event; may be repeated.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events are written.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the ledger's events, one a line."""
    from tasks.ask import follow_lines, recent_lines

    settings = load_settings()
    kinds = _kinds(kind or [])
    out = console()
    lines = recent_lines(settings, after_seq=after, last=last, kinds=kinds)
    for line in lines:
        _print_line(out, line, json=json)
    if follow:
        start = lines[-1].seq if lines else after or 0
        for line in follow_lines(settings, after_seq=start, kinds=kinds):
            _print_line(out, line, json=json)


def _kinds(wanted: list[str]) -> frozenset[str]:
    from tasks.inquiry import event_kinds

    known = event_kinds()
    for name in wanted:
        if name not in known:
            raise ConfigError(f"--kind {name} is no kind of event; allowed: {', '.join(known)}")
    return frozenset(wanted)


def _print_line(out: Console, line: "LogLine", *, json: bool) -> None:
    if json:
        typer.echo(" ".join(as_json(line).split()))
    else:
        out.print(f"{line.seq:>8} {moment(line.at)} {line.kind:<22} {line.words}", soft_wrap=True)


def explain(
    order: Annotated[str, typer.Argument(help="A client order id, a broker's order id, or a part of one.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Tell the whole story of one order or denied intent, from its bar to its last fill."""
    from tasks.ask import bar_of, explain

    settings = load_settings()
    story = explain(settings, order)
    if json:
        typer.echo(as_json(story))
        return
    out = console()
    _print_intent(out, story, bar=bar_of(settings, symbol=story.intent.symbol, ts=story.intent.bar_ts))
    _print_checks(out, story)
    _print_steps(out, story)
    _print_ending(out, story)


def _print_intent(out: Console, story: "Story", *, bar: str) -> None:
    intent = story.intent
    terms = "" if intent.limit_price is None else f" {price(intent.limit_price)}"
    stop = "" if intent.stop_price is None else f" stop {price(intent.stop_price)}"
    out.print(Text(intent.client_order_id, style="bold"))
    out.print(f"  bar     {intent.symbol} {clock_time(intent.bar_ts)} New York, {intent.session_date}: {bar}")
    out.print(f"  signal  {intent.strategy}: {intent.reason or 'no words'}")
    out.print(
        f"  intent  {intent.purpose.value} {intent.side.value} {number(intent.qty)} {intent.symbol} "
        f"{intent.order_type.value}{terms}{stop} {intent.time_in_force.value}, "
        f"price seen {price(intent.reference_price)}"
    )
    out.print(f"  trace   {intent.correlation_id}")


def _print_checks(out: Console, story: "Story") -> None:
    verdict = story.verdict
    if not isinstance(verdict, Approval):
        out.print(f"  gate    DENIED at event {story.judged_seq}: {verdict.message}")
        out.print(
            f"          {verdict.reason.value}: {number(verdict.number)}, limit {number(verdict.limit)}"
        )
        return
    out.print(f"  gate    approved {clock_time(verdict.judged_at)}, {len(verdict.checks)} checks")
    table = grid(None, "check", ">number", ">limit")
    for check in verdict.checks:
        table.add_row(check.reason.value, number(check.number), number(check.limit))
    out.print(table)


def _print_steps(out: Console, story: "Story") -> None:
    table = grid(None, ">event", "at", "what", "detail")
    for step in story.steps:
        table.add_row(str(step.seq), clock_time(step.at), step.what, step.detail)
    out.print(table)
    if not story.fills:
        return
    table = grid(
        "Fills", "at", ">qty", ">price", ">fee", ">slippage bps", ">slippage USD", "execution", "learned from"
    )
    for told in story.fills:
        table.add_row(
            clock_time(told.fill.filled_at),
            number(told.fill.qty),
            price(told.fill.price),
            usd(told.fill.fee),
            f"{told.slippage_bps:+.2f}",
            signed(told.slippage_usd),
            told.fill.execution_id,
            told.source.value,
        )
    out.print(table)


def _print_ending(out: Console, story: "Story") -> None:
    order = story.order
    if order is None:
        out.print("  now     denied; nothing was sent")
        return
    cost = sum((told.slippage_usd for told in story.fills), Decimal(0))
    note = f" ({order.message})" if order.message else ""
    slipped = f"; slippage {signed(cost)} USD" if story.fills else ""
    out.print(
        f"  now     {order.state.value.upper()}{note}, filled {number(order.filled_qty)} "
        f"of {number(order.intent.qty)}{slipped}"
    )


def replay(
    verify: Annotated[
        bool, typer.Option("--verify", help="Fail unless every session's recorded state is reached again.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Replay the ledger from empty and compare with what each session recorded at its end."""
    from tasks.ask import verify_replay

    proof = verify_replay(load_settings())
    if json:
        typer.echo(as_json({"holds": proof.holds, "proof": proof}))
    else:
        out = console()
        out.print(
            f"{proof.events} events, the last {proof.last_seq}: state {proof.state_hash}", soft_wrap=True
        )
        table = grid(None, "session", "run", ">at event", "recorded", "replayed", "")
        for ending in proof.endings:
            table.add_row(
                str(ending.session_date),
                ending.run_id,
                str(ending.state_seq),
                ending.recorded[:HASH_SHOWN],
                ending.replayed[:HASH_SHOWN],
                ending.words,
            )
        out.print(table if proof.endings else "no session has ended in this ledger: nothing to compare")
    wrong = [ending for ending in proof.endings if ending.differs]
    if verify and wrong:
        first = wrong[0]
        raise ReplayDiffers(
            f"{len(wrong)} of {len(proof.endings)} session ends differ on replay, the first: "
            f"{first.session_date} run {first.run_id} at event {first.state_seq}"
        )
