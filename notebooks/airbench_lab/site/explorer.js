// The explorer of recorded runs: the module of an anywidget, which a static page mounts as well.
//
// Every number is made by explorer.py; here it is drawn, in the colours and the font of the page around it.
// model.get("data"): what explorer.py's `explorer` returns. model.get("lessons"): what stands before a lesson's name in
// a link to its page; without it there are no links.

const NOW = "var(--blue)", BEFORE = "var(--vermilion)", OFF = "currentColor";
const HEIGHT = 300; // of the curve, in pixels
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 84, 12, 40]; // pixels around its plot

class Markup extends String {}

/** HTML or SVG in which all that is put in is escaped, but for other markup and lists of it. */
function markup(parts, ...values) {
  const safe = (value) => {
    if (value instanceof Markup) return value;
    if (Array.isArray(value)) return value.map(safe).join("");
    const escaped = String(value === false ? "" : value ?? "").replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt()};`);
    return escaped.replaceAll(" %", "&nbsp;%");
  };
  return new Markup(parts.reduce((all, part, i) => all + safe(values[i - 1]) + part));
}

const fixed = (value, digits) => value.toFixed(digits).replace("-", "−");
const times = (value) => `${fixed(value, 2)}×`;

/** An interval in words; one that is open at an end says so. */
function between([low, high], digits) {
  if (low === null && high === null) return "not known";
  if (high === null) return low ? `above ${fixed(low, digits)}` : "not bounded";
  return low ? `${fixed(low, digits)} to ${fixed(high, digits)}` : `below ${fixed(high, digits)}`;
}

function table(caption, head, rows) {
  return markup`<table><caption>${caption}</caption>
    <thead><tr>${head.map((cell) => markup`<th scope="col">${cell}</th>`)}</tr></thead>
    <tbody>${rows.map(
      ([first, ...others]) =>
        markup`<tr><th scope="row">${first}</th>${others.map((cell) => markup`<td>${cell}</td>`)}</tr>`,
    )}</tbody></table>`;
}

/** A value as a bar from `zero`, its interval as a line, a published value as a diamond; at: shares of the width. */
function bar({ value, interval: [low, high], mark, at, zero, ticks }) {
  const place = (x) => 100 * Math.min(1, Math.max(0, at(x)));
  const part = (kind, from, to) =>
    markup`<span class="${kind}" style="left:${Math.min(from, to)}%;width:${Math.abs(to - from)}%"></span>`;
  return markup`<span class="track" aria-hidden="true">
    ${ticks.map((tick) => part(tick === zero ? "tick zero" : "tick", place(tick), place(tick)))}
    ${part("value", place(zero), place(value))}
    ${part("interval", low === null ? 0 : place(low), high === null ? 100 : place(high))}
    ${mark ? part("mark", place(mark), place(mark)) : ""}</span>`;
}

function render({ model, el }) {
  const data = model.get("data");
  const lessons = model.get("lessons");
  const { switches, positions } = data;
  const target = data.target === null ? "the target" : `${data.target} %`;
  const none = "0".repeat(switches.length);
  const [command, record] = ["airbench sweep", `--scale ${data.scale} --data ${data.data} --out mine.jsonl`];
  let order = switches.map((_, i) => i); // the switches that are on, in the order in which they were thrown
  let before = none;
  let reading = null; // the point of the curve that is read

  const position = (on) => switches.map((_, i) => Number(on.includes(i))).join("");
  const named = (where, digit) => switches.filter((_, i) => where[i] === digit).map((one) => one.name);
  const called = (where) => {
    if (where === none) return "all off";
    const off = named(where, "0");
    return off.length < 3 ? ["airbench94", ...off].join(" without ") : named(where, "1").join(" + ");
  };
  const runIt = (where, more = "") => {
    const off = switches.filter((_, i) => where[i] === "0").map((one) => `--set ${one.off} `);
    return markup`Run it: <code>${command} airbench94 ${off.join("")}${more}${record}</code>`;
  };

  el.classList.add("airbench");
  el.innerHTML = markup`
    <fieldset><legend>The tricks of airbench94</legend>
      ${switches.map((one) => markup`<button type="button" role="switch"><i></i>${one.name}</button>`)}
      <div><button type="button">all off</button><button type="button">all on</button></div></fieldset>
    <div class="numbers" role="status"></div>
    <figure><figcaption>Test accuracy without TTA after each epoch, and at the end with it</figcaption>
      <div class="legend"></div>
      <div class="plot" role="slider" tabindex="0" aria-label="Test accuracy: the arrow keys read it point by point">
        <svg height="${HEIGHT}" width="100%" aria-hidden="true"></svg></div>
      <details><summary>The numbers as a table</summary><div class="points"></div></details></figure>
    <figure class="ladder"></figure>
    <figure>${regimes()}</figure>
    <p>Curve, speedups and ladder: recorded on ${data.data} at the scale ${data.scale} (${data.about}): ${data.hardware}. Nothing is simulated, or
      interpolated between settings. Intervals with n below 5 are too narrow for speedups and epochs.</p>`;
  const parts = [".numbers", ".legend", ".plot", "svg", ".points", ".ladder"];
  const [numbers, legend, plot, svg, points, ladder] = parts.map((one) => el.querySelector(one));
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

  // The points of every curve: after each epoch, and the end with TTA.
  const longest = Object.values(positions)[0]?.curve.map(([epochs]) => +epochs.toFixed(2)) ?? [];
  const after = longest.map((epochs) => `after ${epochs} epoch${epochs === 1 ? "" : "s"}`);
  const moments = [...after, "at the end, with TTA"];
  const means = Object.values(positions).flatMap((one) => [one.accuracy, ...one.curve.map(([, mean]) => mean)]);
  const lowest = 10 * Math.floor(Math.min(...means) / 10);
  const highest = 10 * Math.ceil(Math.max(...means) / 10);
  let right = 0; // of the plot, in pixels
  const x = (i) => (i < longest.length ? LEFT + (longest[i] / longest.at(-1)) * (right - LEFT) : right + 50);
  const y = (value) => {
    const share = (value - lowest) / (highest - lowest);
    return HEIGHT - BOTTOM - Math.min(1, Math.max(0, share)) * (HEIGHT - BOTTOM - TOP);
  };
  const said = (where, i) => {
    const { curve, accuracy, interval, n } = positions[where];
    const [mean, ...bounds] = i < curve.length ? curve[i].slice(1) : [accuracy, ...interval];
    return `${fixed(mean, 1)} % (${between(bounds, 1)}, n=${n})`;
  };

  /** What the curve shows: all off, the setting before the last click, and that of now; [position, colour, dashes]. */
  function lines() {
    const now = position(order);
    const past = [[none, OFF, "2 4"], [before, BEFORE, "7 4"]].slice(0, before === none ? 1 : 2);
    return [...past.filter(([where]) => where !== now), [now, NOW, ""]].filter(([where]) => positions[where]);
  }

  function draw() {
    buttons.forEach((button, i) => button.setAttribute("aria-checked", order.includes(i)));
    numbers.innerHTML = drawNumbers(position(order));
    drawCurve();
    const head = ["when", ...lines().map(([where]) => called(where))];
    const rows = moments.map((moment, i) => [moment, ...lines().map(([where]) => said(where, i))]);
    points.innerHTML = table("Test accuracy: mean, 95 % interval, runs", head, rows);
    ladder.innerHTML = drawLadder();
  }

  function drawNumbers(where) {
    const [found, reached] = [positions[where], data.to_target[where]];
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
            `after ${fixed(data.trained, 2)} epochs; ${between(found.interval, 1)}, n=${found.n}`)
        : number("test accuracy", "not recorded", ""),
      reached
        ? number(`epochs to ${target}`, reached.epochs === null ? "not known" : fixed(reached.epochs, 2),
            (reached.note || `${baseline}${between(reached.interval, 2)}, n=${reached.n}`) +
            (reached.of ? `; of the paper's own “${reached.of}”` : ""))
        : number(`epochs to ${target}`, "not recorded", runIt(where, "--set epochs=7,9.9,14,20 ")),
    ]}`;
  }

  function drawCurve() {
    right = Math.max(280, plot.clientWidth) - RIGHT;
    const grid = Array.from({ length: (highest - lowest) / 10 + 1 }, (_, i) => lowest + 10 * i);
    const label = (at, height, text, anchor = "middle") =>
      markup`<text x="${at}" y="${height}" text-anchor="${anchor}">${text}</text>`;
    const path = (all) => `M${all.map((one) => one.map((pixel) => pixel.toFixed(1)).join()).join("L")}`;
    const drawn = lines().map(([where, colour, dashes], i, all) => {
      const { curve, accuracy, interval } = positions[where];
      const last = i === all.length - 1;
      const edge = (column) => curve.map((point, j) => [x(j), y(point[column])]);
      const end = x(longest.length) + 12 * (i + 1 - all.length);
      const how = markup`stroke="${colour}" stroke-width="${last ? 3 : 2}"`;
      return markup`
        ${last && curve[0]?.[2] !== null &&
          markup`<path class="band" d="${path([...edge(3), ...edge(2).reverse()])}Z"/>`}
        <path class="${last ? "now" : ""}" d="${path(edge(1))}" fill="none" stroke-dasharray="${dashes}" ${how}/>
        ${edge(1).map(([a, b]) => markup`<circle cx="${a}" cy="${b}" r="${last ? 4 : 3}" fill="${colour}"/>`)}
        ${interval[0] !== null && markup`<path d="M${end},${y(interval[0])}V${y(interval[1])}" ${how}/>`}
        <path d="M${end},${y(accuracy) - 6}l6,6l-6,6l-6,-6z" fill="${colour}"/>`;
    });
    svg.innerHTML = markup`
      ${grid.map((value) => [
        markup`<path class="grid" d="M${LEFT},${y(value)}H${right + RIGHT - 10}"/>`,
        label(LEFT - 6, y(value) + 4, `${value} %`, "end"),
      ])}
      ${longest.map((epochs, i) => label(x(i), HEIGHT - 23, epochs))}
      ${label((LEFT + right) / 2, HEIGHT - 6, "epochs")} ${label(x(longest.length), HEIGHT - 23, "with TTA")}
      ${drawn}<path class="guide" d=""/>`;
    read(reading);
  }

  /** Moves the guide to a point, and says in the legend what the curves are there: at the end if i is null. */
  function read(i) {
    reading = i;
    const at = i ?? longest.length;
    svg.querySelector(".guide").setAttribute("d", i === null ? "" : `M${x(i)},${TOP}V${HEIGHT - BOTTOM}`);
    const shown = lines().map(([where, ...look]) => [...look, called(where), said(where, at)]).reverse();
    legend.innerHTML = markup`<div>${moments[at]}:</div>${shown.map(
      ([colour, dashes, name, value]) => markup`<div><svg width="30" height="10" aria-hidden="true"><path d="M0,5h30"
        stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dashes}"/></svg>
        ${colour === BEFORE ? "before: " : ""}${name} <b>${value}</b></div>`,
    )}`;
    const text = [moments[at], ...shown.map(([, , name, value]) => `${name}: ${value}`)].join("; ");
    const values = { valuemin: 1, valuemax: moments.length, valuenow: at + 1, valuetext: text };
    for (const [name, value] of Object.entries(values)) plot.setAttribute(`aria-${name}`, value);
  }

  plot.onpointermove = (event) => {
    const over = event.clientX - plot.getBoundingClientRect().left;
    const away = moments.map((_, i) => Math.abs(x(i) - over));
    read(away.indexOf(Math.min(...away)));
  };
  plot.onpointerleave = plot.onblur = () => read(null);
  plot.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Escape") read(null);
    if (!step) return;
    event.preventDefault();
    read(Math.min(longest.length, Math.max(0, (reading ?? (step > 0 ? -1 : moments.length)) + step)));
  };

  /** A rung for each switch that is on, each with one trick more than the one above it. */
  function drawLadder() {
    const most = Math.max(2, ...Object.values(data.paper), ...Object.values(positions).map((one) => one.speedup));
    const [low, high] = [Math.log(0.85), Math.log(1.06 * most)];
    const scale = { at: (value) => (Math.log(value) - low) / (high - low), zero: 1, ticks: [1, 2, 4] };
    const rows = [[], ...order.map((_, i) => order.slice(0, i + 1))].map((on) => {
      const where = position(on);
      const [found, reached, paper] = [positions[where], data.to_target[where], data.paper[where]];
      const speedup = found && found.speedup !== null && markup`
        ${bar({ value: found.speedup, interval: found.speedup_interval, mark: paper, ...scale })}
        <b>${times(found.speedup)}</b> ${between(found.speedup_interval, 2)}, n=${found.speedup_n}
        ${paper ? markup`<span class="paper">paper ${times(paper)}</span>` : ""}`;
      const epochs = reached && reached.epochs !== null && markup`
        ${fixed(reached.epochs, 2)}${reached.of ? "†" : ""} <small>${between(reached.interval, 2)}</small>`;
      return [
        on.length ? `+ ${switches[on.at(-1)].name}` : "all off",
        speedup || (found ? found.note : "not recorded"),
        epochs || (reached ? reached.note : "not recorded"),
      ];
    });
    const head = ["setting", "effective speedup over the baseline; lines at 1×, 2×, 4×", `epochs to ${target}`];
    return markup`${table("Your ladder, in the order in which you throw the switches", head, rows)}
      <p>Effective speedup: how many epochs the baseline needs for the same accuracy, divided by the setting's own. The
      paper's values are to 94 % at full scale, on ${data.paper_hardware}. † Measured of the paper's own recipe with
      these tricks, whose learning rate and schedule may differ too. All intervals are 95 %.</p>`;
  }

  /** What each trick is worth where it shows best. */
  function regimes() {
    const some = data.regimes.filter((one) => one.gain !== undefined);
    const missing = data.regimes.filter((one) => !some.includes(one)).map((one) => one.name);
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
      <p>At the scale few, chosen so that the trick shows; not what it is worth at full scale.
      ${some.length ? `Recorded on ${[...new Set(some.map((one) => one.hardware))].join(" and ")}.` : ""}
      ${missing.length ? markup`Not recorded: ${missing.join(", ")}. Run it:
        <code>${command} regimes --scale few --seeds 50 --out mine.jsonl</code>` : ""}</p>`;
  }

  const resized = new ResizeObserver(drawCurve);
  draw();
  resized.observe(plot);
  return () => resized.disconnect();
}

export default { render };
