"""Find a strategy: shipped, in a user's file, or in an installed package.

    rsi                       a shipped strategy, or one a package offers as an entry point (`ENTRY_POINTS`)
    path/to/mine.py:MyIdea    a class of a file anywhere; without `:MyIdea`, the file's only strategy
    package.module:MyIdea     a class of a package that Python can import

A file is read anew each time and by itself: its folder is not on the import path, where it could shadow a
room of ours. Whatever is wrong with it is one line, with the file and where possible the line.
"""

import importlib
import inspect
import sys
import traceback
import zlib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

import yaml

from strategies import registry
from strategies.base import NoParams, Params, Strategy, StrategyError

ENTRY_POINTS = "miniquantdesk.strategies"
SHAPES = "or path/to/mine.py:MyIdea, or package.module:MyIdea"


def make_strategy(name: str, symbols: Iterable[str], params: Mapping[str, object] | None = None) -> Strategy:
    """Make a strategy ready to run.

    Raises:
        StrategyError: It cannot be found or used; no symbols, or a wrong parameter.
    """
    return strategy_of(strategy_class(name), name, symbols, params)


def strategy_of(
    kind: type[Strategy], name: str, symbols: Iterable[str], params: Mapping[str, object] | None
) -> Strategy:
    """Make a strategy of a class that was found: a search makes thousands, and finding takes milliseconds.

    Raises:
        StrategyError: It cannot be used; no symbols, or a wrong parameter.
    """
    try:
        made = kind(symbols, params)
    except StrategyError:
        raise
    except Exception as error:  # a user's bars_needed may raise anything: see BROAD_LEAVE
        raise StrategyError(f"{name}: it cannot be made: {_cause(error)}") from error
    needed: object = made.warm_up
    if not isinstance(needed, int) or needed < 0:
        raise StrategyError(f"{name}: bars_needed gives {needed!r}; allowed: a whole number, 0 or more")
    return made


def read_params(words: Iterable[str]) -> dict[str, object]:
    """Read parameters as a person writes them on the command line: `fast=20`, `allow_short=true`.

    Raises:
        StrategyError: One is not of the form name=value, or a name is there twice.
    """
    found: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise StrategyError(f"--param {word}: write name=value, as in fast=20")
        if key.strip() in found:
            raise StrategyError(f"--param {key.strip()} is there twice; allowed: once")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise StrategyError(f"--param {word}: its value is not one of YAML's") from error
    return found


def strategy_class(name: str) -> type[Strategy]:
    """Find a strategy's class by what a person writes for it; see the module.

    Raises:
        StrategyError: It cannot be found, is ambiguous, or is no usable strategy.
    """
    path, wanted = _file_and_class(name)
    if path is not None:
        module = _of_file(path)
        return _chosen(module, wanted, where=str(path), named=str(path))
    place, colon, wanted = name.partition(":")
    if not colon:
        return _by_name(name)
    if not place or not wanted:
        raise StrategyError(f"strategy {name!r}: write a name, {SHAPES}")
    with registry.aside():
        try:
            module = importlib.import_module(place)
        except Exception as error:  # a package of anybody's: see BROAD_LEAVE
            raise StrategyError(f"{place}: {_cause(error)}") from error
    return _chosen(module, wanted, where=place, named=place)


def known_names() -> tuple[str, ...]:
    """Give the names that need no path: shipped strategies and those packages offer, sorted."""
    return tuple(sorted({*registry.names(), *(each.name for each in _offered())}))


def anchored(name: str, folder: Path) -> str:
    """Give a strategy's name with a relative path counted from `folder`; other names as they are."""
    path, wanted = _file_and_class(name)
    if path is None:
        return name
    return f"{folder / path}:{wanted}" if wanted else str(folder / path)


def _file_and_class(name: str) -> tuple[Path | None, str]:
    """Part `path/to/mine.py:MyIdea`; no path where it names none."""
    head, colon, tail = name.rpartition(":")
    path, wanted = (head, tail) if colon and not tail.endswith(".py") else (name, "")
    return (Path(path).expanduser() if path.endswith(".py") else None), wanted


# ---- a file --------------------------------------------------------------------------------


