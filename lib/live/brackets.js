// One sentence of brackets: where model and picture attend, and what they predict.

const START = 1, END = 2, FIRST_BRACKET = 3; // lib.tasks.dyck.language
const FINGER = 24; // pixels, the least that can be hit (WCAG 2.2, 2.5.8)
const PHONE = 480; // pixels of a column as narrow as a phone's

/** A sentence as Python's `parse_sentences` and `annotate` read it: arrays by token, START first; `Problem` for what is none. */
function parseSentence(text, { types, longest }) {
  const words = text.trim().split(/\s+/).filter(Boolean);
  if (words.at(-1) === "END") words.pop();
  if (!words.length) throw new Problem("There is no sentence yet: type one, such as (a (b b) a)");
  const tokens = [START], depth = [0], opener = [-1], open = [];
  words.forEach((word, i) => {
    const opens = word.startsWith("("), type = types.indexOf(opens ? word.slice(1) : word.slice(0, -1));
    const where = `Token ${i + 1}`, shown = `“${word.slice(0, 40)}”`;
    if (type < 0 || (!opens && !word.endsWith(")")))
      throw new Problem(`${where} is ${shown}, but must be (${types[0]} to (${types.at(-1)} or ${types[0]}) to ${types.at(-1)}), separated by spaces`);
    if (opens) open.push([type, i + 1]);
    else if (!open.length) throw new Problem(`${where}, ${shown}, closes a bracket that was never opened`);
    else if (open.at(-1)[0] !== type) throw new Problem(`${where}, ${shown}, closes (${types[open.at(-1)[0]]}, so the sentence is not balanced`);
    depth.push(open.length);
    opener.push(opens ? -1 : open.pop()[1]);
    tokens.push(FIRST_BRACKET + type + (opens ? 0 : types.length));
  });
  if (open.length)
    throw new Problem(`Not balanced: ${plural(open.length, "bracket")} left open. It would go on with ${open.slice(-5).reverse().map(([type]) => `${types[type]})`).join(" ")}`);
  if (words.length > longest) throw new Problem(`${words.length} brackets, but the model reads at most ${longest}`);
  return { words, tokens: [...tokens, END], depth: [...depth, 0], opener: [...opener, -1] };
}

/** What a run of the model says of each closing bracket: probabilities [T][types], given that one closes. */
function closing(logits, tokens, types) {
  const vocabulary = FIRST_BRACKET + 2 * types;
  return tokens.map((_, t) => {
    const from = t * vocabulary + FIRST_BRACKET + types;
    return softmax(Float64Array.from(logits.subarray(from, from + types)));
  });
}

/** Mean over heads of a layer's attention at a query: [query + 1]. */
function rowOf(patterns, query) {
  const row = new Float64Array(query + 1);
  patterns.forEach((pattern) => row.forEach((_, key) => (row[key] += pattern[query][key] / patterns.length)));
  return row;
}

