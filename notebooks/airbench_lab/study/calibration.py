"""What the predictions of many runs on one test set say: where their variance comes from, and how calibrated they are.

Sources. [J] Jordan, "On the Variance of Neural Network Training with respect to Test Sets and Distributions",
arXiv:2304.01910v4, ICLR 2024. [D] Jiang, Nagarajan, Baek, Kolter, "Assessing Generalization of SGD via Disagreement",
arXiv:2106.13799, ICLR 2022. airbench's author uses both: cifar10-zoo, kernel/eval_kernel.py (theorem 2 of [J]) and
airbench/ablations/cace.py (definition 4.4 of [D]).

Notation: n runs; N images; p_i, the share of runs that are wrong on image i; q_ik, the share that give it class k.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airbench_core.errors import UsageError
from airbench_lab.study.statistics import variance_interval


@dataclass(frozen=True, kw_only=True)
class RunVariance:
    """The variance of test accuracy between n runs, and the part of it that is only the finite test set.

    All are variances of an accuracy in 0..1. Of `distribution`, an unbiased estimate, the true value is at least 0, but
    an estimate can be below: nothing then shows that some runs are really better than others.
    """

    n: int  # runs
    images: int
    classes: int
    error: float  # mean error rate
    test_set: float  # of the measured accuracies
    independent: float  # what errors that are independent from image to image would give
    distribution: float  # of the accuracy on infinitely many new images of the same kind

    @property
    def test_set_std(self) -> float:
        return math.sqrt(self.test_set)

    @property
    def distribution_std(self) -> float:
        """The root of `distribution`, 0 where that is below 0."""
        return math.sqrt(max(0.0, self.distribution))

    @property
    def test_set_std_interval(self) -> tuple[float, float]:
        """The 95 % interval of `test_set_std`, for accuracies that are close to normal ([J], section 3.2)."""
        low, high = variance_interval(self.test_set, self.n)
        return math.sqrt(low), math.sqrt(high)

    @property
    def distribution_std_interval(self) -> tuple[float, float]:
        """The 95 % interval of `distribution_std`: that of `test_set`, less `independent`; its ends are at least 0.

        `independent` is taken as exact. It is a mean over all images, so of two runs on thousands of images it is known
        to a few hundredths, when the variance of their accuracies may be anything from a fifth to a thousandfold.
        """
        few = self.images / (self.images - 1)
        ends = variance_interval(self.test_set, self.n)
        low, high = (math.sqrt(max(0.0, few * (end - self.independent))) for end in ends)
        return low, high

    @property
    def binomial_std(self) -> float:
        return math.sqrt(self.binomial)

    @property
    def binomial(self) -> float:
        """error (1 - error) / N: what it would be if all images were equally hard; else too large."""
        return self.error * (1 - self.error) / self.images

    @property
    def calibrated(self) -> float:
        """error / (N classes): the least expected variance of class-wise calibrated runs ([J], theorem 4).

        With two classes it is the variance itself, where distribution-wise variance is negligible ([J], equation 6).
        """
        return self.error / (self.images * self.classes)


def run_variance(predictions: NDArray[np.integer], labels: NDArray[np.integer]) -> RunVariance:
    """The variance between runs taken apart, from `predictions` (n, N) and `labels` (N,), classes counted from 0.

    [J], section 3.2 and theorem 2 (equation 3):

        independent  = 1/N^2 sum_i Var(wrong on i)
        distribution = N / (N - 1) (test_set - independent)

    Every variance over runs is estimated with n - 1, so Var(wrong on i) = n / (n - 1) p_i (1 - p_i), and both results
    are unbiased for any n. Raises UsageError for fewer than two runs or images, and shapes or values that do not fit.
    """
    predictions, labels, classes = _checked(predictions, labels)
    n, images = predictions.shape
    if n < 2 or images < 2:
        raise UsageError(f"{n} run(s) on {images} image(s) have no variance: at least 2 of each are needed")
    wrong = predictions != labels  # (n, N)
    p = wrong.mean(0)
    test_set = float(wrong.mean(1).var(ddof=1))
    independent = float((p * (1 - p)).sum()) * n / (n - 1) / images**2
    return RunVariance(
        n=n,
        images=images,
        classes=classes,
        error=float(p.mean()),
        test_set=test_set,
        independent=independent,
        distribution=images / (images - 1) * (test_set - independent),
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well the votes of an ensemble of n runs agree with the frequency of being right.

    cace: the class-aggregated calibration error, 0 (calibrated) to 2. disagreement: how often two runs, drawn from the
    n with replacement, differ on an image. |disagreement - error| <= cace ([D], theorem 4.2) where every level stands
    by itself (`fewest` 1).
    """

    n: int  # runs
    images: int
    cace: float
    error: float  # mean error rate of one run
    disagreement: float


