"""The documents say what the code does: commands, diagram, headings, links, tests they name."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from cli.main import app, run
from desk.lifecycle import diagram
from desk.research.findings import Check
from schemas.orders import Reason
from schemas.risk import BreakKind, LatchName
from strategies import registry
from tests.house import CHECKOUT, ROOMS

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # the app has several, so it is a group
PHASES = {"reconcile-account", "trade-session", "close-day", "verify-day", "kill-switch"}


def text_of(page: str) -> str:
    """Give a page of docs/."""
    return (CHECKOUT / "docs" / page).read_text(encoding="utf-8")


def commands_in(text: str) -> list[list[str]]:
    """Give every `desk ...` command of a page's code, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(desk [^`]+)`", text)
    return [
        shlex.split(line, comments=True)
        for line in [*lines, *inline]
        if line.startswith("desk ") and not line.startswith("desk --")
    ]


def test_readme_lists_every_command_and_no_other() -> None:
    """The table of commands is the command line's."""
    listed = re.findall(r"^\| `desk ([a-z-]+)`", README, re.MULTILINE)

    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_page_exists_with_its_options(page: Path) -> None:
    """No page tells a reader to type something the command line refuses."""
    for words in commands_in(page.read_text(encoding="utf-8")):
        assert words[1] in COMMANDS, words
        known = {
            option for param in COMMANDS[words[1]].params for option in (*param.opts, *param.secondary_opts)
        }
        used = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert used <= known, (page.name, words, used - known)


def test_pages_with_commands_are_seen() -> None:
    """The search above finds the commands, so that its silence means something."""
    assert len(commands_in(README)) > 10
    assert ["desk", "close-day", "--date", "2025-11-26"] in commands_in(README)
    assert len(commands_in(text_of("runbook.md"))) > 15


def test_every_command_has_help_worth_reading() -> None:
    """Each command and each option says what it is for."""
    bare = [name for name, command in COMMANDS.items() if not command.help]
    silent = [
        f"{name} {param.name}"
        for name, command in COMMANDS.items()
        for param in command.params
        if not getattr(param, "help", None)
    ]

    assert (bare, silent) == ([], [])


def test_the_order_machine_is_drawn_from_its_table() -> None:
    """The drawing in docs/architecture.md is the one the table gives."""
    assert f"```mermaid\n{diagram()}\n```" in text_of("architecture.md")


def test_readme_lists_every_room() -> None:
    """Each room stands in the table of rooms, and each exists."""
    listed = re.findall(r"^\| `([a-z/]+)/` \|", README, re.MULTILINE)

    assert {name.split("/")[0] for name in listed} == set(ROOMS)
    assert all((CHECKOUT / name).is_dir() for name in listed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links and pages named in the text exist."""
    text = page.read_text(encoding="utf-8")
    linked = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"\bdocs/[a-z_]+\.md", text)

    assert [link for link in linked if not (page.parent / link).exists()] == []
    assert [name for name in named if not (CHECKOUT / name).exists()] == []


def test_code_points_at_headings_that_exist() -> None:
    """Where a message sends a person to a heading of the runbook, the heading is there."""
    headings = set(re.findall(r"^## (.+)$", text_of("runbook.md"), re.MULTILINE))
    asked = {
        heading
        for room in ROOMS
        for path in (CHECKOUT / room).rglob("*.py")
        for heading in re.findall(r"docs/runbook\.md, `([^`]+)`", path.read_text(encoding="utf-8"))
    }

    assert asked != set()
    assert asked <= headings


def test_every_promise_names_a_test_that_exists() -> None:
    """I1 to I15 and F1 to F13 each stand in the table, with a test of that name in the tree."""
    rows = re.findall(r"^\| ([IF]\d+) \| .+ \| `(test_\w+)` \|$", text_of("architecture.md"), re.MULTILINE)
    written = {
        node.name
        for path in (CHECKOUT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }

    assert {number for number, _ in rows} == {f"I{n}" for n in range(1, 16)} | {f"F{n}" for n in range(1, 14)}
    assert [name for _, name in rows if name not in written] == []


def test_every_strategy_and_parameter_is_in_the_guide() -> None:
    """docs/strategies.md has each registered strategy with its parameters, defaults and meanings."""
    listed = re.findall(
        r"^### (\w+)$|^\| `(\w+)` \| `(.+?)` \| (.+) \|$", text_of("strategies.md"), re.MULTILINE
    )
    written: dict[str, list[tuple[str, ...]]] = {}
    for heading, *row in listed:
        if heading:
            current = written.setdefault(heading, [])
        else:
            current.append(tuple(row))

    assert written == {
        name: [
            (
                key,
                str(field.default).lower() if isinstance(field.default, bool) else str(field.default),
                field.description,
            )
            for key, field in registry.params_of(name).model_fields.items()
        ]
        for name in registry.names()
    }


@pytest.mark.parametrize(("name", "class_name"), [("breakout", "Breakout"), ("three_down", "ThreeDown")])
def test_the_guides_files_are_honest_strategies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, class_name: str
) -> None:
    """Each file printed in the guide, saved as it stands, passes every check of `desk check`."""
    blocks = re.findall(r"```python\n(.*?)```", text_of("strategies.md"), re.DOTALL)
    (file,) = [block for block in blocks if f"class {class_name}(" in block]
    path = tmp_path / f"{name}.py"
    path.write_text(file, encoding="utf-8")

    code = run(["check", f"{path}:{class_name}", "--cuts", "12", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (code, report["name"]) == (0, name)
    assert {each["check"]: each["words"] for each in report["findings"] if each["verdict"] != "holds"} == {}


def test_the_guide_prints_what_the_check_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The words of `desk check` in the guide are the command's, and its table of checks is complete."""
    page = text_of("strategies.md")
    path = tmp_path / "breakout.py"
    path.write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], encoding="utf-8")

    run(["check", f"{path}:Breakout"])

    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    printed = re.search(r"```\n(breakout .*?)```", page, re.DOTALL)
    assert printed is not None
    for line in printed[1].strip().splitlines():
        assert line.strip() == "..." or " ".join(line.split()) in out, line
    assert re.findall(r"^\| `(\w+)` \| [^`]", page, re.MULTILINE)[: len(Check)] == list(Check)


