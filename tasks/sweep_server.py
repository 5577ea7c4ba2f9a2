"""Whether a Prefect server is there to show a sweep's task runs."""

import os
from urllib.error import URLError
from urllib.request import urlopen

VARIABLE = "PREFECT_API_URL"
PATIENCE_S = 2.0  # a server on loopback answers in milliseconds


def answers() -> bool:
    """Tell whether the server at PREFECT_API_URL answers; False where there is none."""
    url = os.environ.get(VARIABLE, "")
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=PATIENCE_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False