def calibration(predictions: NDArray[np.integer], labels: NDArray[np.integer], *, fewest: int = 1) -> Calibration:
    """The class-aggregated calibration error of n runs, from `predictions` (n, N) and `labels` (N,), counted from 0.

    [D], definition 4.4, on the test set as the distribution, where the integral is a sum over the levels q in
    {0, 1/n, ..., 1} that a share of n votes can have, and # counts pairs of an image i and a class k:

        CACE = 1/N sum_q | #(q_ik = q and label of i is k) / #(q_ik = q) - q | #(q_ik = q)

    That of few runs is large for their number alone ([D], table 1: 0.04 for 100 runs, 0.21 for 5, 0.42 for 2): compare
    only ensembles of the same n. With many runs a level holds few pairs and their chance adds up; `fewest` pools
    neighbouring levels, from 0 upwards, until each group has that many pairs, with q its mean (airbench's own script
    pools by quantiles of q). Raises UsageError for no run, `fewest` below 1, and shapes or values that do not fit.
    """
    predictions, labels, classes = _checked(predictions, labels)
    if fewest < 1:
        raise UsageError(f"fewest={fewest} is not legal: at least 1 pair a group")
    n, images = predictions.shape
    pairs, right = np.zeros(n + 1, int), np.zeros(n + 1, int)  # at each level: by the number of votes
    agreeing = 0.0  # pairs of runs, summed over images
    wrong = float((predictions != labels).mean())
    for k in range(classes):
        votes = (predictions == k).sum(0)  # (N,)
        pairs += np.bincount(votes, minlength=n + 1)
        right += np.bincount(votes[labels == k], minlength=n + 1)
        agreeing += float(((votes / n) ** 2).sum())
    gap = right - pairs * np.arange(n + 1) / n  # how many more are right than the votes say
    total, start, held = 0.0, 0, 0
    for level in range(n + 1):
        held += int(pairs[level])
        if held >= fewest or level == n:
            total += abs(float(gap[start : level + 1].sum()))
            start, held = level + 1, 0
    return Calibration(n=n, images=images, cace=total / images, error=wrong, disagreement=1 - agreeing / images)


def _checked(predictions: NDArray, labels: NDArray) -> tuple[NDArray, NDArray, int]:
    """Both as arrays, and the number of classes: one more than the highest that occurs."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim != 2 or labels.ndim != 1 or predictions.shape[1] != len(labels):
        raise UsageError(
            f"predictions of shape {predictions.shape} and labels of shape {labels.shape} do not fit: (runs, images) "
            "and (images,) are needed"
        )
    if not predictions.size:
        raise UsageError(f"predictions of shape {predictions.shape} are empty: a run and an image are needed")
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.dtype.kind not in "iu":
            raise UsageError(f"{name} are {values.dtype}: classes are integers, counted from 0")
        if values.min() < 0:
            raise UsageError(f"{name} hold {values.min()}: classes are counted from 0")
    return predictions, labels, int(max(predictions.max(), labels.max())) + 1
