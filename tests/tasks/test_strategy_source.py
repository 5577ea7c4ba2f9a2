"""Strategies from outside: a file anywhere, an installed package, and one clear line for every mistake."""

import re
import sys
from pathlib import Path

import pytest

from desk.errors import ConfigError
from schemas.settings import Settings, StrategySettings
from strategies import registry
from strategies.base import StrategyError
from tasks.configuration import load_settings
from tasks.resources import make_strategies, under_own_names
from tasks.strategy_source import anchored, known_names, make_strategy, read_params, strategy_class

IDEA = '''
"""Long while the close is above a price."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from pydantic import Field

from strategies.base import Params, Strategy


class Limits(Params):
    """Where it begins."""

    over: float = Field(10.0, gt=0, description="USD.")


@dataclass
class Note:
    """A dataclass needs its module to be findable."""

    words: str


class MyIdea(Strategy):
    """See the module."""

    name = "my_idea"
    params_model = Limits
    checked: Limits

    def bars_needed(self) -> int:
        return 1

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        target = (pl.col("close") > self.checked.over).cast(pl.Float64)
        return bars.select(
            "symbol", "ts", target.alias("target"), price="close", reason=pl.lit(Note("over").words)
        )
'''


@pytest.fixture
def idea(tmp_path: Path) -> Path:
    """Give a file with one strategy, outside the repository."""
    return written(tmp_path, IDEA)


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(name: str) -> str:
    with pytest.raises(StrategyError) as caught:
        strategy_class(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_gives_its_class(idea: Path) -> None:
    """`path/to/mine.py:MyIdea` is the class, ready to be made with parameters."""
    strategy = make_strategy(f"{idea}:MyIdea", ["AAPL"], {"over": 20})

    assert (strategy.name, strategy.symbols, strategy.warm_up) == ("my_idea", ("AAPL",), 1)
    assert strategy.checked.model_dump() == {"over": 20.0}


def test_the_only_strategy_of_a_file_needs_no_name(idea: Path) -> None:
    """Without a class, the file's only strategy is meant."""
    assert strategy_class(str(idea)).__name__ == "MyIdea"


def test_a_changed_file_is_read_again(idea: Path) -> None:
    """What stands in the file now is what runs, not what stood there a moment ago."""
    assert strategy_class(str(idea)).name == "my_idea"
    idea.write_text(IDEA.replace('"my_idea"', '"my_idee"'), encoding="utf-8")

    assert strategy_class(str(idea)).name == "my_idee"


def test_a_file_may_register_as_shipped_ones_do(tmp_path: Path) -> None:
    """`@register` in a user's file is accepted, twice too, and adds nothing to the shipped names."""
    before = registry.names()
    text = IDEA.replace("class MyIdea", "@register\nclass MyIdea").replace(
        "import polars as pl", "import polars as pl\n\nfrom strategies.registry import register"
    )
    path = written(tmp_path, text)

    assert strategy_class(str(path)).name == strategy_class(str(path)).name == "my_idea"
    assert registry.names() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("class MyIdea(Strategy)", "class MyIdea"), "has no strategy"),
        (("class MyIdea(Strategy):", "class MyIdea(Strategy)"), "line 27: expected ':'"),
        (("import polars as pl", "import polarz as pl"), "line 8: No module named 'polarz'"),
        (("gt=0", "gt=nothing"), "line 17: NameError: name 'nothing' is not defined"),
        (('    name = "my_idea"\n', ""), "strategy name ''"),
        (('"my_idea"', '"My Idea"'), "allowed are a-z, 0-9 and _"),
        (('"my_idea"', '"rsi"'), "strategy name rsi is taken by strategies.rsi.RsiReversion"),
        (("    params_model = Limits\n", ""), "MyIdea has no params_model, and Limits is nobody's"),
        (("params_model = Limits", "params_model = dict"), "params_model is dict; it must be a subclass"),
        ((', description="USD."', ""), "parameter over has no description"),
        (("def bars_needed", "def bars_wanted"), "MyIdea does not define bars_needed"),
        (("class MyIdea", "raise SystemExit(3)\n\n\nclass MyIdea"), "line 27: SystemExit: 3"),
    ],
)
def test_each_mistake_in_a_file_is_one_line(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    """What is wrong is named with the file, and with the line where there is one."""
    assert change[0] in IDEA
    path = written(tmp_path, IDEA.replace(*change))

    told = complaint(str(path))

    assert words in told
    assert told.startswith(str(path)), told


def test_a_class_that_is_not_there_is_named_with_those_that_are(idea: Path) -> None:
    """A misspelt class is answered with the strategies of the file."""
    assert complaint(f"{idea}:MyIdeal") == f"{idea} has no MyIdeal; strategies there: MyIdea"


def test_what_is_no_strategy_is_told(idea: Path) -> None:
    """A class of another kind, and a thing that is no class, are refused."""
    assert "Limits is not a subclass of strategies.base.Strategy" in complaint(f"{idea}:Limits")
    assert "pl is not a subclass of strategies.base.Strategy" in complaint(f"{idea}:pl")


def test_two_strategies_in_a_file_need_a_name(tmp_path: Path) -> None:
    """Where a file has several, they are listed and one has to be named."""
    second = IDEA.partition("class MyIdea")[2].replace('"my_idea"', '"other"')
    path = written(tmp_path, f"{IDEA}\n\nclass Other{second}")

    assert f"has several strategies: MyIdea, Other; name one, as in {path}:MyIdea" in complaint(str(path))
    assert strategy_class(f"{path}:Other").name == "other"


def test_no_file_is_told(tmp_path: Path) -> None:
    """A path that leads nowhere, and a folder, are each one line."""
    (tmp_path / "folder.py").mkdir()

    assert complaint(f"{tmp_path}/nowhere.py:MyIdea") == f"{tmp_path}/nowhere.py: no such file"
    assert "not a file" in complaint(f"{tmp_path}/folder.py")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused by name."""
    (tmp_path / "mine.py").write_bytes(b'NAME = "caf\xe9"\n')

    assert "line 1" in complaint(str(tmp_path / "mine.py"))


def test_an_unknown_name_lists_what_there_is() -> None:
    """A misspelt name is answered with the shipped ones and the shape of the others."""
    told = complaint("crystal_ball")

    assert "unknown strategy 'crystal_ball'" in told
    assert "vwap_mean_reversion" in told
    assert "path/to/mine.py:MyIdea" in told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 / 0", "it cannot be made: ZeroDivisionError: division by zero"),
        ("return 2.5", "bars_needed gives 2.5; allowed: a whole number"),
        ("return -1", "bars_needed gives -1"),
    ],
)
def test_a_warm_up_that_cannot_be_is_told(tmp_path: Path, body: str, words: str) -> None:
    """What bars_needed does wrong is one line too."""
    path = written(tmp_path, IDEA.replace("return 1", body))

    with pytest.raises(StrategyError, match=re.escape(words)):
        make_strategy(str(path), ["AAPL"])


def test_parameters_are_read_as_they_are_written() -> None:
    """Numbers, words and switches of a command line become what a strategy's parameters expect."""
    assert read_params(["fast=20", "k = 1.5", "allow_short=true", "mode=slow"]) == {
        "fast": 20,
        "k": 1.5,
        "allow_short": True,
        "mode": "slow",
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [(["fast"], "name=value"), (["=3"], "name=value"), (["a=1", "a=2"], "twice"), (["a=[1"], "YAML")],
)
def test_parameters_that_cannot_be_read_are_told(words: list[str], told: str) -> None:
    """Each mistake of `--param` is one line."""
    with pytest.raises(StrategyError, match=told):
        read_params(words)


# ---- installed packages --------------------------------------------------------------------


def install(folder: Path, *, entry: str, name: str = "ideas") -> None:
    """Make a folder look like site-packages with one package that offers an entry point."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(IDEA, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[miniquantdesk.strategies]\n{entry}\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that Python imports from; what was imported from it is forgotten."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ideas", "more_ideas"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_package_gives_its_class(site: Path) -> None:
    """`package.module:MyIdea` is imported as Python would."""
    install(site, entry="")

    assert strategy_class("ideas:MyIdea").name == "my_idea"
    assert complaint("ideas:Nothing") == "ideas has no Nothing; strategies there: MyIdea"
    assert "nowhere_at_all: No module named 'nowhere_at_all'" in complaint("nowhere_at_all:MyIdea")
    assert "package.module:MyIdea" in complaint("ideas:")


def test_an_entry_point_gives_a_name(site: Path) -> None:
    """A package that offers a strategy under its name is as good as a shipped one."""
    install(site, entry="my_idea = ideas:MyIdea")

    assert strategy_class("my_idea").name == "my_idea"
    assert "my_idea" in known_names()


def test_an_entry_point_under_another_name_is_refused(site: Path) -> None:
    """Orders are named by the strategy's own name, so a package may not offer it under another."""
    install(site, entry="golden_goose = ideas:MyIdea")

    assert "offers MyIdea as golden_goose, but its name is my_idea" in complaint("golden_goose")


def test_two_packages_with_one_name_are_refused(site: Path) -> None:
    """What is ambiguous is not chosen; both packages are named."""
    install(site, entry="my_idea = ideas:MyIdea")
    install(site, entry="my_idea = more_ideas:MyIdea", name="more_ideas")

    assert "my_idea is offered by ideas and more_ideas" in complaint("my_idea")


def test_a_package_may_not_take_a_shipped_name(site: Path) -> None:
    """A shipped strategy that a package offers too is ambiguous, not quietly one of them."""
    install(site, entry="rsi = ideas:MyIdea")

    assert "rsi is shipped, and offered by ideas" in complaint("rsi")


# ---- settings --------------------------------------------------------------------------------


def test_settings_take_a_file_beside_desk_yaml(
    tmp_path: Path, idea: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path in desk.yaml counts from desk.yaml, wherever the command is typed."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "desk.yaml").write_text(
        "symbols: [AAPL]\nstrategies:\n  - {name: 'mine.py:MyIdea', params: {over: 5}}\n", encoding="utf-8"
    )

    settings = load_settings(tmp_path / "desk.yaml")
    made = make_strategies(settings)

    assert settings.strategies[0].name == f"{idea}:MyIdea"
    assert [each.name for each in made] == ["my_idea"]


def test_the_desk_knows_a_strategy_by_its_own_name(idea: Path) -> None:
    """Allocation, size and exits of a strategy from outside are found under the name its orders carry."""
    chosen = (StrategySettings(name=f"{idea}:MyIdea"), StrategySettings(name="rsi"))
    settings = Settings(symbols=("AAPL",), strategies=chosen)

    renamed = under_own_names(settings, make_strategies(settings))

    assert [each.name for each in renamed.strategies] == ["my_idea", "rsi"]
    assert renamed.strategies[0].allocation_frac == chosen[0].allocation_frac


def test_two_configured_strategies_may_not_share_a_name(tmp_path: Path) -> None:
    """Two files with one strategy name would share positions; both are named."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    names = [str(written(tmp_path / each, IDEA)) for each in ("a", "b")]
    settings = Settings(symbols=("AAPL",), strategies=tuple(StrategySettings(name=name) for name in names))

    with pytest.raises(ConfigError, match=r"my_idea is the name of .*a/mine\.py and .*b/mine\.py"):
        make_strategies(settings)


def test_only_paths_are_anchored(tmp_path: Path) -> None:
    """Names and packages stay as they are; a home and an absolute path too."""
    assert anchored("rsi", tmp_path) == "rsi"
    assert anchored("package.module:MyIdea", tmp_path) == "package.module:MyIdea"
    assert anchored("mine.py", tmp_path) == str(tmp_path / "mine.py")
    assert anchored("/there/mine.py:A", tmp_path) == "/there/mine.py:A"
    assert anchored("~/mine.py:A", tmp_path) == f"{Path.home()}/mine.py:A"
