// What a panel shows: the module of the anywidget in view.py. A click on a control is answered here, from what is
// recorded; the kernel is told by the control itself.

const AT_ONCE = 500; // milliseconds between two changes that are one: Reset, a slider that is dragged
const OWN = ["var(--green)", "var(--purple)", "var(--orange)"]; // of earlier runs made here

async function render({ model, el }) {
  const unpack = (id) => model.widget_manager.get_model(id.replace("IPY_MODEL_", ""));
  const controls = await Promise.all(model.get("controls").map(unpack)).catch(() => []);
  const value = (one) => (one.get("_options_labels") ? one.get("_options_labels")[one.get("index")] : one.get("value"));
  const chosen = () => (controls.length ? controls.map(value) : model.get("chosen"));
  const key = (at) => JSON.stringify(at);
  let recorded = {}; // position by key
  let [now, before, changed] = [key(chosen()), null, -Infinity];

  el.classList.add("airbench", "of-panel");
  el.innerHTML = markup`<p class="said" role="status"></p><figure></figure><div class="effects"></div>
    <div class="rows"></div>`;
  const [said, figure, bars, numbers] = [".said", "figure", ".effects", ".rows"].map((one) => el.querySelector(one));
  const plot = curves(figure, "", {
    height: 250,
    tta: "with the setting's own TTA",
  });

  function draw() {
    const data = model.get("recorded"), { lines = [], rows = [] } = model.get("own");
    const { line, losses, epochs } = model.get("live");
    const here = data.start && key(data.start.slice(-2)) === key(chosen().slice(-2)); // the same scale and data
    const [found, past, start] = [now, before, key(data.start ?? [])].map((at) => here && recorded[at]);
    figure.querySelector("figcaption").textContent = `${/-holdout/.test(chosen().at(-1)) ? "Held-out" : "Test"}
      accuracy: after each epoch without TTA, at the end with the setting's own`;
    el.setAttribute("aria-busy", !(here && data.complete));
    said.textContent = found ? `Recorded of this setting: ${found.n} runs, ${found.where.replace("recorded ", "")}.`
      : here && data.complete && chosen().at(-1) === "builtin" ? `Nothing is recorded on the drawn pictures: press Run.
        To see recorded runs, set "data" to cifar10.`
      : here && data.complete ? "Nothing is recorded of this setting: press Run."
      : "Looking up what is recorded …";

    // Recorded ones, each once, by the most important of what it is; and those made here.
    const theirs = [["start", start, GREY, "2 4"], ["before", past, VERMILION, "7 4"], ["chosen", found, BLUE, "10 3"]]
      .filter(([, one], i, all) => one && !all.slice(i + 1).some(([, other]) => other === one))
      .map(([role, one, colour, dashes]) => ({ ...one, role, colour, dashes }));
    const needs = Object.fromEntries(Object.values(recorded).map((one) => [one.name, one.to_target]));
    const own = rows.map((row) => ({ ...row, to_target: needs[row.name] }));
    const done = Object.fromEntries(own.map((row) => [row.name, row]));
    const made = [...lines.slice(-OWN.length).map((one, i) => [one, OWN[i]]), ...(line ? [[line, INK]] : [])]
      .map(([one, colour]) => {
        const [state, end] = ["done", "race"].includes(one.state) ? ["here", done[one.name]] : [one.state];
        return { ...one, name: `${one.name}, ${state}`, end, colour, dashes: "" };
      });
    const named = theirs.map((one) => ({ ...one, name: `${one.name}, recorded`, n: one.points_n, end: one }));
    const drawn = [...named, ...made];
    const length = (found ?? start)?.epochs;
    const like = Object.values(recorded).filter((one) => one.epochs === length); // so that no axis jumps
    const until = Math.max(epochs ?? 1, ...drawn.flatMap((one) => one.points.map(([at]) => at)));
    plot.draw({ lines: drawn, range: range([...drawn, ...like, ...own]), until, losses });

    const compared = theirs.map((one) => ({ ...one, name: `${one.role}: ${one.name}` })).reverse();
    if (here && !found) compared.unshift({ name: "chosen" });
    compared.push(...own.map((row) => ({ ...row, name: `${row.name}, here` })));
    redraw(bars, compared.some((row) => row.n)
      ? markup`${effects("How the settings compare", compared, data)}<details><summary>What this means</summary>
        <p>${ABOUT(data.paper_hardware)} Seconds to the target: these epochs, at the pace of the setting's own runs; a
        machine's pace drifts from one hour to the next.</p></details>` : "");
    const head = ["setting", "n", "accuracy", "95 % interval", "seconds a run", "where", "note"];
    const listed = [...own, ...theirs.reverse()].map((row) => [
      row.name, row.n, `${fixed(row.accuracy, 2)} %`, known(row.interval) ? between(row.interval, 2) : "needs 2 runs",
      row.seconds ? `${fixed(row.seconds, 1)} (${row.timed})` : "", row.where, row.note,
    ]);
    for (const handle of el.closest(".airbench-panel")?.querySelectorAll(".noUi-handle") ?? []) // which have no name
      handle.setAttribute("aria-label", handle.closest(".widget-slider").querySelector(".widget-label").textContent);
    numbers.innerHTML = listed.length ? table("The runs made here, and recorded ones", head, listed) : "";
  }

  const on = (one, name, what) => {
    one.on(name, what);
    return () => one.off(name, what);
  };
  const look = () => {
    const at = key(chosen());
    if (at !== now) {
      if (performance.now() - changed > AT_ONCE) before = now; // else that was on the way
      [now, changed] = [at, performance.now()];
    }
    recorded = Object.fromEntries((model.get("recorded").positions ?? []).map((one) => [key(one.at), one]));
    draw();
  };
  const moved = () => key(chosen()) !== now && look();
  const ends = [on(model, "change", look), ...controls.map((one) => on(one, "change:value change:index", moved))];
  look();
  return () => [...ends, plot.close].forEach((end) => end());
}

export default { render };
