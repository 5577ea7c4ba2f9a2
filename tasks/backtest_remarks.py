"""What is to be said of a run beside its numbers: what latched, and what the venue and the gate refused."""

from collections.abc import Iterator, Mapping

from desk.hours import new_york
from desk.research.engine import Played

CAUSES_NAMED = 4  # the most frequent


def remarks(played: Played, *, gate: bool) -> tuple[str, ...]:
    """Say, worst first, why a run's trades are not all its strategy asked for.

    Args:
        played: what came of it.
        gate: whether limits applied.
    """
    return tuple(_remarks(played, gate=gate))


def _remarks(played: Played, *, gate: bool) -> Iterator[str]:
    latches = {} if played.journal is None else played.journal.portfolio.latches
    for latch in sorted(latches.values(), key=lambda each: each.set_at):
        yield (
            f"{latch.name.value} latched at {new_york(latch.set_at):%Y-%m-%d %H:%M} New York: {latch.cause}. "
            "No entry after it, as live until a person releases it; --no-gate plays without limits."
        )
    if played.rejections:
        rejected = sum(played.rejections.values())
        yield f"The venue rejected {rejected:,} of {played.orders:,} orders: {_most(played.rejections)}."
    if played.denials:
        asked = f"{played.denied:,} of {played.denied + played.orders:,} intents"
        who = f"The gate denied {asked}" if gate else f"{asked} were not sent"
        yield f"{who}: {_most(played.denials)}."


def _most(counts: Mapping[str, int]) -> str:
    """Name the most frequent causes and count the rest."""
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{cause} {count:,}" for cause, count in most[:CAUSES_NAMED])
    others = sum(count for _, count in most[CAUSES_NAMED:])
    return f"{named}, others {others:,}" if others else named
