"""What every lesson starts from: the machine, the scale, the images; a line that says which, and how long it will take.

    from airbench_lab.preflight import data, laptop, run_all, runtime

    run_all("02")

The laptop scale, where single tricks show, on a GPU too; smoke where AIRBENCH_SCALE says so. CIFAR-10 if it is on disk,
else the built-in pictures. What is trained is kept in my_runs.jsonl beside the lesson, or in what AIRBENCH_RUNS names;
empty: nowhere.
"""

import os
import warnings
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from airbench_core import AIRBENCH94, SCALES, Runtime
from airbench_lab import runlog
from airbench_lab.data import load_dataset
from airbench_lab.figures import drawing
from airbench_lab.lessons import own_runs
from airbench_lab.speed import estimate_seconds, measure_speed

# Processor seconds at the laptop scale of Run All of each lesson, once each (README has them too), and seconds of a run
# of airbench94 on the same machine while it was quiet (n=3): AMD EPYC, bfloat16, one thread.
RUN_ALL = {
    "00": 90, "01": 104, "02": 104, "03": 95, "04": 99, "05": 73, "06": 99,
    "07": 78, "08": 47, "09": 59, "10": 115, "11": 114, "12": 120,
}  # fmt: skip
RUN = 11.4
MEASURE_SECONDS = 0.3  # for each of three counts

runtime = Runtime.detect()
laptop = "smoke" if os.environ.get("AIRBENCH_SCALE") == "smoke" else "laptop"
# Which data set it is stands below, without the folder.
with redirect_stderr(StringIO()), warnings.catch_warnings(record=True, action="always") as _caught:
    data = load_dataset("auto")

drawing.STAMP.update(data=data.name, scale=laptop, commit=runlog.commit() or "")
_log = os.environ.get("AIRBENCH_RUNS", "my_runs.jsonl")
if _log and laptop != "smoke" and os.access(Path(_log).parent, os.W_OK):
    own_runs.LOG = Path(_log).absolute()
_images = SCALES[laptop].data(data)
print(
    f"{runtime.device_name}, {str(runtime.dtype).removeprefix('torch.')}, {runtime.threads} thread(s); scale {laptop}: "
    f"{len(_images.train_images):,} training and {len(_images.test_images):,} test images of {data.name}"
)
for _warning in _caught:  # AIRBENCH_DATA is set, and there is nothing
    print(f"warning: {_warning.message}")
if data.name == "builtin":
    print("Drawn pictures, from which nothing about a trick follows: `airbench data cifar10` fetches the real ones.")
if laptop == "smoke":
    print("The smoke scale only shows that everything runs: its accuracies mean nothing.")


def run_all(lesson: str) -> None:
    """Say what all cells of the lesson will take on this machine, by its speed as it is now."""
    if laptop == "smoke":
        print("Run All of this lesson: some seconds to a minute.")
        return
    speed = measure_speed(AIRBENCH94, SCALES[laptop], runtime, MEASURE_SECONDS)
    run = estimate_seconds(AIRBENCH94, SCALES[laptop], speed)
    minutes = RUN_ALL[lesson] / RUN * run / 60
    print(f"Run All of this lesson: about {minutes:.1f} minutes here ({run:.0f} s a run of airbench94).")
