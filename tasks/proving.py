"""The nightly proof as a task, and what a person sees of it in the Prefect UI.

It only reads, so it needs neither the account's lease nor a claim: it may run at any hour, as often as
wanted, and says the same of the same record.
"""

import logging
from datetime import date
from typing import Any

import httpx
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from desk.errors import DeskError, NotReady
from desk.hours import new_york, session_hours
from desk.research.discrepancy import Difference
from schemas.settings import Settings
from tasks.configuration import load_settings
from tasks.day_proof import DayProof, prove_day
from tasks.logs import configure_logging
from tasks.resources import make_clock, secret_texts

LINES_MAX = 20  # differences beside the verdict: who has more looks at the table
ROWS_MAX = 500  # of a table in the UI; `desk verify-day --json` has all

log = logging.getLogger(__name__)


def verified(session_date: date | None) -> State[Any]:
    """Prove a date, show what was found, and give how the run ends.

    Args:
        session_date: whose session; None for today by the desk's clock.
    """
    settings = load_settings()
    configure_logging(settings.store, prefect=flow_run.id is not None, secrets=secret_texts(settings))
    try:
        day = session_date if session_date is not None else new_york(make_clock(settings).now()).date()
        if session_hours(day) is None:
            return Completed(message=f"{day:%A}, {day}: the exchange is closed, nothing to verify")
        proof = prove(settings, day)
    except NotReady as error:
        return Completed(message=f"nothing to verify: {error}")
    except DeskError as error:
        log.error("day not verified", extra={"cause": str(error)})
        return Failed(message=str(error))
    show(proof)
    if proof.troubles:
        log.error("day does not follow from its inputs", extra={"words": proof.words})
        return Failed(message=proof.words)
    log.info("day verified", extra={"words": proof.words})
    return Completed(message=proof.words)


@task(name="retell and replay", retries=0, cache_policy=NO_CACHE, persist_result=False)
def prove(settings: Settings, session_date: date) -> DayProof:
    """Hold a session against its own inputs; raises what `prove_day` raises."""
    return prove_day(settings, session_date)


def show(proof: DayProof) -> None:
    """Offer Prefect the proof in words and its differences as a table."""
    try:
        create_markdown_artifact(
            in_words(proof), key="verify-day", description=f"verify-day {proof.session_date}"
        )
        if proof.differences:
            rows = [row_of(each) for each in proof.differences[:ROWS_MAX]]
            words = f"{len(proof.differences)} differences of {proof.session_date}"
            create_table_artifact(rows, key="verify-day-differences", description=words)
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("Prefect takes no artifacts", extra={"cause": repr(error)})


def in_words(proof: DayProof) -> str:
    """Give the proof as markdown."""
    verdict = "does **not** follow from what was known" if proof.troubles else "follows from what was known"
    lines = [f"# {proof.session_date:%A}, {proof.session_date}", "", f"The day {verdict}.", "", proof.words]
    if proof.differences:
        lines += ["", "## What differs", ""]
        lines += [_line_of(each) for each in proof.differences[:LINES_MAX]]
        if len(proof.differences) > LINES_MAX:
            lines.append(
                f"- and {len(proof.differences) - LINES_MAX} more, in the artifact verify-day-differences"
            )
    if proof.retelling.altered:
        lines += ["", "## Bars that are not what a strategy saw", ""]
        lines += [f"- {words}" for words in proof.retelling.altered[:ROWS_MAX]]
    return "\n".join(lines)


def _line_of(difference: Difference) -> str:
    row = row_of(difference)
    return (
        f"- {row['New York']} `{row['order']}`, **{row['from']}**: recorded: {row['recorded']}; "
        f"retold: {row['retold']}; because: {row['because']}"
    )


def row_of(difference: Difference) -> dict[str, Any]:
    """Give a difference as a table's row."""
    return {
        "New York": f"{new_york(difference.minute):%H:%M}",
        "order": difference.order_id,
        "from": difference.cause.value,
        "recorded": difference.recorded,
        "retold": difference.retold,
        "because": difference.why,
    }
