"""What the predictions of runs say of the variance between them, and how calibrated they are together.

The quantities of airbench's paper, in its section on variance (Jordan, arXiv:2404.00498). Sources. [J] Jordan, "On the
Variance of Neural Network Training with respect to Test Sets and Distributions", arXiv:2304.01910v4, ICLR 2024. [D]
Jiang, Nagarajan, Baek, Kolter, "Assessing Generalization of SGD via Disagreement", arXiv:2106.13799, ICLR 2022.

Notation: n runs; N images; p_i, the share of runs that are wrong on image i; q_ik, the share that give it class k.
`predictions` are (n, N), `labels` (N,), classes counted from 0.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from airbench_core import UsageError
from airbench_core.recipes import TTA_WEIGHTS
from airbench_core.scales import scale_named
from airbench_lab import runlog
from airbench_lab.data import DATASETS, load_dataset
from airbench_lab.study import layout
from airbench_lab.study.frames import one_setting
from airbench_lab.study.layout import FEW, Column, number, percent, percents
from airbench_lab.study.report import Row
from airbench_lab.study.statistics import ALPHA, mean_interval


def run_variance(predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> tuple[float, float, float]:
    """The variance of accuracies in 0..1, of two runs and more, taken apart: on the test set, as if errors were
    independent, and of the distribution, on infinitely many new images ([J], section 3.2 and theorem 2, equation 3):

        independent  = 1/N^2 sum_i Var(wrong on i)
        distribution = N / (N - 1) (test_set - independent)

    Every variance over runs is estimated with n - 1, so Var(wrong on i) = n / (n - 1) p_i (1 - p_i), and both results
    are unbiased for any n. So that of the distribution can come out below 0: nothing then shows that some runs are
    really better than others.
    """
    n, images = predictions.shape
    wrong = predictions != labels
    p, test_set = wrong.mean(0), float(wrong.mean(1).var(ddof=1))
    independent = float((p * (1 - p)).sum()) * n / (n - 1) / images**2
    return test_set, independent, images / (images - 1) * (test_set - independent)


def calibration(predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> tuple[float, float]:
    """The class-aggregated calibration error of the runs, and how often two of them differ on an image.

    [D], definition 4.4, on the test set as the distribution, where the integral is a sum over the levels q in
    {0, 1/n, ..., 1} that a share of n votes can have, and # counts pairs of an image i and a class k:

        CACE = 1/N sum_q | #(q_ik = q and label of i is k) / #(q_ik = q) - q | #(q_ik = q)

    It is 0 (calibrated) to 2; that of few runs is large for their number alone ([D], table 1: 0.04 for 100 runs, 0.21
    for 5, 0.42 for 2): compare only ensembles of the same n. The two that may differ are drawn with replacement;
    |disagreement - error| <= CACE ([D], theorem 4.2).
    """
    n, images = predictions.shape
    pairs, right = np.zeros(n + 1, int), np.zeros(n + 1, int)  # at each level: by the number of votes
    agreeing = 0.0  # pairs of runs, summed over images
    for k in np.union1d(predictions, labels):
        votes = (predictions == k).sum(0)  # (N,)
        pairs += np.bincount(votes, minlength=n + 1)
        right += np.bincount(votes[labels == k], minlength=n + 1)
        agreeing += float(((votes / n) ** 2).sum())
    gap = right - pairs * np.arange(n + 1) / n  # how many more are right than the votes say
    return float(np.abs(gap).sum()) / images, 1 - agreeing / images


COLUMNS = (
    Column("recipe", lambda row: row["recipe"], words=True),
    Column("TTA", lambda row: row["tta"], words=True),
    Column("n", lambda row: str(row["n"])),
    Column("error", lambda row: f"{percent(row['error'])} %"),
    Column("95 % interval", lambda row: percents(row["error_interval"])),
    Column("std", lambda row: percent(row["std"], ".3f")),
    Column("95 % interval", lambda row: percents(row["std_interval"], ".3f")),
    Column("distribution-wise std", lambda row: percent(row["distribution_std"], ".3f")),
    Column("95 % interval", lambda row: percents(row["distribution_std_interval"], ".3f")),
    Column("binomial std", lambda row: percent(row["binomial_std"], ".3f")),
    Column("CACE", lambda row: number(row["cace"], ".4f") or FEW),
    Column("disagreement", lambda row: percent(row["disagreement"])),
)
_OF_SEVERAL = ("error_interval", "std", "std_interval", "distribution_std", "distribution_std_interval")
_OF_SEVERAL += ("binomial_std", "cace", "disagreement")


def rows(
    runs: pd.DataFrame, records: Sequence[Mapping[str, Any]], labels: NDArray[np.integer], tta: str | None = None
) -> list[Row]:
    """A row for each name of `names.named` runs, and each level of TTA (or only `tta`) that is in their predictions.

    records: those that `runs` is the frame of, by its index. labels: see `labels_of`. All but n is in 0..1. error: the
    mean; std: of the accuracies on the test set; distribution_std: on infinitely many images of the same kind;
    binomial_std: if all images were equally hard; disagreement: how often two different runs differ on an image. All
    but error is None for a single run. cace and disagreement have no interval: they describe just this ensemble, and
    runs that were drawn again would, by those that come twice, agree too often.
    Raises UsageError for runs of several scales or data sets, where no run has predictions (at that level), and labels
    that do not fit.
    """
    one_setting(runs, device=False)
    kept = runs[["predictions" in records[run] for run in runs.index]].drop_duplicates(["name", "seed"], keep="last")
    found = []
    for name, group in kept.groupby("name", sort=False):
        predictions = [runlog.predictions(records[run]) for run in group.index]
        for level in TTA_WEIGHTS if tta is None else (tta,):
            predicted = [run[level] for run in predictions if level in run]
            for one in predicted:
                if len(one) != len(labels):
                    raise UsageError(f"{len(labels)} labels do not fit predictions of {len(one)} images")
            if predicted:
                found.append({"recipe": name, "tta": level, **_row(np.stack(predicted), labels)})
    if not found:
        raise _without_predictions("" if tta is None else f" with TTA {tta}")
    return found


def labels_of(records: Sequence[Mapping[str, Any]], root: str | Path | None = None) -> NDArray[np.integer]:
    """The labels (N,) of the test images that `records`, of one scale and data set, are of; from this machine.

    root: the first folder to look in. Of "NAME-holdoutN" they are those that `Dataset.holdout(N)` holds out of NAME.
    Raises UsageError for runs that have no predictions (better than to miss data that nobody needs), a data set that
    cannot be loaded by its name, and one that is not that of the records; DataError if it is not on disk.
    """
    if not any("predictions" in record for record in records):
        raise _without_predictions()
    scale, name, digest = records[0]["scale"], records[0]["data"]["name"], records[0]["data"]["digest"]
    whole, held = re.fullmatch(r"(.*?)(?:-holdout([0-9]{1,9}))?", name, re.DOTALL).groups()
    if whole not in DATASETS:
        raise UsageError(
            f"these runs are of the data set {name}, which cannot be loaded by name: in Python give `rows` its labels"
        )
    data = load_dataset(whole, root)
    data = scale_named(scale).data(data if held is None else data.holdout(int(held)))
    if data.digest != digest:
        other = "" if held is None else ", or in Python give `rows` the labels if another seed than 0 held them out"
        raise UsageError(
            f"the data set {name} at scale {scale} has the digest {data.digest} here, and in the log it is {digest}: "
            f"name the folder of the one that was used by --root{other}"
        )
    return data.test_labels.numpy()


def table(rows: Sequence[Row], form: str = "text") -> str:
    """See `layout.table`."""
    return layout.table(rows, COLUMNS, form)


def _without_predictions(at: str = "") -> UsageError:
    return UsageError(f"no run in the log has its predictions{at}; `airbench sweep variance` keeps them")


def _row(predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> Row:
    n, images = predictions.shape
    error = float((predictions != labels).mean())
    row = {"n": n, "error": error, **dict.fromkeys(_OF_SEVERAL)}
    if n < 2:
        return row
    mean = mean_interval((predictions != labels).mean(1))
    test_set, independent, distribution = run_variance(predictions, labels)
    cace, disagreement = calibration(predictions, labels)
    # Of a variance of normal values, by chi-square; accuracies are close to normal ([J], section 3.2).
    low, high = (n - 1) * test_set / stats.chi2.ppf([1 - ALPHA / 2, ALPHA / 2], n - 1)
    # `independent` is taken as exact: it is a mean over all images, known far better than a variance of few runs.
    new = [images / (images - 1) * (end - independent) for end in (low, high)]
    return row | {
        "error_interval": (mean.low, mean.high),
        "std": math.sqrt(test_set),
        "std_interval": (math.sqrt(low), math.sqrt(high)),
        "distribution_std": math.sqrt(max(0.0, distribution)),
        "distribution_std_interval": tuple(math.sqrt(max(0.0, end)) for end in new),
        "binomial_std": math.sqrt(error * (1 - error) / images),
        "cace": cace,
        "disagreement": disagreement * n / (n - 1),
    }