def test_every_shipped_strategy_has_a_place_for_its_result() -> None:
    """Each strategy's out-of-sample result has a marked place, filled or said to be missing."""
    page = text_of("strategies.md")

    assert sorted(
        re.findall(r"^<!-- out-of-sample: (\w+) -->\nOut of sample: ", page, re.MULTILINE)
    ) == sorted(registry.names())


def test_phases_of_the_readme_are_the_deployments() -> None:
    """The picture of the day and the changelog name the flows as prefect.yaml does."""
    deployed = set(
        re.findall(r"^  - name: ([a-z-]+)$", (CHECKOUT / "prefect.yaml").read_text(), re.MULTILINE)
    )
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert deployed == PHASES
    assert all(name in changelog for name in deployed)
    assert all(name in README for name in deployed - {"kill-switch"})


def test_the_changelog_keeps_its_sections() -> None:
    """An operator finds Added, Changed, Fixed and Safety in the newest version."""
    newest = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1]

    assert re.findall(r"^### (\w+)$", newest, re.MULTILINE) == ["Added", "Changed", "Fixed", "Safety"]


def test_every_make_target_in_the_readme_exists() -> None:
    """README's make commands are targets of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z]+)`", README))

    assert {"demo", "test", "bench"} <= named
    assert named <= targets


@pytest.mark.parametrize("words", [Reason, LatchName, BreakKind], ids=lambda words: words.__name__)
def test_the_runbook_knows_every_alarm(words: type[Reason] | type[LatchName] | type[BreakKind]) -> None:
    """Each denial, latch and kind of break stands in the runbook under the word people see."""
    page = text_of("runbook.md")

    assert [each.value for each in words if not re.search(rf"`[^`]*\b{each.value}\b[^`]*`", page)] == []


def test_the_runbook_sends_people_to_sections_it_has() -> None:
    """Every place the table of alarms sends to is the beginning of a heading of the page."""
    page = text_of("runbook.md")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    table = page.partition("## When an alarm rings")[2].partition("Exit codes")[0]
    targets = [row.strip("|").split("|")[-1].strip() for row in table.splitlines() if row.startswith("| ")]
    asked = [each for each in targets if each not in ("go to", "---") and each[0].isupper()]

    places = {place.strip() for each in asked for place in each.split(",")}
    assert len(places) > 10
    assert [place for place in places if not any(h.startswith(place) for h in headings)] == []


def test_the_runbook_knows_every_error_of_the_log() -> None:
    """What the desk logs as an error, for a person to look at now, stands in the runbook."""
    page = text_of("runbook.md")
    written = {
        call.args[0].value
        for room in ("desk", "data", "tasks", "flows")
        for path in (CHECKOUT / room).rglob("*.py")
        if not {"exchange", "simulation"} & set(path.relative_to(CHECKOUT).parts)
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("log.error", "log.exception")
        and isinstance(call.args[0], ast.Constant)
    }

    assert len(written) > 15
    assert sorted(words for words in written if f"`{words}`" not in page) == []