FIGURES.brackets = (host, board) => {
  const { config, state } = host, types = config.types.length, cache = new Map();
  const controls = settingControls(host);
  const preset = choice("Sentence", (text) => state.set({ sentence: text, at: null, guessed: null }));
  const typed = html("input", { type: "text", spellcheck: "false", autocomplete: "off", placeholder: "(a (b b) a)", oninput: () => state.set({ sentence: typed.value, at: null, guessed: null }) });
  const closer = slider("Closing bracket", (at) => state.set({ at }));
  const guess = html("input", { type: "checkbox", onchange: () => state.set({ guess: guess.checked ? 1 : null, guessed: null }) });
  const picture = html("div", { class: "live-scroll", tabindex: 0, role: "group", "aria-label": "the sentence, and attention on it" });
  const own = html("span", { class: "live-control live-wide" }, labelled("or type one", typed));
  const said = html("p", { class: "live-said", "aria-live": "polite" });
  const predictions = html("div", { class: "live-predictions" }), curve = html("div", { class: "live-curve" });
  board.append(
    html("div", { class: "live-controls" }, preset.box, own),
    html("div", { class: "live-controls" }, ...controls.boxes, closer.box, html("span", { class: "live-control" }, labelled("Guess first", guess))),
    picture,
    said,
    html("div", { class: "live-columns" }, predictions, curve),
  );

  /** Model and picture on a sentence; the model's own run is kept, so that a step of a slider computes the picture alone. */
  async function compare(sentence, { family, complexity, shown }, { seed, layer }) {
    const pack = await host.pack(config.seeds[seed]), key = `${seed} ${sentence.words.join(" ")}`;
    if (!cache.has(key)) {
      cache.clear();
      cache.set(key, pack.model.run(sentence.tokens));
    }
    const own = cache.get(key), model = { patterns: own.patterns[shown], closing: closing(own.logits, sentence.tokens, types) };
    if (!family.arrays) {
      if (layer < 0) throw new Problem(`${family.label} is computed by Python, one layer at a time: choose a layer.`);
      if (!host.ask) throw new Problem(`${family.label} is computed by Python, which a page does not have: open notebooks/explorers.ipynb to see it.`);
      return { model, proxy: await host.ask({ sentence: sentence.words.join(" "), proxy: family.name, complexity, layer, seed }) };
    }
    const found = pack.model.run(sentence.tokens, pack.rules(family, complexity, layer), own);
    return { model, proxy: { patterns: found.patterns[shown], closing: closing(found.logits, sentence.tokens, types) } };
  }

  return async (values) => {
    const setting = controls.sync(values);
    if (typed.value !== values.sentence) typed.value = values.sentence;
    preset.offer([...config.sentences.map(({ label, text }) => [text, label]), ...(config.sentences.some(({ text }) => text === values.sentence) ? [] : [[values.sentence, "as typed"]])], values.sentence);
    guess.checked = values.guess === 1;
    const sentence = parseSentence(values.sentence, config);
    const of = await compare(sentence, setting, values), closers = sentence.opener.flatMap((o, t) => (o >= 0 ? [t] : []));
    const typeAt = (t) => sentence.tokens[t] - FIRST_BRACKET - types;
    const chosen = (who, t) => largestOf(of[who].closing[t - 1]);
    const parted = closers.filter((t) => chosen("model", t) === typeAt(t) && chosen("proxy", t) !== typeAt(t));
    const among = parted.length ? parted : closers;
    const worst = among.reduce((a, b) => (of.proxy.closing[b - 1][typeAt(b)] < of.proxy.closing[a - 1][typeAt(a)] ? b : a));
    const at = closers.includes(values.at) ? values.at : worst;
    const scored = closers.filter((t) => t - sentence.opener[t] >= config.min_distance);
    const same = scored.filter((t) => chosen("model", t) === chosen("proxy", t));
    state.values.at = at; // it stays there while other pictures are looked at
    const view = { sentence, at, of, chosen, typeAt, setting, values, scored, same, opener: sentence.opener[at] };
    return () => {
      const hidden = values.guess === 1 && values.guessed !== at;
      closer.offer(closers, at, (t) => (hidden ? `at ${t}` : `${sentence.words[t - 1]} at ${t}`));
      own.hidden = hidden && document.activeElement !== typed; // it holds the answer
      const from = picture.scrollLeft, drawn = attentionPicture(view, config, picture.clientWidth, hidden, (t) => state.set({ at: t }));
      picture.replaceChildren(drawn.root);
      picture.scrollLeft = inSight(drawn.at, from, picture.clientWidth);
      said.textContent = hidden ? `Which bracket closes at position ${at}? Choose.` : sayBrackets(view, config);
      predictions.replaceChildren(...(hidden ? guesses(view, config, (t) => { if (state.values.sentence === values.sentence && state.values.at === t) state.set({ guessed: t }); }) : predictionBars(view, config)));
      curve.replaceChildren(depthCurve(view, config, curve.clientWidth));
      const told = (who) => ({ type: config.types[chosen(who, at)], probability: of[who].closing[at - 1][chosen(who, at)] });
      host.tell({ sentence: sentence.words.join(" "), at, opener: view.opener, model: told("model"), proxy: told("proxy"), same: same.length, scored: scored.length });
    };
  };
};

