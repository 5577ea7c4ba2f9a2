"""Which event tells whom what, and once."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from desk.notices import MESSAGE_MAX, SEND_MAX, Outbox, deliver
from schemas.events import (
    AnyEvent,
    BreakFound,
    BreakResolved,
    CashAdjusted,
    Channel,
    DayClosed,
    IntentDenied,
    KillVerified,
    LatchReleased,
    LatchSet,
    MinuteClosed,
    NoticeDelivered,
    NoticeQueued,
    OrderAcknowledged,
    OrderOutcomeLost,
    OrderRejected,
    PositionAdjusted,
    ProtectionLifted,
    ProtectionSet,
    SessionEnded,
    SessionStarted,
    StreamChanged,
    TradingStateChanged,
)
from schemas.orders import Denial, Reason
from schemas.risk import Break, BreakKind, LatchName, ProtectionScope, TradingState
from schemas.settings import Mode
from tests.makers import DAY, NOON, filled, intent, planned

MINUTE = timedelta(minutes=1)


def started(run_id: str = "r1") -> SessionStarted:
    """Make a session's start."""
    return SessionStarted(
        at=NOON,
        session_date=DAY,
        run_id=run_id,
        strategies=("sma_crossover",),
        symbols=("AAPL", "MSFT"),
        settings_hash="h",
        equity=Decimal("25000"),
    )


def ended(run_id: str = "r1") -> SessionEnded:
    """Make a session's end."""
    return SessionEnded(
        at=NOON, session_date=DAY, run_id=run_id, cause="the close", state_seq=1, state_hash="h"
    )


def denied(number: str, *, reason: Reason = Reason.GROSS_EXPOSURE) -> IntentDenied:
    """Make a denial of the noon bar."""
    wanted = intent(f"mqd-{number}")
    denial = Denial(
        client_order_id=wanted.client_order_id,
        reason=reason,
        number=Decimal(number),
        limit=Decimal("50000"),
        message=f"AAPL buy 100 denied: {reason.value} {number} over 50,000",
        judged_at=NOON,
    )
    return IntentDenied(at=NOON, intent=wanted, denial=denial)


def minute_closed(bar_ts: datetime = NOON) -> MinuteClosed:
    """Make a minute's close."""
    zero = Decimal(0)
    return MinuteClosed(
        at=bar_ts + MINUTE,
        session_date=DAY,
        bar_ts=bar_ts,
        equity=zero,
        cash=zero,
        realized_pnl=zero,
        unrealized_pnl=zero,
        fees=zero,
        gross=zero,
        net=zero,
        marks=(),
    )


def fold(events: Iterable[AnyEvent], mode: Mode = Mode.PAPER) -> Outbox:
    """Fold events into an outbox."""
    outbox = Outbox(mode)
    for event in events:
        outbox.apply(event)
    return outbox


def found_break() -> BreakFound:
    """Make a position break."""
    return BreakFound(
        at=NOON,
        session_date=DAY,
        found=Break(
            break_id="position/AAPL/0/3",
            kind=BreakKind.POSITION,
            key="AAPL",
            ours=Decimal(0),
            theirs=Decimal(3),
            notional_usd=Decimal("540"),
            detail="no order explains it",
            found_at=NOON,
        ),
    )


ALERTS: list[AnyEvent] = [
    started(),
    ended(),
    found_break(),
    BreakResolved(at=NOON, break_id="b", how="accepted", by="ann", cause="by hand"),
    TradingStateChanged(at=NOON, state=TradingState.HALTED, cause="kill", by="ann"),
    LatchSet(at=NOON, name=LatchName.DAILY_LOSS, number=Decimal(1200), limit=Decimal(1000), cause="loss"),
    LatchReleased(at=NOON, name=LatchName.DAILY_LOSS, by="ann", cause="looked at it"),
    ProtectionSet(
        at=NOON,
        protection="cool_down",
        scope=ProtectionScope.SYMBOL,
        key="AAPL",
        until=NOON,
        number=Decimal(600),
        limit=Decimal(500),
        cause="loss",
    ),
    ProtectionLifted(at=NOON, protection="cool_down", key="AAPL", by="ann", cause="looked at it"),
    KillVerified(at=NOON, orders_canceled=2, positions_closed=1),
    StreamChanged(at=NOON, is_up=False, cause="not connected"),
    OrderOutcomeLost(at=NOON, client_order_id="mqd-a", cause="504"),
    PositionAdjusted(
        at=NOON, strategy="s", symbol="AAPL", qty_change=Decimal(3), price=Decimal(180), cause="break"
    ),
    CashAdjusted(at=NOON, amount=Decimal("-12.50"), cause="break"),
]


