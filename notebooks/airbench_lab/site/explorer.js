// The explorer of recorded runs, on the site: drawing.js stands before it in the module.
//
// model.get("data"): what explorer.py's `explorer` returns. model.get("lessons"): what stands before a lesson's name in
// a link to its page; without it there are no links.

function render({ model, el }) {
  const { switches, scales, regimes, paper_hardware } = model.get("data");
  const lessons = model.get("lessons");
  const none = "0".repeat(switches.length);
  let data = Object.values(scales)[0];
  let order = switches.map((_, i) => i); // the switches that are on, in the order in which they were thrown
  let before = none;

  const command = "airbench sweep";
  const record = () => `--scale ${data.scale} --data ${data.data} --out mine.jsonl`;
  const target = () => (data.target === null ? "the target" : `${data.target} %`);
  const position = (on) => switches.map((_, i) => Number(on.includes(i))).join("");
  const named = (where, digit) => switches.filter((_, i) => where[i] === digit).map((one) => one.name);
  const called = (where) => {
    if (where === none) return "all off";
    const off = named(where, "0");
    return off.length < 3 ? ["airbench94", ...off].join(" without ") : named(where, "1").join(" + ");
  };
  const runIt = (where, more = "") => {
    const off = switches.filter((_, i) => where[i] === "0").map((one) => `--set ${one.off} `);
    return markup`Run it: <code>${command} airbench94 ${off.join("")}${more}${record()}</code>`;
  };

  el.classList.add("airbench");
  el.innerHTML = markup`
    <fieldset><legend>The tricks of airbench94</legend>
      ${switches.map((one) => markup`<button type="button" role="switch"><i></i>${one.name}</button>`)}
      <div><button type="button">all off</button><button type="button">all on</button>
        <label>recorded at the scale <select>${Object.values(scales).map(
          ({ scale, about }) => markup`<option value="${scale}">${scale}: ${about}</option>`,
        )}</select></label></div></fieldset>
    <div class="numbers" role="status"></div><figure class="curve"></figure><figure class="ladder"></figure>
    <figure>${drawRegimes()}</figure><p class="about"></p>`;
  const parts = [".numbers", ".curve", ".ladder", ".about"].map((one) => el.querySelector(one));
  const [numbers, curve, ladder, about] = parts;
  const plot = curves(curve, "Test accuracy without TTA after each epoch, and at the end with it");
  const buttons = [...el.querySelectorAll("[role=switch]")];
  const choose = (on) => {
    [before, order] = [position(order), on];
    draw();
  };
  buttons.forEach((button, i) => {
    button.onclick = () => choose(order.includes(i) ? order.filter((one) => one !== i) : [...order, i]);
  });
  [() => [], () => switches.map((_, i) => i)].forEach((on, i) => {
    el.querySelectorAll("fieldset div button")[i].onclick = () => choose(on());
  });
  el.querySelector("select").onchange = (event) => {
    data = scales[event.target.value];
    draw();
  };

  function draw() {
    const { positions } = data;
    const now = position(order);
    buttons.forEach((button, i) => button.setAttribute("aria-checked", order.includes(i)));
    numbers.innerHTML = drawNumbers(now);
    // All off, the setting before the last click, and that of now.
    const past = [[none, INK, "2 4"], [before, VERMILION, "7 4"]].slice(0, before === none ? 1 : 2);
    const lines = [...past.filter(([where]) => where !== now), [now, BLUE, ""]].filter(([where]) => positions[where]);
    const all = Object.values(positions);
    plot.draw({
      lines: lines.map(([where, colour, dashes]) => {
        const { points, points_n: n } = positions[where];
        const role = colour === VERMILION ? "before" : "";
        return { name: called(where), role, colour, dashes, points, n, end: positions[where] };
      }),
      range: range(all),
      until: Math.max(1, ...all.flatMap((one) => one.points.map(([epochs]) => epochs))),
    });
    redraw(ladder, drawLadder());
    about.innerHTML = markup`Curve, speedups and ladder: recorded on ${data.data} at the scale ${data.scale}
      (${data.about}): ${data.hardware}. Nothing is simulated, or interpolated between settings.`;
  }

  function drawNumbers(where) {
    const found = data.positions[where];
    const reached = found?.to_target;
    const number = (head, value, about) =>
      markup`<div><span>${head}</span><strong>${value}</strong><span>${about}</span></div>`;
    const unknown = found && found.speedup === null;
    const baseline = data.baseline === null ? "" : `baseline ${fixed(data.baseline, 2)}; `;
    return markup`${[
      found
        ? number("effective speedup", unknown ? "not known" : times(found.speedup),
            unknown ? found.note : `over the baseline; ${between(found.speedup_interval, 2)}, n=${found.speedup_n}`)
        : number("effective speedup", "not recorded", runIt(where)),
      found
        ? number("test accuracy", `${fixed(found.accuracy, 1)} %`,
            `${after(data.trained)}; ${spread(found.interval, 1, found.n)}`)
        : number("test accuracy", "not recorded", ""),
      reached
        ? number(`epochs to ${target()}`, reached.epochs === null ? "not known" : fixed(reached.epochs, 2),
            (reached.note || `${baseline}${spread(reached.interval, 2, reached.n)}`) +
            (reached.of ? `; of the paper's own “${reached.of}”` : ""))
        : number(`epochs to ${target()}`, "not recorded", runIt(where, "--set epochs=7,9.9,14,20 ")),
    ]}`;
  }

  /** A rung for each switch that is on, each with one trick more than the one above it. */
  function drawLadder() {
    const rows = [[], ...order.map((_, i) => order.slice(0, i + 1))].map((on) => ({
      ...data.positions[position(on)],
      seconds: null, // of few only, made on different days
      name: on.length ? `+ ${switches[on.at(-1)].name}` : "all off",
    }));
    const title = "Your ladder, in the order in which you throw the switches";
    return markup`${effects(title, rows, data)}<p>${ABOUT(paper_hardware)}</p>`;
  }

  /** What each trick is worth where it shows best. */
  function drawRegimes() {
    const some = regimes.filter((one) => one.gain !== undefined);
    const missing = regimes.filter((one) => !some.includes(one)).map((one) => one.name);
    const bounds = [0, ...some.flatMap((one) => one.interval)];
    const [low, high] = [Math.min(...bounds), Math.max(...bounds)];
    const scale = { at: (value) => (value - low) / (high - low), zero: 0, ticks: [0] };
    const title = "What each trick adds in a small experiment of its own";
    const rows = some.map((one) => [
      lessons === undefined ? one.name : markup`<a href="${lessons}${one.lesson}.html">${one.name}</a>`,
      markup`${bar({ value: one.gain, interval: one.interval, ...scale })}<b>${fixed(one.gain, 2)} points</b>
        ${between(one.interval, 2)}, n=${one.n} pairs; ${fixed(one.without, 1)} % to ${fixed(one.with, 1)} %`,
      one.chosen,
    ]);
    const head = ["trick", "points of accuracy", "changed of airbench94"];
    return markup`${rows.length ? table(title, head, rows) : markup`<figcaption>${title}</figcaption>`}
      <p>At the scale laptop, chosen so that the trick shows; not what it is worth at full scale.
      ${some.length ? `Recorded on ${[...new Set(some.map((one) => one.hardware))].join(" and ")}.` : ""}
      ${missing.length ? markup`Not recorded: ${missing.join(", ")}. Run it:
        <code>${command} regimes --scale laptop --seeds 50 --out mine.jsonl</code>` : ""}</p>`;
  }

  draw();
  return plot.close;
}

export default { render };
