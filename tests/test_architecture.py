"""The house stands as docs/architecture.md says: doors, keys, sizes, names, no ambient calls in the core."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import house
from tests.house import CHECKOUT, ROOMS, Module, modules

Rule = Callable[[Module], list[str]]
ALL = (*ROOMS, "bench", "soak")


def ambient_words(module: Module) -> list[str]:
    """Give the complaints of `house.ambient` alone."""
    return [words for _, words in house.ambient(module)]


def found(rule: Rule, *rooms: str) -> list[str]:
    """Run a rule over rooms."""
    return [complaint for module in modules(*rooms) for complaint in rule(module)]


def test_every_import_goes_through_an_open_door() -> None:
    """A room imports only the rooms its doors lead to."""
    assert found(house.shut_doors, *ROOMS) == []


def test_every_library_stays_with_its_key() -> None:
    """Prefect, the vendors' SDKs and SQL are each imported only where they belong."""
    assert found(house.missing_keys, *ROOMS) == []


def test_the_core_reaches_for_nothing_ambient() -> None:
    """Schemas, strategies and desk know the world through ports; each exception has a name and a reason."""
    complaints = [
        words
        for module in modules("schemas", "strategies", "desk")
        for kind, words in house.ambient(module)
        if kind not in house.AMBIENT_LEAVE.get(module.path, {})
    ]

    assert complaints == []


def test_no_ambient_leave_is_given_for_nothing() -> None:
    """An exception that no line of its module uses has been outlived."""
    by_path = {module.path: module for module in modules("desk")}

    unused = [
        (path, kind)
        for path, kinds in house.AMBIENT_LEAVE.items()
        for kind in kinds
        if kind not in {used for used, _ in house.ambient(by_path[path])}
    ]

    assert unused == []


def test_modules_and_functions_keep_their_budget() -> None:
    """No module is longer than 500 lines and no function longer than 60."""
    assert found(house.too_long, *ALL) == []


def test_every_module_has_a_name_that_says_something() -> None:
    """There is no utils, helpers, common, manager or core."""
    assert found(house.banned_names, *ALL) == []


def test_everything_is_caught_only_where_it_is_raised_again_or_reported() -> None:
    """`except Exception` stands in the session's halt and around a user's strategy, and nowhere else."""
    complaints = [
        words
        for module in modules(*ALL)
        if module.path not in house.BROAD_LEAVE
        for words in house.broad_excepts(module)
    ]

    assert complaints == []


def test_imports_are_absolute_and_packages_empty() -> None:
    """No import starts with a dot and no __init__.py does anything."""
    assert found(house.relative_imports, *ALL, "tests") == []
    assert found(house.full_inits, *ALL, "tests") == []


