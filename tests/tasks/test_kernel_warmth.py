"""The kernel loaded in another thread: whoever comes first, it is compiled once, for a search's own types."""

import subprocess
import sys

SEARCH = """
from concurrent.futures import ThreadPoolExecutor
from desk.research import kernel
from tasks.kernel_warmth import warm_up_kernel
from tests.desk.research.cases import case
from tests.desk.research.test_screen import screened

made = case(5)
warm_up_kernel()
with ThreadPoolExecutor(2) as pool:
    first, second = (done.fills() for done in pool.map(screened, [made, made]))
assert first.equals(second) and first.height > 0
print(first.height, len(kernel._COMPILED["spread"].signatures))
"""


def test_a_search_plays_while_the_kernel_loads() -> None:
    """Two searches begin before it is there: both wait for it, and nothing is compiled for other arrays."""
    done = subprocess.run([sys.executable, "-c", SEARCH], capture_output=True, text=True, check=True)

    fills, signatures = done.stdout.split()
    assert int(fills) > 10
    assert signatures == "1"
    assert done.stderr == ""