/** What the picture shows, as a sentence; it stands for the picture where that cannot be seen. */
function sayBrackets({ sentence, at, of, chosen, typeAt, setting, values, scored, same, opener }, config) {
  const says = (who) => {
    const row = rowOf(of[who].patterns, at - 1), top = largestOf(row), type = chosen(who, at);
    const right = type === typeAt(at) ? "right" : `wrong, ${config.types[typeAt(at)]}) is due`;
    const where = top === opener ? "the opener" : top === 0 ? "START" : `${sentence.words[top - 1]} at ${top}`;
    return `attends most to ${where} (${percent(row[top])}) and predicts ${config.types[type]}) (${percent(of[who].closing[at - 1][type])}; ${right})`;
  };
  const due = `${sentence.words[at - 1]} at position ${at} closes ${sentence.words[opener - 1]} at ${opener}, ${sentence.depth[at]} deep.`;
  const count = scored.length ? ` Where a bracket closes ${config.min_distance} or more tokens after its opener, the two agree at ${same.length} of ${scored.length} places in this sentence.` : "";
  return `${due} The model ${says("model")}. ${settingOf(setting)}, in ${placeOf(values.layer)}, ${says("proxy")}.${count}`;
}

/** From where to show a row so wide that it scrolls: from where it was shown, unless a place in it is out of sight then. */
function inSight(place, from, width) {
  return place < from + FINGER || place > from + width - FINGER ? place - width / 2 : from;
}

/**
 * The sentence at its depths with what is attended to most, and under it the attention of both, up and down from one axis: the
 * `root` of a drawing, and where `at` is in it. Where fingers choose, brackets are apart by as much as one needs.
 */
function attentionPicture({ sentence, at, of, setting, opener }, config, width, hidden, choose) {
  const n = sentence.tokens.length, left = 62, fingers = width < PHONE || matchMedia("(pointer: coarse)").matches;
  const pitch = Math.max(fingers ? FINGER : hidden ? 10 : 0, (width - left - 8) / n); // who guesses needs letters
  const tight = pitch < 8.5, heeded = new Set([opener, at]);
  const deepest = Math.max(...sentence.depth);
  const step = 11, base = 40 + deepest * step, axis = base + 78, bar = 56, height = axis + bar + 22;
  const between = Math.max(...sentence.depth.slice(Math.min(opener, at - 2), at + 1)), over = base - between * step;
  const within = (at) => Math.min(Math.max(at, left + 20), left + n * pitch - 14); // for a word centred there
  const x = (t) => left + (t + 0.5) * pitch, y = (t) => base - sentence.depth[t] * step;
  const rows = { model: rowOf(of.model.patterns, at - 1), proxy: rowOf(of.proxy.patterns, at - 1) };
  for (const row of Object.values(rows)) heeded.add(largestOf(row));
  const colours = { model: "var(--live-model)", proxy: colourOf(setting.family) };
  const root = svg("svg", { width: left + n * pitch + 8, height, "aria-hidden": "true", class: "live-picture" });
  root.append(svg("text", { x: 4, y: base - (deepest * step) / 2, class: "live-axis" }, "depth"));
  root.append(svg("polyline", { class: "live-profile", points: sentence.depth.map((_, t) => `${x(t)},${y(t)}`).join(" ") }));
  if (!hidden) {
    root.append(svg("rect", { class: "live-opener", x: x(opener) - pitch / 2, y: 16, width: pitch, height: height - 34 }));
    root.append(svg("text", { x: within(x(opener)), y: 11, class: "live-note", "text-anchor": "middle" }, "opener"));
  }
  root.append(svg("rect", { class: "live-query", x: x(at) - pitch / 2, y: 16, width: pitch, height: height - 34 }));
  root.append(svg("text", { x: within(x(at)), y: height - 4, class: "live-note", "text-anchor": "middle" }, "closes"));
  if (!hidden)
    for (const [who, row] of Object.entries(rows)) {
      const top = largestOf(row), [from, to] = [x(at), x(top)], lift = who === "model" ? 16 : 28;
      const above = Math.min(over, y(top)) - lift; // over what stands between
      const path = `M${from},${y(at) - 9} C${from},${above} ${to},${above} ${to},${y(top) - 9}`;
      root.append(svg("path", { d: path, fill: "none", stroke: colours[who], "stroke-width": 1.8, "stroke-dasharray": who === "proxy" ? "5 3" : null }));
    }
  for (const [who, sign, name] of hidden ? [] : [["model", -1, "model"], ["proxy", 1, "picture"]]) {
    rows[who].forEach((weight, t) => {
      const size = weight * bar;
      root.append(svg("rect", { x: x(t) - pitch * 0.4, y: sign < 0 ? axis - size : axis, width: pitch * 0.8, height: size, fill: colours[who] }, svg("title", {}, `${name}, position ${t}: ${percent(weight)}`)));
    });
    root.append(svg("text", { x: 4, y: axis + sign * bar * 0.5 + 4, class: "live-axis", fill: colours[who] }, name));
    root.append(svg("line", { class: "live-scale", x1: left, x2: left + n * pitch, y1: axis + sign * bar, y2: axis + sign * bar }));
    root.append(svg("text", { x: left - 4, y: axis + sign * bar + 4, class: "live-tick", "text-anchor": "end" }, "100 %"));
  }
  root.append(svg("line", { class: "live-line", x1: left, x2: left + n * pitch, y1: axis, y2: axis }));
  sentence.tokens.forEach((token, t) => {
    const inside = t > 0 && t < n - 1 && (!tight || heeded.has(t)), word = !inside ? "" : pitch > 15 ? sentence.words[t - 1] : sentence.words[t - 1].replace(/[()]/g, "");
    const closes = sentence.opener[t] >= 0, shown = hidden && t >= at ? (closes ? "?" : word) : word;
    const text = svg("text", { x: x(t), y: y(t) + 4, class: `live-token${t < at ? "" : " live-later"}`, "text-anchor": "middle" }, shown);
    root.append(text);
    if (closes) root.append(svg("rect", { class: "live-click", x: x(t) - pitch / 2, y: y(t) - FINGER / 2, width: pitch, height: FINGER, onclick: () => choose(t) }, svg("title", {}, `look at what is predicted here, at position ${t}`)));
  });
  return { root, at: x(at) };
}

