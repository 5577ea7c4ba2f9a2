"""A piece of a sweep as a task run."""

import json
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.sweep import Piece
from tasks.sweep_bench import play_piece


@task(name="play", task_run_name="{piece[name]}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def play(folder: str, piece: dict[str, Any]) -> str:
    """Play a piece of the sweep in a folder; one that is there is left alone. Give its name."""
    return play_piece(Path(folder), Piece.model_validate_json(json.dumps(piece)))
