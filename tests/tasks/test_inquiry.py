"""How the desk stands by its ledger: what is missing is shown with its age, its size and its next step."""

from datetime import timedelta
from decimal import Decimal

from desk.dispatcher import cancel
from desk.settler import settle
from schemas import events as ev
from tasks.inquiry import order_rows, standing
from tests.desk.scripted import scripted
from tests.makers import DAY, NOON, intent

ENTRY = intent("mqd-entry", qty="100", limit_price="50.00", reference_price="49")


def test_an_order_without_an_answer_shows_age_reserve_and_next_question() -> None:
    """Since when, how much is reserved for it, and when the broker is asked again (E3, I4)."""
    played = scripted()
    played.script.lose = [False]
    played.send(ENTRY)
    for _ in range(20):
        played.clock.later(seconds=10)
        settle(played.desk)

    found = standing(played.ledger.read())

    (row,) = found.unanswered
    assert (row.unanswered_since, row.reserved_usd) == (NOON, Decimal(5000))
    assert row.unanswered_s is not None
    assert 60 < row.unanswered_s <= 200
    assert row.next_probe_at is not None
    assert row.next_probe_at > played.clock.at - timedelta(seconds=10)
    assert row.words.startswith(f"no answer for {row.unanswered_s / 60:.0f} min, 5,000.00 USD reserved")


def test_an_answered_order_shows_none_of_it() -> None:
    """No age, no question; a cancel that is not carried out is said."""
    played = scripted()
    order = played.send(ENTRY)
    cancel(played.desk, order, cause="test")

    (row,) = standing(played.ledger.read()).working

    assert (row.unanswered_since, row.unanswered_s, row.next_probe_at) == (None, None, None)
    assert row.cancel_asked_at == NOON
    assert row.words == "its cancel is not carried out"


def test_an_ended_order_reserves_nothing() -> None:
    """What cannot execute any more is not counted."""
    played = scripted()
    played.script.refuse["submit"] = "insufficient buying power"
    played.send(ENTRY)

    events = list(played.ledger.read())
    played.desk.journal.record(
        ev.SessionStarted(
            at=NOON,
            session_date=DAY,
            run_id="r",
            strategies=(),
            symbols=(),
            settings_hash="",
            equity=Decimal(1),
        )
    )
    (row,) = order_rows(events, session_date=DAY)

    assert row.reserved_usd == 0
    assert row.words == "42210000 insufficient buying power"


def test_a_lost_stream_is_shown_until_it_is_heard_again() -> None:
    """The newest word of the ledger counts."""
    lost = ev.StreamChanged(at=NOON, is_up=False, cause="not connected")
    back = ev.StreamChanged(at=NOON, is_up=True, cause="heard again")

    assert standing([(1, lost)]).stream_lost_at == NOON
    assert standing([(1, lost), (2, back)]).stream_lost_at is None
