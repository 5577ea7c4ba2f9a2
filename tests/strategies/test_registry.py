"""Strategies are found by name and refuse what is not allowed, in words."""

import pytest

from strategies import registry
from strategies.base import NoParams, Params, Strategy, StrategyError


def test_shipped_strategies_are_registered() -> None:
    """The strategies of this desk are found without being imported by name, and nothing else is."""
    assert registry.names() == ("bollinger", "opening_range", "rsi", "sma_crossover", "vwap_mean_reversion")


def test_what_is_registered_aside_is_forgotten() -> None:
    """Looking at a strategy from outside adds nothing to the shipped ones, whatever happens meanwhile."""
    before = registry.names()

    with pytest.raises(RuntimeError, match="went wrong"):
        register_and_fail()

    assert registry.names() == before


def register_and_fail() -> None:
    with registry.aside():
        registry.register(type("Another", (Strategy,), {"name": "another"}))
        assert "another" in registry.names()
        raise RuntimeError("the file went wrong")


def test_every_module_loads() -> None:
    """No module of the package fails to import."""
    assert registry.load() == {}


def test_unknown_name_lists_the_allowed() -> None:
    """A misspelt name is answered with the names there are."""
    with pytest.raises(StrategyError, match=r"unknown strategy 'vwap'; allowed: .*vwap_mean_reversion"):
        registry.create("vwap", ["SPY"])


def test_unknown_parameter_names_key_value_and_allowed() -> None:
    """A misspelt parameter is answered with key, value and what is allowed."""
    with pytest.raises(
        StrategyError, match=r"sma_crossover: unknown parameter fats = 3; allowed: .*fast, slow"
    ):
        registry.create("sma_crossover", ["SPY"], {"fats": 3})


def test_value_outside_its_bounds_names_key_and_value() -> None:
    """A value outside its bounds is answered with key, value and bound."""
    with pytest.raises(StrategyError, match=r"parameter k = -1: .*greater than 0"):
        registry.create("vwap_mean_reversion", ["SPY"], {"k": -1})


def test_parameters_that_contradict_each_other() -> None:
    """A fast average that is not the shorter one is refused with both numbers."""
    with pytest.raises(StrategyError, match=r"fast = 30: must be less than slow = 30"):
        registry.create("sma_crossover", ["SPY"], {"fast": 30, "slow": 30})


def test_no_symbols_is_refused() -> None:
    """A strategy of nothing is a mistake."""
    with pytest.raises(StrategyError, match="no symbols"):
        registry.create("sma_crossover", [])


def test_every_parameter_is_described() -> None:
    """The run form can show each parameter with words."""
    for name in registry.names():
        assert all(field.description for field in registry.params_of(name).model_fields.values())


class _Bare(Params):
    length: int = 3


def test_registering_needs_name_and_descriptions() -> None:
    """A class with a malformed or taken name, or a bare parameter, is refused when it is loaded."""

    def kind(name: str, model: type[Params] = NoParams) -> type[Strategy]:
        return type("Another", (Strategy,), {"name": name, "params_model": model})

    with pytest.raises(StrategyError, match="allowed are a-z"):
        registry.register(kind("My Strategy"))
    with pytest.raises(StrategyError, match="taken by"):
        registry.register(kind("sma_crossover"))
    with pytest.raises(StrategyError, match="length has no description"):
        registry.register(kind("bare", _Bare))
