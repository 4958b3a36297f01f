"""What gpu_session.py measures, the most important first. Expected seconds of a run are an A100's, as published.

Up to the removals it is some 19 minutes at that pace, with 25 % to spare; an H200 should need less than 12.
"""

import itertools
from dataclasses import dataclass, replace

from airbench_lab.study.ladder import LADDER

from airbench_core import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    AIRBENCH94_NEXT,
    AIRBENCH95,
    AIRBENCH96,
    AIRBENCH96_FASTER,
    Recipe,
)

JORDAN, HIVERGE = "cifar10-airbench", "cifar10-speedrun"  # the names of the clones
A100_LADDER = (18.3, 8.0, 6.8, 5.1, 5.1, 4.6, 4.2)  # [P]; the freeze, which is not the paper's, as the rung above


@dataclass(frozen=True, kw_only=True)
class Job:
    """One recipe with several seeds: what a process compiles once."""

    label: str
    recipe: Recipe
    compile: bool
    seeds: range
    expected: float  # seconds of a run
    race: bool = True  # no evaluation between epochs


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A public script beside ours. script: its path in the folder of references."""

    script: str
    script_args: str = ""
    recipe: str
    settings: tuple[str, ...] = ()
    compile: bool
    runs: int  # in a turn
    pairs: int
    expected: float  # seconds of a run


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Jobs, or a comparison; neither: `airbench doctor`. target: a mean accuracy to test against."""

    name: str
    jobs: tuple[Job, ...] = ()
    comparison: Comparison | None = None
    target: float | None = None


def plan(scale: str) -> list[Piece]:
    """The pieces in their order; at any scale but the full one only to see that all runs."""
    pieces = [
        Piece(name="doctor"),
        Piece(name="airbench94", jobs=(_job("airbench94", AIRBENCH94, True, 25, 3.29),), target=0.94),
        Piece(name="airbench94_muon", jobs=(_job("airbench94_muon", AIRBENCH94_MUON, True, 25, 2.59),), target=0.94),
        _against("muon", f"{JORDAN}/airbench94_muon.py", "airbench94_muon", pairs=1, runs=5, expected=2.59),
        _against("94-compiled", f"{JORDAN}/legacy/airbench94_compiled.py", "airbench94", pairs=1, runs=5, expected=3.3),
        Piece(name="removals", jobs=_removals()),
        _against("hiverge", f"{HIVERGE}/cifar10_speedrun.py", "airbench94_muon", pairs=1, runs=5, expected=5.0),
        Piece(name="airbench94_next", jobs=(_job("airbench94_next", AIRBENCH94_NEXT, True, 5, 2.59),)),
        Piece(name="airbench94-eager", jobs=(_job("airbench94", AIRBENCH94, False, 5, 3.83),)),
        Piece(name="grid-seed0", jobs=_grid(seed=0)),
        Piece(name="ladder-eager", jobs=_ladder(compile=False)),
        _against("94-eager", f"{JORDAN}/legacy/airbench94.py", "airbench94", False, pairs=2, runs=3, expected=3.8),
        _against("96_faster", f"{JORDAN}/airbench96_faster.py", "airbench96_faster", pairs=1, runs=1, expected=27.3),
        Piece(name="airbench95", jobs=(_job("airbench95", AIRBENCH95, True, 3, 10.4),)),
        Piece(name="airbench96_faster", jobs=(_job("airbench96_faster", AIRBENCH96_FASTER, True, 3, 27.3),)),
        Piece(name="airbench96", jobs=(_job("airbench96", AIRBENCH96, True, 3, 34.7),)),
        Piece(name="ladder-compiled", jobs=_ladder(compile=True)),  # mostly compiles: seven recipes
        *(Piece(name=f"grid-seed{seed}", jobs=_grid(seed=seed)) for seed in range(1, 5)),
    ]
    return pieces if scale == "full" else _tiny(pieces, scale)


def _job(label: str, recipe: Recipe, compile: bool, runs: int, expected: float) -> Job:
    return Job(label=label, recipe=recipe, compile=compile, seeds=range(runs), expected=expected)


def _against(
    name: str, script: str, recipe: str, compile: bool = True, *, pairs: int, runs: int, expected: float
) -> Piece:
    numbers = {"pairs": pairs, "runs": runs, "expected": expected}
    return Piece(
        name=f"against-{name}", comparison=Comparison(script=script, recipe=recipe, compile=compile, **numbers)
    )


def _ladder(compile: bool) -> tuple[Job, ...]:
    """The rungs below airbench94, which has pieces of its own, each compiled or not: [P]'s column is not."""
    rungs = zip(LADDER[:-2], A100_LADDER, strict=True)
    return tuple(_job(rung.label, rung.recipe, compile, 3, seconds) for rung, seconds in rungs)


def _removals() -> tuple[Job, ...]:
    """airbench94 without one of its tricks each: what the lessons quote, with three seeds."""
    off = {"whiten": False, "identity_init": False, "bias_scale": 1, "lookahead": False, "flip": "random"}
    recipes = {f"{name}={value}": replace(AIRBENCH94, **{name: value}) for name, value in off.items()}
    return tuple(_job(label, recipe, False, 3, 3.83) for label, recipe in recipes.items())


def _grid(seed: int) -> tuple[Job, ...]:
    """airbench94 with every combination of its six tricks, uncompiled, since to compile takes longer than a run.

    Without TTA means with mirrors alone, as in the published ablations. Those with the full TTA come first: a log
    holds the accuracy with mirrors alone of the same network beside it.
    """
    jobs = []
    for tta in ("mirror+translate", "mirror"):
        for whiten, identity, scaled, lookahead, flip in itertools.product((True, False), repeat=5):
            values = {"whiten": whiten, "identity_init": identity, "bias_scale": 64 if scaled else 1}
            values |= {"lookahead": lookahead, "flip": "alternating" if flip else "random", "tta": tta}
            recipe = replace(AIRBENCH94, **values)
            label = " ".join(f"{name}={value}" for name, value in recipe.changes().items()) or "airbench94"
            one = {"compile": False, "seeds": range(seed, seed + 1), "expected": 3.83, "race": False}
            jobs.append(Job(label=label, recipe=recipe, **one))
    return tuple(jobs)


def _tiny(pieces: list[Piece], scale: str) -> list[Piece]:
    """One epoch, two seeds, three jobs a piece, nothing compiled; one comparison, with the plain port."""

    def shorter(job: Job) -> Job:
        small = replace(job.recipe, epochs=1)
        return replace(job, recipe=small, compile=False, seeds=job.seeds[:2], expected=1.0)

    port = Comparison(
        script="plain_port.py",
        script_args=f"--scale {scale} --threads 1",
        recipe="airbench94",
        settings=("epochs=1",),
        compile=False,
        runs=1,
        pairs=1,
        expected=1.0,
    )
    compared = [piece for piece in pieces if piece.comparison][:1]
    return [
        replace(piece, jobs=tuple(map(shorter, piece.jobs[:3])), comparison=piece.comparison and port, target=None)
        for piece in pieces
        if not piece.comparison or piece in compared
    ]
