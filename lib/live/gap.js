// Every setting as a point: agreement in distribution across, elsewhere up; or what was foreseen against what was measured.

const NEAR = 22; // pixels from a point within which a pointer means it
const GAP_INK = { width: 54, top: 12, right: 14, bottom: 42 }; // around the plot

/** What the state asks for, checked: `Problem` names what there is. */
function gapView({ config, state }, { study: studyName, split: splitName, control: controlKey, against, level, point }) {
  const pick = (what, list, key, name) => {
    const found = list.find((of) => String(of[name]) === String(key));
    if (!found) throw new Problem(`There is no ${what} called ${key}; there ${list.length === 1 ? "is" : "are"} ${list.map((of) => of[name]).join(", ")}.`);
    return found;
  };
  const study = pick("study", config.studies, studyName, "name");
  const split = pick(`split of ${study.name}`, study.splits, splitName ?? study.open.split, "name");
  const control = pick(`reference of ${split.name}`, split.controls, controlKey ?? split.controls[0].key, "key");
  const axes = pick("comparison", [{ name: "measured" }, { name: "foreseen" }], against, "name").name;
  const least = pick("level", [{ percent: 0 }, ...config.levels.map((percent) => ({ percent }))], level, "percent").percent;
  const of = settingLike(study, state.values), asked = point ?? of?.key ?? study.open.point;
  const chosen = study.settings.indexOf(pick(`setting of ${study.name}`, study.settings, asked, "key"));
  return { study, split, control, foreseen: axes === "foreseen", level: least, chosen };
}

/** The setting that other figures show, if it was measured in this study. */
const settingLike = (study, { proxy, complexity, layer }) =>
  study?.settings.find((s) => s.proxy === proxy && s.complexity === (complexity ?? null) && s.layer === layer);

/** Points of a view: where they are, and by how much that may be off; those that were not measured have no place. */
function gapPoints({ study, split, control, foreseen }, config) {
  const side = split.controls.indexOf(control);
  return study.settings.map((setting, at) => {
    const row = split.rows[at], [sign, , reference = setting.inside, there = row.there] = row.sides[side];
    const [x, y] = foreseen ? [row.foreseen, row.there] : [reference, there];
    return { at, setting, row, x, y, sign: foreseen ? row.foreseen[4] : sign, family: config.families[setting.proxy] };
  });
}

const gapSentence = (row, { phrases }) =>
  row.says.map(([phrase, numbers]) => { const of = numbers.split(" "); return phrases[phrase].replace(/\{\}/g, () => of.shift()); }).join(" ");

