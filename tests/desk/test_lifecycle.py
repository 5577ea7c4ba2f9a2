"""The order machine: every state meets every event."""

from itertools import product

import pytest

from desk.errors import IllegalTransition
from desk.lifecycle import STATUS_EVENTS, TRANSITIONS, OrderEvent, diagram, transition
from schemas.orders import OrderState
from tests.answers.lifecycle import LEGAL, STATUS_WORDS


@pytest.mark.parametrize(("state", "event"), list(product(OrderState, OrderEvent)))
def test_every_state_meets_every_event(state: OrderState, event: OrderEvent) -> None:
    """A pair leads where the answer sheet says, or it raises."""
    expected = LEGAL.get((state.value, event.value))

    if expected is None:
        with pytest.raises(IllegalTransition, match=event.value):
            transition(state, event)
    else:
        assert transition(state, event).value == expected


def test_every_status_word_of_alpaca_is_mapped() -> None:
    """All 18 words of ALPACA.md §2.5 are evidence of something."""
    assert set(STATUS_EVENTS) == STATUS_WORDS


def test_a_terminal_state_is_left_only_for_a_fill_or_a_late_word() -> None:
    """From an ended order only executions (and, after a refusal, the broker's own word) lead on."""
    leaving = {
        (state, event)
        for state, row in TRANSITIONS.items()
        if state.is_terminal
        for event, after in row.items()
        if after is not state
    }

    assert {event for state, event in leaving if state is not OrderState.REJECTED} == {OrderEvent.FILL}


def test_diagram_names_every_state() -> None:
    """The drawing in the documents is made from the table."""
    assert all(state.value in diagram() for state in OrderState)
