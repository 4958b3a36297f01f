// What the panel of a notebook and the explorer of the site share. Every number is made in Python; here it is drawn, in
// the colours and the font of the page around it. Stands before panel.js or explorer.js, in one module with it.

const BLUE = "var(--blue)", VERMILION = "var(--vermilion)", GREY = "var(--grey)", INK = "currentColor";
const LOSS = 76; // pixels for the loss below the curves
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 84, 12, 40]; // pixels around the curves

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

/** The name of a setting, which may break after each sign within it. */
const breaking = (name) => new Markup(String(markup`${name}`).replace(/[_=]/g, "$&<wbr>"));

const fixed = (value, digits) => value.toFixed(digits).replace("-", "−");
const times = (value) => `${fixed(value, 2)}×`;
const after = (epochs) => `after ${+epochs.toFixed(2)} epoch${epochs === 1 ? "" : "s"}`;
const known = (interval) => interval.some((bound) => bound !== null);

/** An interval in words; one that is open at an end says so. */
function between([low, high], digits) {
  if (low === null && high === null) return "not known";
  if (high === null) return low ? `above ${fixed(low, digits)}` : "not bounded";
  return low ? `${fixed(low, digits)} to ${fixed(high, digits)}` : `below ${fixed(high, digits)}`;
}

/** The interval of n runs; of one there is none. */
const spread = (interval, digits, n) => `${known(interval) ? `${between(interval, digits)}, ` : ""}n=${n}`;

/** An axis from ten to ten percent with room for these curves and what they end in. */
function range(curves) {
  const values = curves.flatMap((one) => [(one.end ?? one).accuracy, ...(one.points ?? []).map(([, mean]) => mean)]);
  const some = values.filter((value) => typeof value === "number");
  return some.length ? [10 * Math.floor(Math.min(...some) / 10), 10 * Math.ceil(Math.max(...some) / 10)] : [0, 100];
}

/** A table; columns after the first in which there is nothing are left out. */
function table(caption, head, rows) {
  const kept = head.map((_, i) => i === 0 || rows.some((row) => row[i] !== undefined && `${row[i]}` !== ""));
  const some = (cells) => cells.filter((_, i) => kept[i]);
  return markup`<table><caption>${caption}</caption>
    <thead><tr>${some(head).map((cell) => markup`<th scope="col">${cell}</th>`)}</tr></thead>
    <tbody>${rows.map(some).map(
      ([first, ...others]) =>
        markup`<tr><th scope="row">${first}</th>${others.map((cell) => markup`<td>${cell}</td>`)}</tr>`,
    )}</tbody></table>`;
}

/** A value as a bar from `zero`, its interval as a line, a published value as a ring; at: shares of the width. */
function bar({ value, interval: [low, high], mark, at, zero, ticks }) {
  const place = (x) => 100 * Math.min(1, Math.max(0, at(x)));
  const part = (kind, from, to) =>
    markup`<span class="${kind}" style="left:${Math.min(from, to)}%;width:${Math.abs(to - from)}%"></span>`;
  const line = low === null && high === null ? "" :
    part("interval", low === null ? 0 : place(low), high === null ? 100 : place(high));
  return markup`<span class="track" aria-hidden="true">
    ${ticks.map((tick) => part(tick === zero ? "tick zero" : "tick", place(tick), place(tick)))}
    ${part("value", place(zero), place(value))}${line}${mark ? part("mark", place(mark), place(mark)) : ""}</span>`;
}

/** Puts `html` into `el`; bars grow and shrink from what stood in their place. */
function redraw(el, html) {
  const boxes = () => [...el.querySelectorAll(".track .value")];
  const before = boxes().map((box) => box.style.cssText);
  el.innerHTML = html;
  boxes().forEach((box, i) => {
    if (!(i in before)) return;
    const now = box.style.cssText;
    box.style.cssText = before[i];
    box.getBoundingClientRect();
    box.style.cssText = now;
  });
}

/** What settings need to the target, and how much sooner they are there than the baseline: a table of bars.
 *
 * rows: {name, ...} with what recorded.py's `entry` holds, to_target and paper; of one without them `absent` is said.
 * Only the columns of which something is known; of accuracy alone where nothing else is.
 */