FIGURES.gap = (host, board) => {
  const { config, state } = host, named = (setting) => `${setting.label}, ${setting.place}`;
  const choose = (setting) => {
    const { proxy, complexity, layer } = setting;
    state.set({ point: setting.key, ...(layer < 0 ? {} : { proxy, complexity, layer }) });
  };
  const study = choice("Study", (name) => state.set({ study: name }));
  const split = choice("Split", (name) => {
    const { controls } = config.studies.find((of) => of.name === state.values.study)?.splits.find((of) => of.name === name) ?? { controls: [] };
    state.set({ split: name, control: controls.some(({ key }) => key === state.values.control) ? state.values.control : null });
  });
  const against = choice("Show", (value) => state.set({ against: value }));
  const control = choice("Compared with", (key) => state.set({ control: key }));
  const level = choice("Agreement in distribution", (value) => state.set({ level: value }));
  const point = choice("Point", choose);
  study.box.hidden = config.studies.length < 2;
  const plot = html("div", { class: "live-gap-plot" }), said = html("p", { class: "live-said live-gap-said", "aria-live": "polite" });
  const row = html("div"), caption = html("figcaption");
  board.append(
    html("div", { class: "live-controls" }, study.box, split.box, against.box, control.box, level.box),
    html("div", { class: "live-columns" },
      html("figure", { class: "live-figure live-gap-figure" }, plot, caption),
      html("div", { class: "live-gap-row" }, html("div", { class: "live-controls" }, point.box), row, said)),
  );

  const now = () => ({ study: state.values.study, point: state.values.point, setting: JSON.stringify(["proxy", "complexity", "layer"].map((name) => state.values[name] ?? null)) });
  let last = now();
  state.listeners.push((changes) => {
    const before = last;
    last = now();
    if (last.study !== before.study) { // what belongs to the other study goes, unless it was asked for with this one
      const { split: x = null, control: y = null, point: z = null } = changes;
      state.set({ split: x, control: y, point: z });
    } else if (last.setting !== before.setting && last.point === before.point) { // another figure shows another setting
      const found = settingLike(config.studies.find(({ name }) => name === state.values.study), state.values);
      if (found && ["proxy", "complexity", "layer"].some((name) => name in changes)) state.set({ point: found.key });
    }
  });

  return async (values) => {
    const view = gapView(host, values), { chosen } = view;
    const points = gapPoints(view, config), measured = points.filter(({ x, y }) => x[0] != null && y[0] != null);
    const shown = measured.filter(({ at, setting }) => at === chosen || 100 * setting.inside[0] >= view.level);
    const show = (at) => {
      row.replaceChildren(gapRow(points[at], view));
      said.textContent = gapSentence(points[at].row, config);
    };
    return () => {
      study.offer(config.studies.map(({ name }) => [name, name]), view.study.name);
      split.offer(view.study.splits.map(({ name, label }) => [name, label]), view.split.name);
      against.offer([["measured", "what was measured"], ["foreseen", "what was foreseen"]], view.foreseen ? "foreseen" : "measured");
      control.offer(view.split.controls.map(({ key, label }) => [key, label]), view.control.key);
      control.box.hidden = view.foreseen; // what is foreseen is agreement there, whatever that is compared with
      level.offer([[0, "any"], ...config.levels.map((percent) => [percent, `at least ${percent}\u00a0%`])], view.level);
      point.offer(view.study.settings.map((setting) => [setting, named(setting)]), view.study.settings[chosen]);
      const summary = gapSummary(shown.filter(({ family, setting }) => !family.control && 100 * setting.inside[0] >= view.level), view, config);
      const look = (at) => {
        said.setAttribute("aria-live", at == null ? "polite" : "off"); // what is only looked at is not read out
        show(at ?? chosen);
      };
      plot.replaceChildren(...gapPlot({ ...view, shown, summary, named }, plot.clientWidth, look, (at) => choose(view.study.settings[at])));
      caption.textContent = `${summary} ${view.study.measured_on}.`;
      look(null);
      const { key, label, place } = view.study.settings[chosen];
      host.tell({ study: view.study.name, split: view.split.name, control: view.control.key, point: key, setting: `${label}, ${place}`, sentence: said.textContent, summary });
    };
  };
};

/** What the picture shows, in the words of Python. */
function gapSummary(points, { split, control, level, foreseen }, { says }) {
  const count = (sign) => points.filter((point) => point.sign === sign).length;
  const values = { split: foreseen ? split.label : control.there, reference: control.on, level, total: points.length, above: count(1), below: count(-1), unclear: count(0) };
  return [level ? says.level : says.any, foreseen ? says.foreseen : says.measured].map((text) => text.replace(/\{(\w+)\}/g, (_, name) => values[name])).join(" ");
}

/** A point's row of the table. */
function gapRow({ setting, row }, { split, control, study, foreseen }) {
  const line = (name, value, strong) =>
    html("tr", { class: strong ? "live-right" : null }, html("th", { scope: "row" }, name), html("td", { class: "live-number" }, value));
  return html("table", { class: "live-table live-gap-table" },
    html("caption", {}, `${setting.label}, ${setting.place} (${study.name})`),
    html("tbody", {},
      line("agreement in distribution", setting.inside[3]),
      line(`agreement on ${split.label}`, row.there[3]),
      split.controls.map((of, at) => line(at ? `gap from ${of.label}` : "gap, points", row.sides[at][1], of === control && !foreseen)),
      line("agreement foreseen there", row.foreseen[3], foreseen)));
}

/** Where ticks are between two shares: at least three. */
function gapTicks(low, high) {
  const step = [0.2, 0.1, 0.05, 0.02, 0.01, 0.005].find((of) => (high - low) / of >= 3) ?? 0.002;
  return Array.from({ length: Math.floor((high - low) / step + 1.001) }, (_, i) => Math.ceil(low / step - 0.001) * step + i * step).filter((of) => of <= high + 1e-9);
}

