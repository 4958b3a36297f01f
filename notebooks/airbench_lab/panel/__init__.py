"""The panel that every lesson shares: switch a trick, press Run, see it.

    panel = Panel(tricks=["whiten"])
    panel                                   # the last line of a cell shows it

What can be clicked can be called: `set`, `run`, `stop`, `reset`, `result`, `table`, `export`, so that a notebook runs
without anybody clicking. Where no widgets show (a terminal), the same calls print text.
"""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from airbench_core import AIRBENCH94, Dataset, Parts, Recipe, RunResult, Runtime, UsageError
from airbench_core.published import recipe_named
from airbench_lab.data import load_dataset
from airbench_lab.figures import curves, png
from airbench_lab.figures.drawing import fewer_colours
from airbench_lab.panel import environment
from airbench_lab.panel.experiment import FOLDER, Experiment
from airbench_lab.panel.runs import rows_frame
from airbench_lab.panel.settings import DataSets, Settings, trick_names
from airbench_lab.panel.snapshot import take_snapshot
from airbench_lab.panel.tables import rows_html, rows_text
from airbench_lab.speed import default_scale
from airbench_lab.worker import WORKER, Foreground

__all__ = ["Panel"]

INTERRUPT_SECONDS = 10  # in which a run that is interrupted gets to stop

_open: dict[str, list[tuple[str, "Panel"]]] = {}  # by cell: the execution, and the panel that it made