function effects(caption, rows, { target, baseline }) {
  const numbers = (pick) => rows.flatMap((row) => pick(row)).filter((value) => typeof value === "number");
  const reached = (row) => (typeof row.to_target?.epochs === "number" ? row.to_target : null);
  const pace = (row) => reached(row) && row.seconds && row.seconds / row.epochs; // seconds an epoch
  const from0 = (values, ticks) => {
    const most = 1.08 * Math.max(...values);
    return { at: (value) => value / most, zero: 0, ticks: [0, ...ticks] };
  };
  const paper = (row, say) => (row.paper ? markup` <span class="paper">paper ${say(row.paper)}</span>` : "");

  const ends = numbers((row) => (reached(row) ? [reached(row).epochs, reached(row).interval[1], baseline] : []));
  const epochs = from0(ends, baseline ? [baseline] : []);
  const needs = (row) => {
    const found = reached(row);
    if (found && row.where === "here") return "as recorded";
    if (!found) return row.to_target ? row.to_target.note : "not recorded";
    const share = baseline ? `; ${fixed(found.epochs / baseline, 2)} of the baseline's` : "";
    const mark = row.paper && baseline / row.paper;
    return markup`${bar({ value: found.epochs, interval: found.interval, mark, ...epochs })}
      <b>${fixed(found.epochs, 2)}${found.of ? "†" : ""}</b> ${spread(found.interval, 2, found.n)}${share}
      ${baseline && paper(row, (value) => fixed(1 / value, 2))}`;
  };

  const [low, high] = [0.85, 1.06 * Math.max(2, ...numbers((row) => [row.speedup, row.paper]))].map(Math.log);
  const speed = { at: (value) => (Math.log(value) - low) / (high - low), zero: 1, ticks: [1, 2, 4] };
  const unknown = (note) => note?.replace(/^(more|fewer) than/, "the baseline needs $&"); // its curve ends before
  const speedup = (row) => (typeof row.speedup !== "number" ? unknown(row.note) : markup`
    ${bar({ value: row.speedup, interval: row.speedup_interval, mark: row.paper, ...speed })}
    <b>${times(row.speedup)}</b> ${spread(row.speedup_interval, 2, row.speedup_n)}${paper(row, times)}`);

  const wait = (row) => [reached(row).epochs, ...reached(row).interval].map((one) => one && one * pace(row));
  const longest = from0(numbers((row) => (pace(row) ? wait(row) : [])), []);
  const seconds = (row) => {
    if (!pace(row)) return "";
    const [value, ...interval] = wait(row);
    return markup`${bar({ value, interval, ...longest })}<b>${fixed(value, 1)} s</b> ${row.timed}`;
  };

  const accuracies = numbers((row) => [row.accuracy, ...(row.interval ?? [])]);
  const [floor, ceiling] = [Math.floor(Math.min(...accuracies) / 10 - 0.1), Math.ceil(Math.max(...accuracies) / 10)];
  const share = (value) => (value / 10 - floor) / (ceiling - floor);
  const points = { at: share, zero: 10 * floor, ticks: [10 * floor, 10 * ceiling] };
  const accuracy = (row) => markup`${bar({ value: row.accuracy, interval: row.interval, ...points })}
    <b>${fixed(row.accuracy, 1)} %</b> ${spread(row.interval, 1, row.n)}`;

  const line = baseline ? `; line: the baseline's ${fixed(baseline, 2)}` : "";
  const columns = [
    [`epochs to ${target} %${line}`, needs, rows.some(reached)],
    ["effective speedup; lines: 1×, 2×, 4×", speedup, numbers((row) => row.speedup).length],
    [`seconds to ${target} %`, seconds, rows.some(pace)],
  ].filter(([, , any]) => any);
  if (!columns.length) columns.push(["accuracy at the end", accuracy]);
  const cells = (row) => columns.map(([, cell], i) => (row.n ? cell(row) : i ? "" : row.absent ?? "not recorded"));
  return table(caption, ["setting", ...columns.map(([name]) => name)], rows.map((row) => [breaking(row.name), ...cells(row)]));
}

/** What the columns of `effects` are; what is said of bars that are there. */
const ABOUT = (paper) => markup`Effective speedup: how many epochs the baseline needs for the same accuracy, divided by
  the setting's own. The paper's values are to 94 % at full scale, on ${paper}. † Measured of the paper's own recipe
  with these tricks, whose learning rate and schedule may differ too. All intervals are 95 %; with n below 5 those of
  epochs and speedups are too narrow.`;

