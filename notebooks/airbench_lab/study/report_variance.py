"""What the predictions in a run log say of the variance between runs: a row for each recipe and level of TTA.

The quantities are those that airbench's paper tabulates in its section on variance (Jordan, arXiv:2404.00498); their
definitions and sources: `calibration.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airbench_core import runlog
from airbench_core.datasets import LOADERS, load_dataset
from airbench_core.errors import UsageError
from airbench_core.evaluation import TTA_WEIGHTS
from airbench_core.scales import scale_named
from airbench_lab.study import layout
from airbench_lab.study.calibration import calibration, run_variance
from airbench_lab.study.groups import Record, by_name
from airbench_lab.study.keys import one_setting
from airbench_lab.study.layout import FEW, Column, number, percent, percents
from airbench_lab.study.statistics import mean_interval
from airbench_lab.study.studies import Study


@dataclass(frozen=True, kw_only=True)
class Row:
    """The runs of one recipe and runtime that have their predictions, at one level of TTA; all but n in 0..1.

    error: the mean; std: of the accuracies on the test set; distribution_std: on infinitely many images of the same
    kind; binomial_std: if all images were equally hard; disagreement: how often two different runs differ on an image
    (that of `calibration` may draw one run twice). All but error is None for a single run.
    cace and disagreement have no interval: they describe just this ensemble, and runs that were drawn again would, by
    those that come twice, agree too often. cace depends on n: compare the same n.
    """

    recipe: str
    tta: str
    n: int
    error: float
    error_interval: tuple[float, float] | None = None
    std: float | None = None
    std_interval: tuple[float, float] | None = None
    distribution_std: float | None = None
    distribution_std_interval: tuple[float, float] | None = None
    binomial_std: float | None = None
    cace: float | None = None
    disagreement: float | None = None


COLUMNS = (
    Column("recipe", lambda row: row.recipe, words=True),
    Column("TTA", lambda row: row.tta, words=True),
    Column("n", lambda row: str(row.n)),
    Column("error", lambda row: f"{percent(row.error)} %"),
    Column("95 % interval", lambda row: percents(row.error_interval)),
    Column("std", lambda row: percent(row.std, ".3f")),
    Column("95 % interval", lambda row: percents(row.std_interval, ".3f")),
    Column("distribution-wise std", lambda row: percent(row.distribution_std, ".3f")),
    Column("95 % interval", lambda row: percents(row.distribution_std_interval, ".3f")),
    Column("binomial std", lambda row: percent(row.binomial_std, ".3f")),
    Column("CACE", lambda row: number(row.cace, ".4f") or FEW),
    Column("disagreement", lambda row: percent(row.disagreement)),
)


def rows(
    records: Iterable[Record], labels: NDArray[np.integer], tta: str | None = None, study: Study | None = None
) -> list[Row]:
    """A row for each recipe and runtime in `records`, and each level of TTA (or only `tta`) that is in its predictions.

    labels: (N,) of the test images, see `labels_of`. study: it names the runs, all of which are its
    (`groups.of_study`). Runs without predictions are left out. Raises UsageError for runs of several scales or data
    sets, where no run has predictions (at that level), labels that do not fit, and a run that is not of the study.
    """
    records = list(records)
    one_setting(records, device=False)
    found = []
    for recipe, runs in by_name((record for record in records if "predictions" in record), study).items():
        kept = [runlog.predictions(record) for record in runs.values()]
        for level in TTA_WEIGHTS if tta is None else (tta,):
            predicted = [run[level] for run in kept if level in run]
            if predicted:
                found.append(_row(recipe, level, np.stack(predicted), labels))
    if not found:
        raise _without_predictions("" if tta is None else f" with TTA {tta}")
    return found


def labels_of(records: Sequence[Record], root: str | Path | None = None) -> NDArray[np.integer]:
    """The labels (N,) of the test images that `records` are of, from the data set on this machine.

    root: the first folder to look in. Raises UsageError for several scales or data sets, runs that have no predictions
    (better than to miss data that nobody needs), a data set that cannot be loaded by its name, and one that is not that
    of the records; DataError if it is not on disk.
    """
    one_setting(records, device=False)
    if not any("predictions" in record for record in records):
        raise _without_predictions()
    scale, name, digest = records[0]["scale"], records[0]["data"]["name"], records[0]["data"]["digest"]
    if name not in LOADERS:
        raise UsageError(
            f"these runs are of the data set {name}, which cannot be loaded by name: in Python give `rows` its labels"
        )
    data = scale_named(scale).data(load_dataset(name, root, download=False))
    if data.digest != digest:
        raise UsageError(
            f"the data set {name} at scale {scale} has the digest {data.digest} here, and in the log it is {digest}: "
            "name the folder of the one that was used by --root"
        )
    return data.test_labels.numpy()


def table(rows: Sequence[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"."""
    return layout.table(rows, COLUMNS, form)


def _without_predictions(at: str = "") -> UsageError:
    return UsageError(f"no run in the log has its predictions{at}; `airbench sweep variance` keeps them")


def _row(recipe: str, tta: str, predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> Row:
    ensemble = calibration(predictions, labels)
    if ensemble.n < 2:
        return Row(recipe=recipe, tta=tta, n=1, error=ensemble.error)
    variance, mean = run_variance(predictions, labels), mean_interval((predictions != labels).mean(1))
    return Row(
        recipe=recipe,
        tta=tta,
        n=ensemble.n,
        error=ensemble.error,
        error_interval=(mean.low, mean.high),
        std=variance.test_set_std,
        std_interval=variance.test_set_std_interval,
        distribution_std=variance.distribution_std,
        distribution_std_interval=variance.distribution_std_interval,
        binomial_std=variance.binomial_std,
        cace=ensemble.cace,
        disagreement=ensemble.disagreement * ensemble.n / (ensemble.n - 1),
    )
