"""Fault plans as files: what is shipped can be read, and a mistake is told in one line."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
import requests
import yaml

from desk.errors import ConfigError
from schemas.faults import FaultKind, FaultPlan, FaultRule
from tasks.fault_plans import read_plan, require_known
from tests.conftest import CHECKOUT

EXAMPLES = sorted((CHECKOUT / "docs" / "fault-plans").glob("*.yaml"))
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    """Each shipped plan is a plan."""
    assert len(read_plan(path).rules) > 5


def test_the_manual_names_every_fault_and_key() -> None:
    """docs/faults.md has a row of each fault and names each key of a rule."""
    manual = (CHECKOUT / "docs" / "faults.md").read_text(encoding="utf-8")

    assert [kind for kind in FaultKind if f"| `{kind}` | {kind.family} |" not in manual] == []
    assert [key for key in FaultRule.model_fields if f"`{key}`" not in manual] == []


def test_one_example_has_every_fault() -> None:
    """Everything at once leaves nothing out."""
    plan = read_plan(CHECKOUT / "docs" / "fault-plans" / "everything.yaml")

    assert {rule.kind for rule in plan.rules} == set(FaultKind)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [{kind: hang, chance: 1.5}]", "rules.0.chance is 1.5; allowed: less than or equal to 1"),
        ("rules: [{kind: hang, chanc: 1}]", "rules.0.chanc: no such key; allowed: kind, chance, every, at"),
        ("rules: [{kind: hung, chance: 1}]", "rules.0.kind is 'hung'; allowed: 'answer_lost', 'refused_504'"),
        ("rules: [{chance: 1}]", "rules.0.kind: missing"),
        ("rules: [{kind: hang}]", "rules.0: chance, every or at is needed"),
        ("rules: [{kind: hang, chance: 1, every: 2}]", "rules.0: chance and every exclude each other"),
        ("rules: [{kind: hang, at: noon}]", "rules.0.at is 'noon'; allowed: a time of day or an instant"),
        ("rules: [{kind: hang, at: 2026-11-20 10:31:00}]", "rules.0: an instant needs its offset"),
        ("rules: [{kind: wash_trade, every: 1, calls: [cancel]}]", "cannot befall cancel; allowed: submit"),
        ("rules: [{kind: hang, every: 1, skew_s: 3}]", "skew_s means nothing to hang; it is for clock_skew"),
        ("rules: [{kind: frame_lost, every: 1, calls: [submit]}]", "calls means nothing to frame_lost"),
        ("rules: [{kind: feed_frozen, every: 1, symbols: [SPY]}]", "symbols mean nothing to feed_frozen"),
        ("rules: [{kind: bar_late, every: 1, symbols: [spy]}]", "rules.0.symbols.0 is 'spy'"),
        ("rules: [{kind: hang, every: 1, for_s: 3}]", "for_s ends what begins at `at`, which is missing"),
        ("rules: [{kind: split_over_open_orders, every: 1, new_shares: 1}]", "that is no split"),
        ("seeds: 1", "seeds: no such key; allowed: seed, rules"),
        ("seed: x", "seed is 'x'; allowed: a valid integer"),
        ("rules: [", "line 1: not YAML"),
        ("- 1", "the file is a list; allowed: the keys seed, rules"),
        ("", "the file is empty; allowed: the keys seed, rules"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, text: str, words: str) -> None:
    """File, key, value and what is allowed stand in one line."""
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as caught:
        read_plan(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A plan that is not there is no empty plan."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_plan(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("stated", "at"),
    [
        ("10:31", time(10, 31)),  # YAML 1.1 reads this as 631
        ("10:31:05", time(10, 31, 5)),  # and this as 37865
        ("'09:31'", time(9, 31)),
        ("2026-11-20T15:31:00Z", datetime(2026, 11, 20, 15, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_may_be_written_without_quotes(tmp_path: Path, stated: str, at: time | datetime) -> None:
    """YAML's sixtieths are read back as the time of day they were."""
    plan = read_plan(written(tmp_path, f"rules: [{{kind: hang, at: {stated}}}]"))

    assert plan.rules[0].at == at


def test_a_symbol_the_market_lacks_is_named() -> None:
    """A rule that could never strike is a mistake."""
    plan = FaultPlan.model_validate({"rules": [{"kind": "bar_late", "every": 1, "symbols": ["SPX"]}]})

    with pytest.raises(ConfigError, match=r"plan\.yaml: rules\.0\.symbols names SPX.*allowed.*QQQ, SPY"):
        require_known(plan, ("SPY", "QQQ"), source="plan.yaml")


def test_desk_exchange_lies_by_a_file(tmp_path: Path) -> None:
    """A scripted plan strikes at its moment over real sockets, is counted, and can be replaced."""
    rules = [{"kind": "unavailable_503", "at": "09:31:00", "for_s": 60, "calls": ["account"]}]
    path = written(tmp_path, yaml.safe_dump({"seed": 5, "rules": rules}))
    command = [sys.executable, "-m", "cli.main", "exchange", "--date", "2025-11-26", "--port", "0"]
    command += ["--symbols", "AAPL", "--faults", str(path), "--faults-seed", "6"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            words = child.stdout.readline().split()
            url, control = words[2], words[6]

            def status() -> int:
                return requests.get(f"{url}/v2/account", headers=KEYS, timeout=5).status_code

            def to(instant: str) -> None:
                body = {"to": f"2025-11-26T{instant}Z"}
                requests.post(f"{control}/advance", json=body, timeout=30).raise_for_status()

            before = status()
            to("14:31:30")
            within = status()
            state = requests.get(f"{control}/faults", timeout=5).json()
            requests.post(f"{control}/faults", json={"rules": []}, timeout=5).raise_for_status()
            after = status()
            wrong = requests.post(f"{control}/faults", json={"rules": [{"kind": "x"}]}, timeout=5)
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(timeout=20)

    assert (before, within, after) == (200, 503, 200)
    assert (state["seed"], state["counts"], state["total"]) == (6, {"unavailable_503": 1}, 1)
    assert json.loads(json.dumps(state["rules"])) == [{**rules[0], "for_s": 60.0}]
    assert wrong.status_code == 422
    assert wrong.json()["message"].startswith("rules.0.kind is 'x'; allowed: 'answer_lost'")


def test_a_seed_without_a_plan_is_refused() -> None:
    """--faults-seed alone decides nothing."""
    command = [sys.executable, "-m", "cli.main", "exchange", "--date", "2025-11-26", "--faults-seed", "1"]

    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode != 0
    assert "give --faults too" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