@pytest.mark.parametrize("event", ALERTS, ids=lambda event: event.kind)
def test_what_a_person_may_act_on_goes_to_system_alerts(event: AnyEvent) -> None:
    """Each of these events owes one alert, in both modes."""
    for mode in Mode:
        (notice,) = fold([event], mode).owed()

        assert notice.channel is Channel.SYSTEM_ALERTS
        assert notice.at == event.at


@pytest.mark.parametrize(
    ("mode", "channel"), [(Mode.PAPER, Channel.PAPER_TRADES), (Mode.LIVE, Channel.LIVE_TRADES)]
)
def test_trades_go_to_the_channel_of_the_accounts_mode(mode: Mode, channel: Channel) -> None:
    """A fill, a reject, a minute's denials and the day's summary follow paper or live."""
    order = intent("mqd-a")
    closed = DayClosed(
        at=NOON,
        session_date=DAY,
        equity=Decimal(25_010),
        cash=Decimal(25_010),
        realized_pnl=Decimal(10),
        fees=Decimal(0),
    )
    events: list[AnyEvent] = [
        planned(order),
        filled(order, "e1", "100"),
        OrderRejected(at=NOON, client_order_id="mqd-b", code="403", message="no"),
        denied("60000"),
        minute_closed(),
        closed,
    ]

    assert [notice.channel for notice in fold(events, mode).owed()] == [channel] * 4


def test_a_drawdown_is_told_as_a_share() -> None:
    """A drawdown's number is a share of equity, not dollars; a pause names what and until when."""
    fall = LatchSet(
        at=NOON, name=LatchName.DRAWDOWN, number=Decimal("0.21"), limit=Decimal("0.20"), cause="fell"
    )
    pause = next(event for event in ALERTS if isinstance(event, ProtectionSet))

    first, second = fold([fall, pause]).owed()

    assert first.text == "LATCH drawdown: 0.2100 of equity over 0.20: fell"
    assert second.text == "PAUSED until 2025-11-26 17:00 UTC: symbol AAPL, by cool_down: loss"


def test_the_kill_latch_is_told_without_numbers() -> None:
    """It has no limit that was passed; "1.00 over 0.00 USD" would look like a loss."""
    latch = LatchSet(
        at=NOON, name=LatchName.KILL, number=Decimal(1), limit=Decimal(0), cause="by ann: rehearsal"
    )

    (only,) = fold([latch]).owed()

    assert only.text == "LATCH kill: by ann: rehearsal"


def test_quiet_events_tell_nobody() -> None:
    """A plan, an acknowledgement and a minute without denials owe nothing."""
    order = intent("mqd-a")
    ack = OrderAcknowledged(at=NOON, client_order_id="mqd-a", broker_order_id="b")

    assert fold([planned(order), ack, minute_closed()]).owed() == ()


def test_texts_name_the_thing_the_number_and_the_limit() -> None:
    """A fill says what, how many and at what price; a latch its number and limit; a break both sides."""
    order = intent("mqd-a")
    texts = [
        notice.text
        for notice in fold([planned(order), filled(order, "e1", "100", price="180.25"), *ALERTS[2:6]]).owed()
    ]

    assert texts[0] == "AAPL BUY 100 at 180.25 (entry, sma_crossover, fee 0.00 USD)"
    assert "ours 0, broker 3" in texts[1]
    assert "1,200.00 over 1,000.00 USD" in texts[4]


def test_the_same_ledger_owes_the_same_notices() -> None:
    """Ids are functions of the events: another process derives the very same notices."""
    order = intent("mqd-a")
    events: list[AnyEvent] = [
        *ALERTS,
        planned(order),
        filled(order, "e1", "100"),
        denied("1"),
        minute_closed(),
    ]

    assert fold(events).owed() == fold(events).owed()
    assert len({notice.notice_id for notice in fold(events).owed()}) == len(fold(events).owed())


def test_a_queued_notice_is_not_owed_again() -> None:
    """Folding the ledger again with its queued notices owes nothing and has them pending."""
    events = list(ALERTS)
    owed = fold(events).owed()

    outbox = fold([*events, *owed])

    assert outbox.owed() == ()
    assert outbox.pending() == owed


def test_a_delivered_notice_is_over_even_if_queued_twice() -> None:
    """Two processes may queue the same notice; its delivery ends both."""
    (notice,) = fold([found_break()]).owed()
    delivered = NoticeDelivered(at=NOON, notice_id=notice.notice_id, via="discord")

    assert fold([found_break(), notice, delivered, notice]).pending() == ()


def test_an_execution_under_two_names_is_told_once() -> None:
    """Stream and REST may name one execution differently; the cumulative quantity gives it away."""
    order = intent("mqd-a")
    events = [
        planned(order),
        filled(order, "s1", "40", cum_qty="40"),
        filled(order, "r1", "40", cum_qty="40"),
    ]

    assert len(fold(events).owed()) == 1