/** Curves over epochs, put into `figure`; the pointer and the arrow keys read them point by point. Returns `draw`.
 *
 * lines, the most important last: {name, colour, dashes, points: [[epochs, mean, low, high], ...]}, and if there is one
 * its end, {accuracy, interval, n}; state: of a run made here. range: of accuracy, in percent. until:
 * epochs. losses: [[epochs, training loss], ...], drawn below. tta: what the end is measured with.
 */
function curves(figure, caption, { height = 300, tta = "with TTA" } = {}) {
  figure.innerHTML = markup`<figcaption>${caption}</figcaption><div class="legend"></div>
    <div class="plot" role="slider" tabindex="0" aria-label="Accuracy: the arrow keys read it point by point">
      <svg width="100%" aria-hidden="true"></svg></div>
    <details><summary>The numbers as a table</summary><div class="points"></div></details>`;
  const [legend, plot, svg, points] = [".legend", ".plot", "svg", ".points"].map((one) => figure.querySelector(one));
  let now = { lines: [], range: [0, 100], until: 1, losses: [] };
  let moments = []; // that can be read: epochs; the last, null, is the end
  let reading = null; // one of them
  let right = 0; // of the plot, in pixels
  const x = (epochs) => (epochs === null ? right + 50 : LEFT + (epochs / now.until) * (right - LEFT));
  const y = (value) => {
    const share = (value - now.range[0]) / (now.range[1] - now.range[0]);
    return height - BOTTOM - Math.min(1, Math.max(0, share)) * (height - BOTTOM - TOP);
  };
  const when = (moment) => (moment === null ? `at the end, ${tta}` : after(moment));
  const same = (a, b) => Math.abs(a - b) < 0.005;

  /** What a line is at a moment. A run in progress has no end yet: its last point stands for it. */
  function said({ points, end, n, state }, moment) {
    if (moment === null && end) return `${fixed(end.accuracy, 1)} % (${spread(end.interval, 1, end.n)})`;
    const [epochs, mean, ...interval] = (moment === null ? points.at(-1) : points.find(([e]) => same(e, moment))) ?? [];
    if (mean === undefined) return moment === null ? (state === "race" ? "no curve" : "no epoch done yet") : "";
    return `${fixed(mean, 1)} % ${moment === null ? after(epochs) : ""}${n ? ` (${spread(interval, 1, n)})` : ""}`;
  }

  const room = () => Math.max(280, plot.clientWidth) - RIGHT;

  function draw(next = now) {
    now = next;
    const { lines, range: [lowest, highest], until, losses = [] } = now;
    moments = [...new Set(lines.flatMap((line) => line.points.map(([epochs]) => epochs.toFixed(2))))].map(Number);
    moments = [...moments.sort((a, b) => a - b), null];
    right = room();
    const step = [0.5, 1, 2, 5, 10, 20, 50, 100].find((one) => until / one <= 6) ?? 200;
    const ticks = Array.from({ length: 1 + Math.floor(until / step - 0.4) }, (_, i) => i * step);
    const grid = Array.from({ length: (highest - lowest) / 10 + 1 }, (_, i) => lowest + 10 * i);
    const label = (left, down, text, anchor = "middle") =>
      markup`<text x="${left}" y="${down}" text-anchor="${anchor}">${text}</text>`;
    const path = (all) => `M${all.map((one) => one.map((pixel) => pixel.toFixed(1)).join()).join("L")}`;
    const ended = lines.filter((line) => line.end);
    const drawn = lines.map((line, i) => {
      const { points, end, colour, dashes, state } = line;
      const last = i === lines.length - 1;
      const edge = (column) => points.map((point) => [x(point[0]), y(point[column])]);
      const at = x(null) + 12 * (ended.indexOf(line) + 1 - ended.length);
      const how = markup`stroke="${colour}" stroke-width="${last ? 3 : 2}"`;
      const [a, b] = edge(1).at(-1) ?? [];
      const cut = points.length && ["stopped", "failed"].includes(state);
      return markup`
        ${points.length && markup`${colour === BLUE && points[0][2] !== null &&
          markup`<path class="band" fill="${colour}" d="${path([...edge(3), ...edge(2).reverse()])}Z"/>`}
        <path class="${last ? "now" : ""}" d="${path(edge(1))}" fill="none" stroke-dasharray="${dashes}" ${how}/>
        ${edge(1).map(([a, b]) => markup`<circle cx="${a}" cy="${b}" r="${last ? 4 : 3}" fill="${colour}"/>`)}`}
        ${cut && markup`<path d="M${a - 6},${b - 6}l12,12m0,-12l-12,12" ${how}/>`}
        ${end && known(end.interval) && markup`<path d="M${at},${y(end.interval[0])}V${y(end.interval[1])}" ${how}/>`}
        ${end && markup`<path d="M${at},${y(end.accuracy) - 6}l6,6l-6,6l-6,-6z" fill="${colour}"/>`}`;
    });
    svg.setAttribute("height", height + (losses.length ? LOSS : 0));
    svg.innerHTML = markup`
      ${grid.map((value) => [
        markup`<path class="grid" d="M${LEFT},${y(value)}H${right + RIGHT - 10}"/>`,
        label(LEFT - 6, y(value) + 4, `${value} %`, "end"),
      ])}
      ${[...ticks, until].map((epochs) => label(x(epochs), height - 23, +epochs.toFixed(2)))}
      ${label((LEFT + right) / 2, height - 6, "epochs")} ${ended.length && label(x(null), height - 23, "end")}
      ${drawn}<path class="guide" d=""/>${losses.length && drawLoss(losses)}`;
    const head = ["when", ...lines.map((line) => line.name)];
    const rows = moments.map((moment) => [when(moment), ...lines.map((line) => said(line, moment))]);
    points.innerHTML = table("Accuracy: mean, 95 % interval, runs", head, rows);
    read(moments.includes(reading) ? reading : null);

    function drawLoss(losses) {
      const [top, bottom] = [height + 18, height + LOSS - 6];
      const all = losses.map(([, loss]) => loss);
      const [least, most] = [Math.min(...all), Math.max(...all)];
      const down = (loss) => bottom - ((loss - least) / (most - least || 1)) * (bottom - top);
      const [epochs, loss] = losses.at(-1);
      return markup`${label(LEFT, height + 8, "training loss, within the epochs", "start")}
        <path class="loss" d="${path(losses.map(([e, l]) => [x(e), down(l)]))}" fill="none" stroke="${INK}"
          stroke-width="1.5"/>
        ${[least, most].map((one) => label(LEFT - 6, down(one) + 4, fixed(one, 2), "end"))}
        ${label(Math.min(x(epochs) + 6, right + 8), down(loss) + 4, fixed(loss, 2), "start")}`;
    }
  }

  /** Moves the guide to a moment, and says in the legend what the curves are there. */
  function read(moment) {
    reading = moment;
    const { lines } = now;
    svg.querySelector(".guide").setAttribute("d", moment === null ? "" : `M${x(moment)},${TOP}V${height - BOTTOM}`);
    const shown = lines.map((line) => [line, said(line, moment)]).reverse();
    legend.innerHTML = markup`<div>${lines.length ? `${when(moment)}:` : "no run yet"}</div>${shown.map(
      ([{ colour, dashes, name, role }, value]) => markup`<div><svg width="30" height="10" aria-hidden="true"><path
        d="M0,5h30" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dashes}"/></svg>
        ${role ? `${role}: ` : ""}${name} <b>${value}</b></div>`,
    )}`;
    const text = [when(moment), ...shown.map(([{ name }, value]) => `${name}: ${value}`)].join("; ");
    const values = { valuemin: 1, valuemax: moments.length, valuenow: moments.indexOf(moment) + 1, valuetext: text };
    for (const [name, value] of Object.entries(values)) plot.setAttribute(`aria-${name}`, value);
  }

  plot.onpointermove = (event) => {
    const over = event.clientX - plot.getBoundingClientRect().left;
    const away = moments.map((moment) => Math.abs(x(moment) - over));
    read(moments[away.indexOf(Math.min(...away))]);
  };
  plot.onpointerleave = plot.onblur = () => read(null);
  plot.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Escape") read(null);
    if (!step) return;
    event.preventDefault();
    event.stopPropagation(); // a notebook has uses of its own for them
    const at = reading === null && step > 0 ? -1 : moments.indexOf(reading);
    read(moments[Math.min(moments.length - 1, Math.max(0, at + step))]);
  };
  const resized = new ResizeObserver(() => room() !== right && draw()); // its height is of its own making
  resized.observe(plot);
  return { draw, close: () => resized.disconnect() };
}