/** What each predicts: its three most probable closing brackets. */
function predictionBars({ at, of, typeAt, setting }, config) {
  return ["model", "proxy"].map((who) => {
    const probabilities = of[who].closing[at - 1];
    const best = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 3);
    const colour = who === "model" ? "var(--live-model)" : colourOf(setting.family);
    const lines = best.map((type) => {
      const right = type === typeAt(at);
      return html("tr", { class: right ? "live-right" : null },
        html("th", { scope: "row" }, html("code", {}, `${config.types[type]})`), right ? " due" : ""),
        html("td", {}, html("span", { class: "live-bar", style: `width:${100 * probabilities[type]}%;background:${colour}` })),
        html("td", { class: "live-number" }, percent(probabilities[type])));
    });
    const title = who === "model" ? "The model predicts" : `${settingOf(setting)} predicts`;
    return html("table", { class: "live-table" }, html("caption", {}, title), html("tbody", {}, lines));
  });
}

/** In place of predictions: the types that could close, to choose from. */
function guesses({ sentence, at, typeAt }, config, choose) {
  const open = [...new Set(sentence.words.slice(0, at - 1).map((word) => word.replace(/[()]/g, "")))].sort();
  const answer = html("p", { "aria-live": "polite" });
  const buttons = open.map((type) =>
    html("button", { type: "button", onclick: (event) => {
      const right = config.types.indexOf(type) === typeAt(at);
      event.target.classList.add(right ? "live-yes" : "live-no");
      answer.textContent = right ? "Right." : `${type}) is not it: ${config.types[typeAt(at)]}) closes.`;
      setTimeout(() => choose(at), 1200);
    } }, `${type})`));
  return [html("div", { class: "live-guesses" }, buttons), answer];
}

/** Agreement by depth of the chosen setting, as it was measured, with this sentence as a point. */
function depthCurve({ sentence, setting, values, scored, same }, config, width) {
  const curve = curveOf(config, setting, values.layer), own = Math.max(...sentence.depth);
  const last = Math.max(own, ...(curve?.x ?? [config.trained_to]));
  const frame = depthFrame(config, Math.max(240, Math.min(width || 360, 460)), 190, last, 8);
  if (curve) frame.draw(curve, colourOf(setting.family), true);
  if (scored.length) {
    const x = frame.x(own), y = frame.y(same.length / scored.length);
    frame.root.append(svg("circle", { cx: x, cy: y, r: 5, class: "live-point" }));
    frame.root.append(svg("text", { class: "live-note", x: x < 130 ? x + 8 : x - 8, y: y + (same.length ? 14 : -8), "text-anchor": x < 130 ? "start" : "end" }, "this sentence"));
  }
  const said = sayCurve(config, setting, values.layer);
  frame.root.setAttribute("aria-label", said);
  return html("figure", { class: "live-figure" }, frame.root, html("figcaption", {}, said));
}