/** The plot, as wide as high; `look(at)` at a point that is pointed to, `look(null)` at none, `keep(at)` what is clicked. */
function gapPlot(view, width, look, keep) {
  const { shown, chosen, foreseen, split, control, summary, named } = view, { top, right, bottom } = GAP_INK, left = GAP_INK.width;
  const side = Math.max(240, Math.min(width || 360, 470)), inner = side - left - right;
  const across = gapLines(foreseen ? `agreement foreseen on ${split.label}` : `agreement ${control.on}`, inner), values = shown.flatMap(({ x, y }) => [x[0], y[0]]);
  const lowest = Math.min(0.99, ...values), highest = Math.max(...values, lowest + 0.01), margin = 0.04 * (highest - lowest);
  const low = Math.max(0, lowest - margin), high = Math.min(1, highest + margin), pad = 8;
  const scale = (share) => pad + ((share - low) / (high - low)) * (inner - 2 * pad);
  const x = (share) => left + scale(share), y = (share) => top + inner - scale(share);
  const root = svg("svg", { width: side, height: inner + top + bottom + 14 * (across.length - 1), role: "img", "aria-label": summary, class: "live-gap" });
  const text = (at, up, cls, said, anchor, more = {}) => root.append(svg("text", { x: at, y: up, class: cls, "text-anchor": anchor, ...more }, said));
  for (const tick of gapTicks(low, high)) {
    root.append(svg("line", { class: "live-scale", x1: left, x2: left + inner, y1: y(tick), y2: y(tick) }));
    root.append(svg("line", { class: "live-scale", x1: x(tick), x2: x(tick), y1: top, y2: top + inner }));
    const label = `${+(100 * tick).toFixed(1)}\u00a0%`;
    text(left - 5, y(tick) + 4, "live-tick", label, "end");
    text(x(tick), top + inner + 15, "live-tick", label, "middle");
  }
  const place = (point) => [x(point.x[0]), y(point.y[0])], size = (at) => (at === chosen ? 6.5 : 4.5);
  root.append(svg("line", { class: "live-gap-even", x1: x(low), y1: y(low), x2: x(high), y2: y(high) }));
  const corner = [0.02, 0.15, 0.3, 0.45, 0.6].map((part) => low + part * (high - low)).find((of) => shown.every((point) => !aboveEven(place(point), x(of), y(of))));
  if (corner) text(x(corner), y(corner) - 5, "live-note", foreseen ? "as foreseen" : "no gap", "start", { transform: `rotate(-45 ${x(corner)} ${y(corner)})` });
  across.forEach((said, line) => text(left + inner / 2, top + inner + 33 + 14 * line, "live-axis", said, "middle"));
  text(0, 0, "live-axis", `agreement ${foreseen ? "measured " : ""}on ${split.label}`, "middle", { transform: `translate(9 ${top + inner / 2}) rotate(-90)` });
  const mark = (point) => {
    const [cx, cy] = place(point), { family, setting } = point;
    return svg("path", { d: family.path, class: `live-gap-mark${point.at === chosen ? " live-gap-chosen" : ""}`, style: gapColours(family.mark), transform: `translate(${cx} ${cy}) scale(${size(point.at)})`, "data-key": setting.key });
  };
  const own = shown.find(({ at }) => at === chosen);
  if (own) root.append(...gapCross(own, x, y, [low, high]));
  root.append(...shown.filter(({ at }) => at !== chosen).map(mark), ...(own ? [mark(own)] : []));
  const labels = gapLabels(shown, place, { left, top, right: left + inner, bottom: top + inner });
  root.append(...labels.values());
  const tip = svg("text", { class: "live-gap-tip" });
  root.append(tip);
  const near = (event) => {
    const box = root.getBoundingClientRect(), [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const away = (point) => Math.hypot(place(point)[0] - px, place(point)[1] - py);
    const best = shown.reduce((a, b) => (a && away(a) <= away(b) ? a : b), null);
    return best && away(best) <= NEAR ? best : null;
  };
  let pointed = null;
  const point = (of) => {
    if (of?.at === pointed) return;
    pointed = of?.at;
    tip.textContent = of ? named(of.setting) : "";
    if (of) {
      const [cx, cy] = place(of), half = 3.6 * named(of.setting).length + 4;
      fill(tip, { x: Math.min(side - half, Math.max(half, cx)), y: cy - 11 > top + 8 ? cy - 11 : cy + 22, "text-anchor": "middle" }, []);
    }
    look(pointed ?? null);
  };
  root.append(svg("rect", { class: "live-gap-over", x: left, y: top, width: inner, height: inner,
    onpointermove: (event) => event.pointerType === "touch" || point(near(event)),
    onpointerleave: () => point(null),
    onclick: (event) => { const of = near(event); if (of) keep(of.at); } }));
  const unnamed = [...new Set(shown.map(({ family }) => family))].filter((family) => !labels.has(family));
  return [root, html("ul", { class: "live-gap-key" }, unnamed.map(gapSample))];
}

/** What a family looks like, with its name. */
function gapSample(family) {
  const drawn = svg("path", { d: family.path, class: "live-gap-mark", style: gapColours(family.mark), transform: "translate(7 7) scale(4.5)" });
  return html("li", {}, svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, drawn), family.label);
}