def test_no_tracked_file_names_a_registry_or_a_machine() -> None:
    """The repository can be cloned anywhere and installed from any package registry."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing is tracked")
    paths = [CHECKOUT / name for name in listed.stdout.split("\0") if name]

    complaints = [
        words
        for path in paths
        if path.is_file()
        for words in house.places(
            path.relative_to(CHECKOUT).as_posix(), path.read_text(encoding="utf-8", errors="replace")
        )
    ]

    assert complaints == []


def test_the_lock_pins_every_package_by_hash() -> None:
    """Both files give one version and hashes for each package, and no address; the second only its own."""
    lock, runners = (
        (CHECKOUT / name).read_text(encoding="utf-8")
        for name in ("requirements.lock", "requirements-runners.lock")
    )
    ours, theirs = (set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE)) for text in (lock, runners))

    assert min(text.count("--hash=sha256:") for text in (lock, runners)) > 100
    assert house.loose_pins(lock) == house.loose_pins(runners) == []
    assert {"prefect-dask", "prefect-ray", "dask", "ray"} <= theirs
    assert ours & theirs == set()


def test_prefects_server_can_be_imported(tmp_path: Path) -> None:
    """The locked versions hold a Prefect server that starts: an unpinned FastAPI breaks its import."""
    quiet = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}

    imported = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import prefect.server.api.server as s; print(s.create_app)"],
        env={**os.environ, **quiet},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert imported.returncode == 0, imported.stderr[-2000:]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (house.shut_doors, "schemas/x.py", "from desk.money import tick"),
        (house.shut_doors, "strategies/x.py", "import desk.ports"),
        (house.shut_doors, "desk/x.py", "from strategies.base import Strategy"),
        (house.shut_doors, "desk/x.py", "from desk.exchange.venue import Venue"),
        (house.shut_doors, "desk/x.py", "from desk import exchange"),
        (house.shut_doors, "desk/adapters/x.py", "from desk.exchange import wire"),
        (house.shut_doors, "data/x.py", "def f():\n    from tasks import resources"),
        (house.shut_doors, "tasks/x.py", "import flows.close_day"),
        (house.shut_doors, "flows/x.py", "from desk.errors import DeskError"),
        (house.shut_doors, "cli/x.py", "from desk.errors import DeskError"),
        (house.shut_doors, "cli/x.py", "from desk.session import Session"),
        (house.shut_doors, "cli/x.py", "from data.ledger import Ledger"),
        (house.missing_keys, "desk/x.py", "from prefect import task"),
        (house.missing_keys, "tasks/x.py", "import duckdb"),
        (house.missing_keys, "cli/x.py", "import sqlalchemy as sa"),
        (house.missing_keys, "desk/exchange/x.py", "from alpaca.trading import enums"),
        (house.missing_keys, "tasks/x.py", "import discord_webhook"),
        (ambient_words, "desk/x.py", "import time"),
        (ambient_words, "desk/x.py", "from uuid import uuid4"),
        (ambient_words, "desk/x.py", "import random"),
        (ambient_words, "schemas/x.py", "import os\nos.environ['A']"),
        (ambient_words, "desk/x.py", "from datetime import datetime, UTC\nnow = datetime.now(UTC)"),
        (ambient_words, "desk/x.py", "import datetime\nnow = datetime.date.today()"),
        (ambient_words, "desk/x.py", "open('a')"),
        (ambient_words, "desk/x.py", "from pathlib import Path\nPath('a').read_text()"),
        (ambient_words, "strategies/x.py", "import polars as pl\npl.read_parquet('a')"),
        (ambient_words, "strategies/x.py", "frame.write_csv('a')"),
        (ambient_words, "desk/exchange/x.py", "import numpy as np\nnp.random.normal()"),
        (ambient_words, "desk/exchange/x.py", "import asyncio\nasync def f():\n    await asyncio.sleep(1)"),
        (house.too_long, "desk/x.py", "a = 1\n" * (house.MODULE_LINES_MAX + 1)),
        (house.too_long, "desk/x.py", "def f():\n" + "    a = 1\n" * house.FUNCTION_LINES_MAX),
        (house.banned_names, "desk/utils.py", ""),
        (house.banned_names, "tasks/common/x.py", ""),
        (house.broad_excepts, "desk/x.py", "try:\n    f()\nexcept Exception:\n    g()"),
        (house.broad_excepts, "desk/x.py", "try:\n    f()\nexcept:\n    g()"),
        (house.broad_excepts, "desk/x.py", "try:\n    f()\nexcept (ValueError, BaseException):\n    g()"),
        (house.relative_imports, "desk/x.py", "from . import money"),
        (house.full_inits, "desk/__init__.py", "import desk.money"),
    ],
)
def test_each_rule_bites(rule: Rule, path: str, source: str) -> None:
    """A snippet that breaks the rule is named by the rule."""
    assert rule(Module(path, source)) != []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (house.shut_doors, "cli/x.py", "from tasks.errors import DeskError"),
        (
            house.shut_doors,
            "desk/exchange/x.py",
            "from desk.hours import minutes\nfrom desk.exchange import wire",
        ),
        (house.shut_doors, "tasks/x.py", "from desk.adapters.discord import Discord\nimport polars"),
        (house.missing_keys, "flows/x.py", "from prefect import flow"),
        (house.missing_keys, "data/x.py", "import duckdb\nimport sqlalchemy"),
        (ambient_words, "desk/x.py", "from datetime import time\nclock.now()\nposition.open(1)"),
        (ambient_words, "desk/x.py", "from pathlib import Path\nstore: Path"),
        (ambient_words, "desk/exchange/x.py", "np.random.Generator(np.random.PCG64(seed)).normal()"),
        (ambient_words, "tasks/x.py", "import os, time"),
        (house.broad_excepts, "desk/x.py", "try:\n    f()\nexcept ValueError:\n    g()"),
    ],
)
def test_each_rule_lets_good_code_pass(rule: Rule, path: str, source: str) -> None:
    """What the rule allows is not named."""
    assert rule(Module(path, source)) == []


@pytest.mark.parametrize(
    "line",
    ["index = https://" + "py" + "pi.org/simple", "cd " + "/wo" + "rk/main", "'" + "/ro" + "ot/.cache'"],
)
def test_a_line_with_a_place_is_named(line: str) -> None:
    """Registry hosts and one machine's folders are found wherever they stand."""
    assert house.places("a.md", line) != []


@pytest.mark.parametrize(
    "entry",
    [
        "polars==2.1.0",
        "polars>=2.1 \\\n    --hash=sha256:aa",
        "--index-url https://somewhere",
        "polars @ https://somewhere/polars.whl",
    ],
)
def test_a_loose_pin_is_named(entry: str) -> None:
    """A package without hash, a range of versions and an address are each refused."""
    assert house.loose_pins(entry) != []
