"""A ledger in memory, for tests of the pure core: the same port, no file."""

from collections.abc import Iterator, Sequence

from schemas.events import EVENTS, AnyEvent


class MemoryLedger:
    """Keeps events as JSON, as the real one does, so nothing survives that a file would lose."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def append(self, events: Sequence[AnyEvent]) -> int:
        self.rows += [EVENTS.dump_json(event).decode() for event in events]
        return len(self.rows)

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
        for seq, row in enumerate(self.rows[after_seq:], start=after_seq + 1):
            yield seq, EVENTS.validate_json(row)

    def renew(self) -> None:
        return None