def _of_file(path: Path) -> ModuleType:
    """Run a user's file as a module of its own, without leaving compiled files beside it."""
    if not path.is_file():
        raise StrategyError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        code = compile(path.read_bytes(), str(path), "exec")
    except SyntaxError as error:
        line = 1 if error.lineno is None else error.lineno
        raise StrategyError(f"{path} line {line}: {_cause(error)}") from error
    except (ValueError, OSError) as error:  # a null byte; a file that may not be read
        raise StrategyError(f"{path}: {_cause(error)}") from error
    # A name that is the path's own: dataclasses and pydantic look their module up by it.
    name = f"outside_{zlib.crc32(str(path.absolute()).encode()):08x}_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    with registry.aside():
        try:
            exec(code, module.__dict__)
        except (Exception, SystemExit) as error:  # a user's file may raise anything: see BROAD_LEAVE
            del sys.modules[name]
            lines = [
                each.lineno
                for each in traceback.extract_tb(error.__traceback__)
                if each.filename == str(path)
            ]
            where = f"{path} line {lines[-1]}" if lines else str(path)
            raise StrategyError(f"{where}: {_cause(error)}") from error
    return module


def _cause(error: BaseException) -> str:
    """Give an error as one line; where the words say enough, without its kind."""
    words = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    if isinstance(error, SyntaxError | ImportError | StrategyError | OSError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


# ---- a name --------------------------------------------------------------------------------


def _by_name(name: str) -> type[Strategy]:
    offers = [each for each in _offered() if each.name == name]
    packages = " and ".join(sorted(_package(each) for each in offers))
    if name in registry.names():
        if offers:
            raise StrategyError(
                f"strategy {name} is shipped, and offered by {packages}; write {packages}:CLASS"
            )
        return registry.class_of(name)
    if not offers:
        raise StrategyError(f"{registry.unknown(name, known_names())}, {SHAPES}")
    if len(offers) > 1:
        raise StrategyError(f"strategy {name} is offered by {packages}; remove one, or write package:CLASS")
    found = strategy_class(offers[0].value)
    if found.name != name:
        raise StrategyError(
            f"package {packages} offers {found.__name__} as {name}, but its name is {found.name}; "
            "they must be the same"
        )
    return found


def _offered() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINTS))


def _package(offer: EntryPoint) -> str:
    return offer.dist.name if offer.dist is not None else offer.module


# ---- a class -------------------------------------------------------------------------------


def _chosen(module: ModuleType, wanted: str, *, where: str, named: str) -> type[Strategy]:
    """Give the class that is meant, checked.

    Args:
        module: where to look.
        wanted: the class, or nothing for the only one.
        where: the file or package, for messages.
        named: what a person writes before the colon.
    """
    there = _strategies_of(module)
    if not wanted:
        if not there:
            raise StrategyError(
                f"{where} has no strategy: no class there is a subclass of strategies.base.Strategy"
            )
        if len(there) > 1:
            names = [each.__name__ for each in there]
            raise StrategyError(
                f"{where} has several strategies: {', '.join(names)}; name one, as in {named}:{names[0]}"
            )
        return _checked(there[0], module, where=where)
    found = getattr(module, wanted, None)
    if found is None:
        names_there = ", ".join(each.__name__ for each in there) or "none"
        raise StrategyError(f"{where} has no {wanted}; strategies there: {names_there}")
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyError(f"{where}: {wanted} is not a subclass of strategies.base.Strategy")
    return _checked(found, module, where=where)


def _strategies_of(module: ModuleType) -> list[type[Strategy]]:
    """Give the strategies that a module itself defines, in its order; what it imported is not meant."""
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Strategy) and each.__module__ == module.__name__
    ]


def _checked(strategy: type[Strategy], module: ModuleType, *, where: str) -> type[Strategy]:
    """Refuse a class that could not be made or asked."""
    if inspect.isabstract(strategy):
        missing = ", ".join(sorted(strategy.__abstractmethods__))
        raise StrategyError(f"{where}: {strategy.__name__} does not define {missing}")
    if strategy.params_model is NoParams and (forgotten := _unused_params(module)):
        raise StrategyError(
            f"{where}: {strategy.__name__} has no params_model, and {', '.join(forgotten)} is nobody's; "
            f"write params_model = {forgotten[0]}"
        )
    try:
        registry.check(strategy)
    except StrategyError as error:
        raise StrategyError(f"{where}: {error}") from error
    return strategy


def _unused_params(module: ModuleType) -> list[str]:
    used = {each.params_model for each in _strategies_of(module)}
    return [
        name
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, Params)
        and each.__module__ == module.__name__
        and each not in used
        and not any(issubclass(model, each) for model in used)
    ]