const gapColours = ([light, dark]) => `--light:${light};--dark:${dark}`;
/** Whether a place is where a note would stand that goes up along the diagonal from (x, y). */
function aboveEven([px, py], x, y) {
  const along = (px - x - (py - y)) / Math.SQRT2, off = -(px - x + (py - y)) / Math.SQRT2;
  return along > -8 && along < 74 && off > -7 && off < 22;
}

/** A label on one line, or where there is no room on two. */
function gapLines(label, room) {
  const comma = label.lastIndexOf(", ");
  return 5.7 * label.length > room && comma > 0 ? [label.slice(0, comma + 1), label.slice(comma + 2)] : [label];
}

/** The intervals of the chosen point, as far as they are within the plot. */
function gapCross({ x: across, y: up, family }, x, y, [low, high]) {
  const within = (share) => Math.min(high, Math.max(low, share)), style = gapColours(family.mark);
  return [
    across[1] == null ? null : svg("line", { class: "live-gap-cross", style, x1: x(within(across[1])), x2: x(within(across[2])), y1: y(up[0]), y2: y(up[0]) }),
    up[1] == null ? null : svg("line", { class: "live-gap-cross", style, x1: x(across[0]), x2: x(across[0]), y1: y(within(up[1])), y2: y(within(up[2])) }),
  ].filter(Boolean);
}

/** Families by name, beside one of their points, where nothing is in the way; else not at all: they are named in a key. */
function gapLabels(shown, place, { left, top, right, bottom }) {
  const taken = shown.map((point) => { const [cx, cy] = place(point); return [cx - 6, cy - 6, cx + 6, cy + 6]; }), labels = new Map();
  for (const family of new Set(shown.map((point) => point.family))) {
    const wide = 6.4 * family.label.length + 4;
    const own = shown.filter((point) => point.family === family).map(place), beside = {
      start: ([cx, cy]) => [cx + 8, cy - 6, "start"],
      below: ([cx, cy]) => [cx - wide / 2, cy + 8, "middle"],
      end: ([cx, cy]) => [cx - 8 - wide, cy - 6, "end"],
      above: ([cx, cy]) => [cx - wide / 2, cy - 20, "middle"],
    };
    const spots = Object.values(beside).flatMap((of) => own.map(of));
    const free = spots.find(([at, up]) => at >= left && at + wide <= right && up >= top && up + 12 <= bottom && taken.every(([a, b, c, d]) => at > c || at + wide < a || up > d || up + 12 < b));
    if (!free) continue;
    const [at, up, anchor] = free;
    taken.push([at, up, at + wide, up + 12]);
    const across = { start: at, end: at + wide, middle: at + wide / 2 }[anchor];
    labels.set(family, svg("text", { class: "live-gap-label", style: gapColours(family.ink), x: across, y: up + 10, "text-anchor": anchor }, family.label));
  }
  return labels;
}
