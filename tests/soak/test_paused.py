"""The drill of two sessions says whose an order is, and what may not be."""

from datetime import UTC, datetime

from soak.paused import attribute
from soak.story import Story

STOPPED = datetime(2025, 11, 20, 15, 0, tzinfo=UTC)
BEFORE, AFTER = "2025-11-20T14:59:58Z", "2025-11-20T15:20:00Z"
TOKENS = {"old": 1, "old-unsent": 1, "new": 2}


def told(*orders: tuple[str, str], tokens: dict[str, int] = TOKENS) -> Story:
    story = Story("test")
    attribute(story, [{"client_order_id": name, "at": at} for name, at in orders], tokens, stopped_at=STOPPED)
    return story


def test_each_session_in_its_own_time_is_right() -> None:
    """The old one before it was stopped, the new one after; what was not sent is counted."""
    story = told(("old", BEFORE), ("new", AFTER))

    assert story.wrong == []
    assert ("written ahead, not sent", "1 of the paused session") in story.facts


def test_an_order_of_the_woken_session_is_wrong() -> None:
    """Sent after the new one took over, though written ahead before."""
    (complaint,) = told(("old", BEFORE), ("old-unsent", AFTER), ("new", AFTER)).wrong

    assert complaint.startswith("1 orders of the paused session")


def test_an_order_of_the_new_session_beside_the_old_is_wrong() -> None:
    """Both traded at once."""
    (complaint,) = told(("old", BEFORE), ("new", BEFORE)).wrong

    assert complaint.startswith("1 orders of the new session")


def test_an_order_that_is_not_in_the_ledger_is_wrong() -> None:
    """Nobody can say whose it is."""
    (complaint,) = told(("old", BEFORE), ("new", AFTER), ("stray", AFTER)).wrong

    assert complaint == "stray is not in the ledger"


def test_a_session_that_never_sent_proves_nothing() -> None:
    """Orders of one session alone are no drill of two."""
    assert told(("old", BEFORE)).wrong == ["orders of 1 sessions, not of two"]
