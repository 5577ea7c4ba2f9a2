"""What a session changes of its process, it puts back."""

import sys

import pytest

from tasks.trading import SWITCH_S, prompt_threads


def test_threads_switch_fast_only_while_a_session_runs() -> None:
    """Others get the interpreter soon while a session runs, and as before when it ended badly."""
    before = sys.getswitchinterval()

    def fail() -> None:
        with prompt_threads():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
            raise RuntimeError("a session that fails")

    with pytest.raises(RuntimeError):
        fail()

    assert sys.getswitchinterval() == before