def test_a_minutes_denials_make_one_notice_when_the_minute_is_closed() -> None:
    """Any number of denials is one message with counts, and nothing before the minute is over."""
    denials = [denied(str(60_000 + each)) for each in range(40)] + [denied("240", reason=Reason.STALE_DATA)]

    assert fold(denials).owed() == ()
    (notice,) = fold([*denials, minute_closed()]).owed()
    assert notice.text.startswith("41 intents denied: 40 gross_exposure, 1 stale_data")


def test_a_session_that_ends_in_mid_minute_still_tells_its_denials() -> None:
    """Without a MinuteClosed the session's end, or the next start, closes the minute."""
    for event in (ended(), started("r2")):
        texts = [notice.text for notice in fold([denied("60000"), event]).owed()]

        assert texts[0] == "AAPL buy 100 denied: gross_exposure 60000 over 50,000"


def test_a_start_after_a_session_that_never_ended_is_a_restart() -> None:
    """The second start of a date says that the first crashed; after a proper end it does not."""
    crashed = fold([started("r1"), started("r2")]).owed()[-1]
    again = fold([started("r1"), ended("r1"), started("r2")]).owed()[-1]

    assert crashed.notice_id == "restarted/r2"
    assert "r1 never ended" in crashed.text
    assert again.notice_id == "started/r2"


class Post:
    """A notifier that keeps what it took, and refuses while it is down."""

    def __init__(self, *, down: bool = False, limit: int = 1_000) -> None:
        self.down = down
        self.limit = limit
        self.calls = 0
        self.taken: list[tuple[str, str]] = []

    def send(self, channel: str, text: str) -> bool:
        self.calls += 1
        if self.down or len(self.taken) >= self.limit:
            return False
        self.taken.append((channel, text))
        return True


def notices(count: int, *, channel: Channel = Channel.SYSTEM_ALERTS, length: int = 250) -> list[NoticeQueued]:
    """Make pending notices with texts of a length."""
    return [
        NoticeQueued(at=NOON, notice_id=f"{channel}/{each}", channel=channel, text=f"{each:0{length}}")
        for each in range(count)
    ]


def ids(batches: Iterable[Sequence[NoticeDelivered]]) -> list[str]:
    """Give the ids of all deliveries, in order."""
    return [each.notice_id for batch in batches for each in batch]


def test_a_channel_without_a_webhook_is_delivered_by_the_log() -> None:
    """No notifier means the log has it, and it is not tried again."""
    pending = notices(3)

    (batch,) = deliver(pending, {}, now=NOON)

    assert {each.via for each in batch} == {"log"}
    assert ids([batch]) == [each.notice_id for each in pending]


def test_notices_are_joined_into_messages_in_order() -> None:
    """Twenty notices of 250 characters fit three messages, none over the limit, nothing reordered."""
    post = Post()
    pending = notices(20)

    delivered = ids(deliver(pending, {Channel.SYSTEM_ALERTS: post}, now=NOON))

    assert delivered == [each.notice_id for each in pending]
    assert len(post.taken) == 3
    assert all(len(text) <= MESSAGE_MAX for _, text in post.taken)
    assert "\n".join(text for _, text in post.taken).split("\n") == [each.text for each in pending]


def test_a_channel_that_is_down_is_asked_once_and_keeps_its_notices() -> None:
    """Nothing is delivered behind a failure, and other channels are not held up by it."""
    down, up = Post(down=True), Post()
    pending = notices(20) + notices(2, channel=Channel.PAPER_TRADES)

    delivered = ids(deliver(pending, {Channel.SYSTEM_ALERTS: down, Channel.PAPER_TRADES: up}, now=NOON))

    assert down.calls == 1
    assert delivered == [f"{Channel.PAPER_TRADES}/0", f"{Channel.PAPER_TRADES}/1"]


def test_a_failure_in_the_middle_delivers_only_what_was_taken() -> None:
    """The first message counts, the refused one and all after it stay pending."""
    post = Post(limit=1)

    delivered = ids(deliver(notices(20), {Channel.SYSTEM_ALERTS: post}, now=NOON))

    assert delivered == [f"{Channel.SYSTEM_ALERTS}/{each}" for each in range(7)]
    assert post.calls == 2


def test_one_pass_sends_a_bounded_number_of_messages() -> None:
    """However many are pending, a pass makes at most `SEND_MAX` calls."""
    post = Post()

    delivered = ids(deliver(notices(7 * (SEND_MAX + 5)), {Channel.SYSTEM_ALERTS: post}, now=NOON))

    assert post.calls == SEND_MAX
    assert len(delivered) == 7 * SEND_MAX
