"""docs/strategies.md gives every indicator's signature as it is."""

import inspect
import re

from strategies import indicators
from tests.house import CHECKOUT

ROW = re.compile(r"^\| `(\w+\([^`]*\))` \| (.+) \|$", re.MULTILINE)


def signature_of(name: str) -> str:
    """Give a function's signature without its types, as a person calls it."""
    plain = inspect.signature(getattr(indicators, name))
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in plain.parameters.values()]
    told = plain.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    return f"{name}{told}".replace("'", '"')


def test_the_table_of_indicators_has_every_function_as_it_is_called() -> None:
    """A name, what must be named, and what may be left out are those of the code; each says what it gives."""
    page = (CHECKOUT / "docs" / "strategies.md").read_text(encoding="utf-8")
    rows = ROW.findall(page)
    public = [
        name
        for name, _ in inspect.getmembers(indicators, inspect.isfunction)
        if not name.startswith("_") and getattr(indicators, name).__module__ == indicators.__name__
    ]

    assert sorted(said for said, _ in rows) == sorted(signature_of(name) for name in public)
    assert all(len(words) > 10 for _, words in rows)