class Panel:
    """A recipe with some switches: train it, stop it, and see it beside earlier and recorded runs.

    tricks: fields of `Recipe` to be switched, "compile", or "recipe", a list of the published ones. Lookahead brings
        the BatchNorm momentum along, with which it belongs together. recipe: what the switches start from, or its name.
    scale: a name of SCALES, or auto: what AIRBENCH_SCALE says, else full on a GPU and laptop without one.
    data: the name of a data set, a `Dataset`, or auto: CIFAR-10 if it is on disk, else the built-in pictures.
    seeds: how many runs a press makes. holdout: test on so many of the training images, held out of them.
    parts: functions of your own in place of those that the lessons teach; what they print is not shown.
    runtime: by default `Runtime.detect()`.

    A cell that is executed again closes the panels that it made before: their runs are stopped, their memory is freed.
    Raises UsageError for an unknown trick, scale or data set.
    """

    def __init__(
        self,
        tricks: str | Sequence[str] = ("whiten",),
        recipe: Recipe | str = AIRBENCH94,
        *,
        scale: str = "auto",
        data: Dataset | str = "auto",
        seeds: int = 1,
        holdout: int | None = None,
        parts: Parts | None = None,
        runtime: Runtime | None = None,
    ):
        names, recipe, parts = trick_names(tricks), recipe_named(recipe), parts or Parts()
        if not isinstance(parts, Parts):
            raise UsageError(f"parts: a {type(parts).__name__} is not legal: Parts(name=function)")
        if holdout is not None:
            data = (load_dataset(data) if isinstance(data, str) else data).holdout(holdout)
        runtime = runtime or Runtime.detect()
        datasets = DataSets(data)
        settings = Settings(
            recipe=recipe,
            scale=default_scale(runtime) if scale == "auto" else scale,
            data=datasets.default,
            compile=runtime.compile,
            seeds=seeds,
        )
        foreground = environment.needs_foreground()
        self._experiment = Experiment(
            settings,
            datasets,
            runtime,
            parts=parts,
            worker=Foreground() if foreground else WORKER,
        )
        self._replace_older()
        self._view = None
        if environment.shows_widgets():
            from airbench_lab.panel.view import View  # here: needs ipywidgets

            self._view = View(self._experiment, names, foreground)
            self._experiment.measure_cost()

    def set(self, **values: Any) -> None:
        """Change what the next run does: whiten=False, epochs=5, seeds=3, first_seed=0, scale=, data=, race=, compile=.

        Any field of `Recipe` will do. Raises UsageError, and changes nothing, for what is not legal.
        """
        self._experiment.set(**values)
        if self._view is not None:
            self._view.show_settings()
            self._experiment.measure_cost()

    def run(self, wait: bool = False) -> tuple[RunResult, ...] | None:
        """Train with what is chosen, beside the notebook.

        wait: until it is over; then as `result`. To stop meanwhile, interrupt the kernel: no click is heard while a
        cell runs. Raises UsageError while a run is on, DataError where the images are not on this machine.
        """
        self._experiment.start()
        if not wait:
            return None
        self._experiment.show_note("a cell waits for this run: to stop it, interrupt the kernel (the ■ above)")
        try:
            self._experiment.wait()
        except KeyboardInterrupt:
            self._experiment.stop()
            self._experiment.wait(INTERRUPT_SECONDS)
            if self._view is None:
                print(self)
            raise
        if self._view is None:
            print(self)
        return self.result()

    def stop(self) -> None:
        """End the run at its next step. What it did until then stays, marked as stopped."""
        self._experiment.stop()

    def reset(self) -> None:
        """Set all back to what the panel began with. What was run stays."""
        self._experiment.reset()
        if self._view is not None:
            self._view.show_settings()

    def result(self) -> tuple[RunResult, ...]:
        """The results of the last `run`, one a seed; waits until it is over.

        Raises what the training raised, `Stopped` if it was stopped, UsageError if nothing was run.
        """
        return self._experiment.result()

    def table(self) -> pd.DataFrame:
        """What the panel's table says, unrounded: a row for each recipe, those run here and the recorded ones."""
        return rows_frame(take_snapshot(self._experiment).rows)

    def export(self, folder: str | Path = FOLDER) -> tuple[Path, Path]:
        """Write the table (CSV) and the finished runs (a run log) into `folder`; gives the two paths.

        Raises UsageError if there is nothing to write, AirbenchError where nothing can be written.
        """
        return self._experiment.export(folder)

    def close(self) -> None:
        """Stop the run that is on, and free what the panel holds."""
        self._experiment.close()
        if self._view is not None:
            self._view.close()
            self._view = None

    @property
    def state(self) -> str:
        """idle, running, stopping, stopped, done or failed."""
        return self._experiment.state

    @property
    def recipe(self) -> Recipe:
        """What is chosen, not scaled."""
        return self._experiment.settings.recipe

    def __str__(self) -> str:
        now = take_snapshot(self._experiment)
        chosen = f"scale {now.settings.scale}, {now.settings.data}; chosen: {self._experiment.name}"
        head = f"{now.title}; {chosen}; {now.state}"
        said = [text for text in (now.progress, now.message.text) if text not in ("", now.state)]
        return "\n".join([head, *said, f"of this setting: {now.recorded}", rows_text(now.rows)])

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]:
        """The widgets; for pages that cannot show them (a notebook on GitHub), what there was to be seen at first."""
        if self._view is None:
            return {"text/plain": str(self)}
        now = take_snapshot(self._experiment)
        figure = curves([*now.others, *filter(None, [now.live])], now.settings.data)
        words = f"<p>{html.escape(figure.alt)}</p>{rows_html(now.rows)}"
        picture = base64.b64encode(fewer_colours(png(figure))).decode()
        bundle = self._view.root._repr_mimebundle_()
        data = {**bundle, "text/plain": str(self), "text/html": words, "image/png": picture}
        return data, {"image/png": {"alt": figure.alt}}

    def _replace_older(self) -> None:
        """Close what an earlier execution of the same cell made."""
        here = environment.cell()
        if here is None:
            return
        older = _open.get(here.place, [])
        for execution, panel in older:
            if execution != here.execution:
                panel.close()
        kept = [one for one in older if one[0] == here.execution]
        _open[here.place] = [*kept, (here.execution, self)]
