"""A strategy of a user's own file trades a whole day: desk.yaml names the file, orders the strategy."""

from tasks.store import LEDGER_FILE
from tests.cli.conftest import DAY, Desk

FILE = '''
from strategies.base import Level, SeenBar, StatefulStrategy


class EveryHour(StatefulStrategy):
    """Long in the first half of each hour."""

    name = "every_hour"

    def bars_needed(self) -> int:
        return 1

    def on_start(self) -> None:
        self.seen = 0

    def on_bar(self, bar: SeenBar) -> Level:
        return Level(float(bar.minute % 60 < 30), f"minute {bar.minute}")
'''


def test_a_file_beside_desk_yaml_trades_a_day(desk: Desk) -> None:
    """The session makes the file's strategy, gives it its allocation, and books its fills under its name."""
    (desk.place.folder / "mine.py").write_text(FILE, encoding="utf-8")
    desk.place.configure(
        strategies=[{"name": "mine.py:EveryHour", "allocation_frac": 0.5, "exits": {"stop_frac": 0.5}}]
    )

    answer = desk("session", "--date", str(DAY))

    assert answer.code == 0, answer.err
    orders = desk("orders", "--json").json
    filled = [each for each in orders if each["state"] == "filled"]
    assert len(filled) > 4
    assert {each["strategy"] for each in orders} == {"every_hour"}
    assert all(each["client_order_id"].startswith("mqd-every_hour-") for each in orders)


def test_a_mistake_in_the_file_is_told_before_anything_begins(desk: Desk) -> None:
    """A file that cannot be read stops the session with its line, before the account is touched."""
    (desk.place.folder / "mine.py").write_text("class EveryHour(\n", encoding="utf-8")
    desk.place.configure(strategies=[{"name": "mine.py:EveryHour"}])

    complaint = desk.fails("session", "--date", str(DAY), code=2)

    assert "mine.py line 1: '(' was never closed" in complaint
    assert not (desk.place.store / LEDGER_FILE).exists()
