"""What a session changes of its process, it puts back."""

import sys

import pytest

from tasks.trading import SWITCH_S, prompt_threads


def test_threads_switch_fast_only_while_a_session_runs() -> None:
    """A thread that computes keeps the trading one waiting for half a millisecond; afterwards as before."""
    before = sys.getswitchinterval()

    def fail() -> None:
        with prompt_threads():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
            raise RuntimeError("a session that fails")

    with pytest.raises(RuntimeError):
        fail()

    assert sys.getswitchinterval() == before
