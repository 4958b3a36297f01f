"""What every lesson starts from, by one import: the machine, the scale, the images; and a line that says which.

    from airbench_lab.preflight import data, runtime, scale

Full scale on a GPU, else the laptop scale, unless AIRBENCH_SCALE says otherwise; CIFAR-10 if it is on disk, else the
built-in pictures.
"""

from contextlib import redirect_stderr
from io import StringIO

from airbench_core import SCALES, Runtime, load_dataset
from airbench_core.scales import default_scale

runtime = Runtime.detect()
scale = default_scale(runtime)
with redirect_stderr(StringIO()):  # which data set it is stands below, without the folder
    data = load_dataset("auto")

_images = SCALES[scale].data(data)
print(
    f"{runtime.device_name}, {str(runtime.dtype).removeprefix('torch.')}, {runtime.threads} thread(s); scale {scale}: "
    f"{len(_images.train_images):,} training and {len(_images.test_images):,} test images of {data.name}"
)
if data.name == "builtin":
    print("Drawn pictures, from which nothing about a trick follows: `airbench data cifar10` fetches the real ones.")
if scale == "smoke":
    print("The smoke scale only shows that everything runs: its accuracies mean nothing.")
