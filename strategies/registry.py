"""The strategies there are: every module of this package that defines one, found and checked on load.

A strategy registers with `@register`. `create` imports all modules of the package once; a module that
cannot be imported is a mistake of its own and named, and hides no other strategy.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import strategies
from strategies.base import Params, Strategy, StrategyError

_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
# Client order ids carry the name beside date, symbol, time and attempt, and the broker takes 128 characters.
NAME_CHARS_MAX = 40

# What a module under work raises when it is imported.
_IMPORT_ERRORS = (ImportError, SyntaxError, NameError, AttributeError, LookupError, TypeError, ValueError)

_REGISTERED: dict[str, type[Strategy]] = {}

StrategyType = TypeVar("StrategyType", bound=type[Strategy])


def register(strategy: StrategyType) -> StrategyType:
    """Add a strategy class; used as a decorator.

    Raises:
        StrategyError: As `check`.
    """
    check(strategy)
    _REGISTERED[strategy.name] = strategy
    return strategy


def check(strategy: type[Strategy]) -> None:
    """Refuse a class that could not be registered.

    Raises:
        StrategyError: The name is taken or malformed, or a parameter has no description.
    """
    name = getattr(strategy, "name", "")
    if not isinstance(name, str) or not name or not set(name) <= _NAME_CHARS or len(name) > NAME_CHARS_MAX:
        raise StrategyError(
            f"strategy name {name!r} of {strategy.__qualname__}: allowed are a-z, 0-9 and _, "
            f"1 to {NAME_CHARS_MAX} characters"
        )
    held = _REGISTERED.get(name)
    if held is not None and (held.__module__, held.__qualname__) != (
        strategy.__module__,
        strategy.__qualname__,
    ):
        raise StrategyError(f"strategy name {name} is taken by {held.__module__}.{held.__qualname__}")
    model = strategy.params_model
    if not (isinstance(model, type) and issubclass(model, Params)):
        shown = model.__name__ if isinstance(model, type) else repr(model)
        raise StrategyError(
            f"strategy {name}: params_model is {shown}; it must be a subclass of strategies.base.Params"
        )
    bare = [key for key, field in model.model_fields.items() if not field.description]
    if bare:
        raise StrategyError(f"strategy {name}: parameter {', '.join(bare)} has no description")


@contextmanager
def aside() -> Iterator[None]:
    """Forget what is registered meanwhile: strategies from outside are not shipped by being looked at."""
    load()
    kept = dict(_REGISTERED)
    try:
        yield
    finally:
        _REGISTERED.clear()
        _REGISTERED.update(kept)


def load() -> dict[str, str]:
    """Import every module of the package; give the ones that failed, module to one-line cause."""
    failures: dict[str, str] = {}
    for module in pkgutil.iter_modules(strategies.__path__, prefix=f"{strategies.__name__}."):
        try:
            importlib.import_module(module.name)
        except _IMPORT_ERRORS as error:
            failures[module.name] = f"{type(error).__name__}: {error}"
    return failures


def names() -> tuple[str, ...]:
    """Give the registered names, sorted."""
    load()
    return tuple(sorted(_REGISTERED))


def params_of(name: str) -> type[Params]:
    """Give a strategy's parameters model, for help texts.

    Raises:
        StrategyError: The name is not registered.
    """
    return class_of(name).params_model


def create(name: str, symbols: Iterable[str], params: Mapping[str, object] | None = None) -> Strategy:
    """Make a strategy ready to run.

    Raises:
        StrategyError: Unknown name, no symbols, an unknown parameter or a value outside its bounds.
    """
    return class_of(name)(symbols, params)


def class_of(name: str) -> type[Strategy]:
    """Give a registered strategy's class.

    Raises:
        StrategyError: The name is not registered.
    """
    load()
    found = _REGISTERED.get(name)
    if found is None:
        raise StrategyError(unknown(name, names()))
    return found


def unknown(name: str, allowed: Iterable[str]) -> str:
    """Say in one line that a name is unknown, what is allowed, and which modules could not be loaded."""
    broken = "".join(f"; {module} could not be loaded: {cause}" for module, cause in load().items())
    return f"unknown strategy {name!r}{broken}; allowed: {', '.join(allowed)}"
