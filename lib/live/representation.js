// Queries and keys of a layer as points on their principal directions, and where a picture moves them.

const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis

/** A colour for a share between 0 and 1. */
function shade(share) {
  const at = Math.min(0.999, Math.max(0, share)) * (STOPS.length - 1), i = Math.floor(at);
  return `rgb(${STOPS[i].map((low, c) => Math.round(low + (at - i) * (STOPS[i + 1][c] - low))).join(" ")})`;
}

const COLOURINGS = {
  depth: { label: "depth", of: (token, { deepest }) => token.depth / deepest, ends: ({ deepest }) => ["0", deepest] },
  position: { label: "position", of: (token, { longest }) => token.position / longest, ends: ({ longest }) => ["0", longest] },
  type: { label: "bracket type", of: (token, { types }) => token.type / types.length, ends: ({ types }) => [types[0], types.at(-1)] },
  side: { label: "opens or closes", of: (token) => (token.closes ? 1 : 0.2), ends: () => ["opens", "closes"] },
};

FIGURES.representation = (host, board) => {
  const { config, state } = host, controls = settingControls(host), cache = new Map();
  const colour = choice("Colour", (name) => state.set({ colour: name })), axes = choice("Directions", (first) => state.set({ direction: first }));
  const head = choice("Head", (value) => state.set({ head: value }));
  const deeper = html("input", { type: "checkbox", onchange: () => state.set({ hide: deeper.checked ? null : 1 }) });
  const panels = html("div", { class: "live-columns" }), said = html("p", { class: "live-said", "aria-live": "polite" });
  board.append(
    html("div", { class: "live-controls" }, ...controls.boxes, head.box),
    html("div", { class: "live-controls" }, colour.box, axes.box, html("span", { class: "live-control" }, labelled("Deeper than training on top", deeper))),
    panels, said,
  );

  /** Tokens of all sentences with their queries and keys in a layer, by head. */
  async function tokensOf(seed, layer) {
    const key = `${seed} ${layer}`;
    if (cache.has(key)) return cache.get(key);
    const pack = await host.pack(config.seeds[seed]), d = pack.model.headWidth, found = [];
    config.groups.forEach(({ texts }, group) => {
      for (const text of texts) {
        const sentence = parseSentence(text, config);
        let residual = pack.model.embed(sentence.tokens);
        for (let l = 0; l < layer; l++) [residual] = pack.model.block(residual, l);
        const [queries, keys] = pack.model.read(residual, layer);
        sentence.words.forEach((word, i) => {
          const t = i + 1, closes = sentence.opener[t] >= 0, part = (of) => of.map((x) => x.slice(t * d, (t + 1) * d));
          const type = sentence.tokens[t] - FIRST_BRACKET - (closes ? config.types.length : 0);
          found.push({ group, depth: sentence.depth[t], position: t, type, closes, queries: part(queries), keys: part(keys) });
        });
      }
    });
    cache.clear();
    cache.set(key, found);
    return found;
  }

  return async (values) => {
    const setting = controls.sync(values), { colour: by = "depth", direction = 0, head: h = 0 } = values;
    if (!Object.hasOwn(COLOURINGS, by)) throw new Problem(`Colour is ${by}, but must be one of: ${Object.keys(COLOURINGS).join(", ")}.`);
    const tokens = await tokensOf(values.seed, setting.shown), pack = await host.pack(config.seeds[values.seed]);
    const { headWidth: d, heads } = pack.model;
    if (!(Number.isInteger(h) && h >= 0 && h < heads)) throw new Problem(`There is no head ${h}; heads are 0 to ${heads - 1}.`);
    if (!(Number.isInteger(direction) && direction >= 0 && direction <= d - 2)) throw new Problem(`Directions begin at 0 to ${d - 2}, not at ${direction}.`);
    if (!setting.family.arrays) throw new Problem(`${setting.family.label} is computed by Python, which a page does not have.`);
    const rule = pack.rule(setting.family, setting.complexity, setting.shown)[h];
    const frames = Object.fromEntries(["queries", "keys"].map((part) => [part, pack.map(`svd/${setting.shown}/${h}/${part}`)]));
    const scale = { deepest: Math.max(...tokens.map((t) => t.depth)), longest: Math.max(...tokens.map((t) => t.position)), types: config.types };
    const parts = ["queries", "keys"].map((part) => {
      const { offset, directions } = frames[part];
      const coordinate = (x, k) => { let sum = 0; for (let i = 0; i < d; i++) sum += (x[i] - offset[i]) * directions[(direction + k) * d + i]; return sum; };
      const moved = tokens.map((t) => mapped(t[part][h], rule[part], d));
      const points = tokens.map((t, i) => ({ token: t, at: [0, 1].map((k) => coordinate(t[part][h], k)), to: [0, 1].map((k) => coordinate(moved[i], k)) }));
      const kept = config.groups.map((_, group) => {
        let lost = 0, all = 0;
        tokens.forEach((t, i) => { if (t.group === group) for (let j = 0; j < d; j++) { lost += (t[part][h][j] - moved[i][j]) ** 2; all += (t[part][h][j] - offset[j]) ** 2; } });
        return 1 - lost / all;
      });
      return { part, points, kept };
    });
    return () => {
      colour.offer(Object.entries(COLOURINGS).map(([name, { label }]) => [name, label]), by);
      axes.offer([...Array(Math.floor(d / 2)).keys()].map((i) => [2 * i, `${2 * i + 1} and ${2 * i + 2}`]), direction);
      head.offer([...Array(heads).keys()].map((i) => [i, i]), h);
      head.box.hidden = heads < 2;
      deeper.checked = !values.hide;
      const width = Math.max(220, Math.min(420, panels.clientWidth > 560 ? panels.clientWidth / 2 - 24 : panels.clientWidth));
      panels.replaceChildren(...parts.map((of) => cloud(of, COLOURINGS[by], scale, width, values, direction, config)));
      const [inside, outside] = config.groups.map(({ name }) => name);
      said.textContent =
        `${settingOf(setting)} keeps, in ${placeOf(setting.shown)}, ` +
        parts.map(({ part, kept }) => `of the variance of ${part} ${percent(kept[0])} ${inside} and ${percent(kept[1])} ${outside}`).join(", and ") +
        ". Each dot is where the picture puts a token; where that is elsewhere on these two directions, a line leads to it from where the model has the token.";
      host.tell({ kept: Object.fromEntries(parts.map(({ part, kept }) => [part, kept])) });
    };
  };
};

/** Tokens on two directions: dots where a picture puts them, lines from where they were; those of the last group on top. */
function cloud({ part, points }, colouring, scale, width, values, direction, config) {
  const size = Math.round(width), ratio = globalThis.devicePixelRatio || 1, pad = 26;
  const canvas = html("canvas", { width: size * ratio, height: size * ratio, style: `width:${size}px;height:${size}px`, role: "img" });
  const context = canvas.getContext("2d"), all = points.flatMap(({ at }) => at);
  const middle = [0, 1].map((k) => (Math.max(...points.map(({ at }) => at[k])) + Math.min(...points.map(({ at }) => at[k]))) / 2);
  const most = Math.max(...all.map((v, i) => Math.abs(v - middle[i % 2]))) * 1.05 || 1;
  const place = (v, k) => pad + ((k ? middle[k] + most - v : v - middle[k] + most) / (2 * most)) * (size - 2 * pad);
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.querySelector(".live"));
  context.strokeStyle = context.fillStyle = style.color;
  context.globalAlpha = 0.35;
  context.strokeRect(pad, pad, size - 2 * pad, size - 2 * pad);
  for (let group = 0; group < config.groups.length - (values.hide ? 1 : 0); group++)
    for (const { token, at, to } of points.filter((p) => p.token.group === group)) {
      const [x, y] = [place(to[0], 0), place(to[1], 1)], hue = shade(colouring.of(token, scale));
      context.globalAlpha = 0.25;
      context.strokeStyle = hue;
      context.beginPath();
      context.moveTo(place(at[0], 0), place(at[1], 1));
      context.lineTo(x, y);
      context.stroke();
      context.globalAlpha = group ? 1 : 0.75;
      context.fillStyle = hue;
      context.beginPath();
      context.arc(x, y, group ? 3 : 2.2, 0, 7);
      context.fill();
      if (group) {
        context.strokeStyle = style.color;
        context.lineWidth = 0.8;
        context.stroke();
      }
    }
  const [low, high] = colouring.ends(scale), label = `direction ${direction + 1} (across) and ${direction + 2} (up)`;
  canvas.setAttribute("aria-label", `${part} on ${label}, coloured by ${colouring.label}`);
  const bar = `background:linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(shade).join(", ")})`;
  return html("figure", { class: "live-figure", style: `width:${size}px` },
    html("figcaption", {}, html("strong", {}, part[0].toUpperCase() + part.slice(1)), ` on ${label}`), canvas,
    html("p", { class: "live-ramp" }, `${colouring.label}: ${low} `, html("span", { style: bar, role: "presentation" }), ` ${high}; ringed: ${config.groups.at(-1).name}`));
}
