"use strict";
(() => {
// The forward pass and the simplifications, on arrays that Python saved (lib/live/packs.py).
// All is computed in double precision. A matrix (rows, columns) is a flat array, row after row; shapes stand beside names.

const TIE = 1e-4; // lib.models.base.TIE: weights nearer than this share of the larger tie
const NORM_EPSILON = 1e-5; // torch.nn.LayerNorm
const DTYPES = { F32: Float32Array, F64: Float64Array };

/** What a safetensors file holds: `tensors` by name, each with `shape` and `data`, and `metadata`. `bytes`: Uint8Array. */
function readTensors(bytes) {
  if (bytes.byteLength < 8) throw new Error("the file of weights is empty or cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  if (start > bytes.byteLength) throw new Error("the file of weights is cut short");
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(entries)) {
    if (start + to > bytes.byteLength) throw new Error("the file of weights is cut short");
    const data = new DTYPES[dtype](bytes.slice(start + from, start + to).buffer); // a copy is aligned
    if (!data.every(Number.isFinite)) throw new Error(`${name} holds what is no number`);
    tensors[name] = { shape, data };
  }
  return { tensors, metadata };
}

/** x (rows, inner) times the transpose of a weight (out, inner), plus a bias (out): (rows, out). */
function linear(x, { data: w, shape: [out, inner] }, bias) {
  const rows = x.length / inner, y = new Float64Array(rows * out);
  const pairs = rows - (rows % 2), fours = out - (out % 4);
  for (let o = 0; o < fours; o += 4) {
    const w0 = o * inner, w1 = w0 + inner, w2 = w1 + inner, w3 = w2 + inner;
    for (let row = 0; row < pairs; row += 2) { // two rows by four columns: each number that is read enters several products
      const x0 = row * inner, x1 = x0 + inner;
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let i = 0; i < inner; i++) {
        const u = x[x0 + i], v = x[x1 + i], k0 = w[w0 + i], k1 = w[w1 + i], k2 = w[w2 + i], k3 = w[w3 + i];
        a += u * k0, b += u * k1, c += u * k2, d += u * k3;
        e += v * k0, f += v * k1, g += v * k2, h += v * k3;
      }
      const to = row * out + o;
      y[to] = a, y[to + 1] = b, y[to + 2] = c, y[to + 3] = d;
      y[to + out] = e, y[to + out + 1] = f, y[to + out + 2] = g, y[to + out + 3] = h;
    }
  }
  const one = (row, o) => {
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += x[row * inner + i] * w[o * inner + i];
    y[row * out + o] = sum;
  };
  for (let row = 0; row < rows; row++) for (let o = row < pairs ? fours : 0; o < out; o++) one(row, o); // the rest
  if (bias) for (let i = 0; i < y.length; i++) y[i] += bias.data[i % out];
  return y;
}

/** x (rows, width), every row with mean 0 and variance 1, scaled and shifted. */
function normalized(x, { data: scale }, { data: shift }) {
  const width = scale.length, y = new Float64Array(x.length);
  for (let from = 0; from < x.length; from += width) {
    let mean = 0, variance = 0;
    for (let i = 0; i < width; i++) mean += x[from + i] / width;
    for (let i = 0; i < width; i++) variance += (x[from + i] - mean) ** 2 / width;
    const factor = 1 / Math.sqrt(variance + NORM_EPSILON);
    for (let i = 0; i < width; i++) y[from + i] = (x[from + i] - mean) * factor * scale[i] + shift[i];
  }
  return y;
}

const RATIOS = Float64Array.from({ length: 200 }, (_, n) => 2 / (2 * n + 1)); // divisions take long

/** The error function, by a series of terms that all have one sign (Abramowitz and Stegun, 7.1.6). */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1, square = x * x; Math.abs(term) > 1e-16 * Math.abs(sum); n++) sum += term *= square * RATIOS[n];
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const gelu = (x) => (x * (1 + erf(x / Math.SQRT2))) / 2;

function plus(x, y) {
  const sum = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) sum[i] = x[i] + y[i];
  return sum;
}

/** Scores [...] -> probabilities, in place. */
function softmax(scores) {
  let largest = -Infinity, sum = 0;
  for (const score of scores) largest = Math.max(largest, score);
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - largest);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
  return scores;
}

const largestOf = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** Vectors (rows, width) as a simplification replaces them; `map` is a part of what `Proxy.arrays` gives. */
function mapped(x, map, width) {
  if (!map) return x;
  const y = new Float64Array(x.length);
  for (let from = 0; from < x.length; from += width) {
    if (map.centroids) {
      const nearest = nearestOf(x.subarray(from, from + width), map.centroids);
      for (let i = 0; i < width; i++) y[from + i] = map.centroids[nearest * width + i];
      continue;
    }
    for (let i = 0; i < width; i++) y[from + i] = map.offset[i];
    for (let r = 0; r < map.rank * width; r += width) {
      let coordinate = 0;
      for (let i = 0; i < width; i++) coordinate += (x[from + i] - map.offset[i]) * map.directions[r + i];
      for (let i = 0; i < width; i++) y[from + i] += coordinate * map.along[r + i];
    }
  }
  return y;
}

/** Which of the centroids (c, width) is nearest to a vector [width]. */
function nearestOf(vector, centroids) {
  const width = vector.length;
  let best = 0, closest = -Infinity;
  for (let c = 0; c * width < centroids.length; c++) {
    let closeness = 0;
    for (let i = 0, at = c * width; i < width; i++, at++) closeness += centroids[at] * (vector[i] - centroids[at] / 2);
    if (closeness > closest) [closest, best] = [closeness, c];
  }
  return best;
}

/** A row of attention with all weight on its largest, in equal parts to those that tie; in place. */
function hardened(row) {
  const least = row.reduce((a, b) => Math.max(a, b), 0) * (1 - TIE);
  const ties = row.reduce((count, weight) => count + (weight >= least), 0);
  for (let i = 0; i < row.length; i++) row[i] = row[i] >= least ? 1 / ties : 0;
}

/** A model of the class lib.models.transformer.Transformer, from its tensors and shape. */
class Model {
  constructor(tensors, { layers, heads, width, context }) {
    Object.assign(this, { tensors, layers, heads, width, context, headWidth: width / heads });
  }

  part(name) {
    if (!(name in this.tensors)) throw new Error(`the file of weights lacks ${name}`);
    return this.tensors[name];
  }

  /** Token ids [T] -> residual stream (T, width). */
  embed(tokens) {
    if (tokens.length > this.context) throw new Error(`${tokens.length} tokens, but the model reads at most ${this.context}`);
    const { width } = this, token = this.part("token_embedding.weight").data, position = this.part("positions").data;
    const residual = new Float64Array(tokens.length * width);
    for (let t = 0; t < tokens.length; t++)
      for (let i = 0; i < width; i++) residual[t * width + i] = token[tokens[t] * width + i] + position[t * width + i];
    return residual;
  }

  /** Queries, keys and values of a layer, each a list of heads of (T, headWidth). */
  read(residual, layer) {
    const { width, heads, headWidth } = this, length = residual.length / width, at = `blocks.${layer}.`;
    const x = normalized(residual, this.part(at + "norm_attention.weight"), this.part(at + "norm_attention.bias"));
    const all = linear(x, this.part(at + "attention.qkv.weight")); // (T, 3 width)
    return [0, 1, 2].map((which) =>
      Array.from({ length: heads }, (_, head) => {
        const of = new Float64Array(length * headWidth);
        for (let t = 0; t < length; t++)
          for (let i = 0; i < headWidth; i++)
            of[t * headWidth + i] = all[t * 3 * width + which * width + head * headWidth + i];
        return of;
      }),
    );
  }

  /** Queries and keys (T, headWidth) of a head -> its pattern: for each query [t + 1] weights on the keys up to it. */
  attend(queries, keys) {
    const d = this.headWidth, length = queries.length / d, scale = 1 / Math.sqrt(d);
    const scores = linear(queries, { data: keys, shape: [length, d] });
    return Array.from({ length }, (_, t) => softmax(scores.slice(t * length, t * length + t + 1).map((score) => score * scale)));
  }

  /** A block on a residual stream: what comes out, and the pattern of each head. `rule`: by head a simplification, or none. */
  block(residual, layer, rule = []) {
    const { width, heads, headWidth: d } = this, length = residual.length / width, at = `blocks.${layer}.`;
    const [queries, keys, values] = this.read(residual, layer), mixed = new Float64Array(length * width), patterns = [];
    for (let head = 0; head < heads; head++) {
      const simple = rule[head];
      const pair = simple ? [mapped(queries[head], simple.queries, d), mapped(keys[head], simple.keys, d)] : [queries[head], keys[head]];
      const pattern = this.attend(...pair);
      if (simple?.oneHot) pattern.forEach(hardened);
      const whole = new Float64Array(length * length), transposed = new Float64Array(d * length);
      pattern.forEach((row, t) => whole.set(row, t * length));
      for (let t = 0; t < length; t++) for (let i = 0; i < d; i++) transposed[i * length + t] = values[head][t * d + i];
      const attended = linear(whole, { data: transposed, shape: [d, length] });
      for (let t = 0; t < length; t++) mixed.set(attended.subarray(t * d, (t + 1) * d), t * width + head * d);
      patterns.push(pattern);
    }
    const stream = plus(residual, linear(mixed, this.part(at + "attention.out.weight")));
    const x = normalized(stream, this.part(at + "norm_mlp.weight"), this.part(at + "norm_mlp.bias"));
    const inner = linear(x, this.part(at + "mlp.0.weight"), this.tensors[at + "mlp.0.bias"]).map(gelu);
    return [plus(stream, linear(inner, this.part(at + "mlp.2.weight"), this.tensors[at + "mlp.2.bias"])), patterns];
  }

  /**
   * Tokens [T] through the model: `residuals` before each layer, `patterns` by layer and head, `logits` (T, vocabulary).
   * `rules` by layer; `known`, what this returned for the same tokens without rules, saves the layers below the first rule.
   */
  run(tokens, rules = {}, known = null) {
    const first = known ? Math.min(this.layers, ...Object.keys(rules).map(Number)) : 0;
    const residuals = known ? known.residuals.slice(0, first + 1) : [this.embed(tokens)];
    const patterns = known ? known.patterns.slice(0, first) : [];
    for (let layer = first; layer < this.layers; layer++) {
      const [residual, pattern] = this.block(residuals[layer], layer, rules[layer]);
      residuals.push(residual);
      patterns.push(pattern);
    }
    const last = normalized(residuals[this.layers], this.part("norm.weight"), this.part("norm.bias"));
    return { residuals, patterns, logits: linear(last, this.part("unembedding.weight")) };
  }
}

/** A model with its simplifications, from the bytes that `lib.live.packs.pack` made. */
class Pack {
  constructor(bytes) {
    const { tensors, metadata } = readTensors(bytes);
    this.tensors = tensors;
    this.model = new Model(tensors, JSON.parse(metadata.model));
  }

  /** The rules by layer of a family of the configuration at a complexity, in one layer (-1: in all). */
  rules(family, complexity, layer) {
    const layers = layer < 0 ? [...Array(this.model.layers).keys()] : [layer];
    return Object.fromEntries(layers.map((l) => [l, this.rule(family, complexity, l)]));
  }

  rule(family, complexity, layer) {
    return Array.from({ length: this.model.heads }, (_, head) => {
      const at = `${family.name}${family.nested || complexity == null ? "" : `:${complexity}`}/${layer}/${head}/`;
      if (!this.tensors[`${at}one_hot`]) throw new Error(`the file of weights lacks ${at}`);
      const [queries, keys] = ["queries", "keys"].map((part) => this.map(at + part, complexity));
      return { queries, keys, oneHot: this.tensors[`${at}one_hot`].data[0] > 0 };
    });
  }

  map(at, complexity) {
    const of = (part) => this.tensors[`${at}.${part}`]?.data;
    if (of("centroids")) return { centroids: of("centroids") };
    const directions = this.tensors[`${at}.directions`];
    if (!directions) return null;
    return { offset: of("offset"), directions: directions.data, along: of("along") ?? directions.data, rank: Math.min(complexity ?? Infinity, directions.shape[0]) };
  }
}

// What all live figures share: elements, controls, state, where packs come from, and what is shown when something is wrong.

const SVG = "http://www.w3.org/2000/svg";
const ADDRESS = "#live:"; // state in the page's address begins so
const TEXTS = new Set(["sentence", "text"]); // of a state; all else in an address is a number, a name or nothing
const FIGURES = {}; // by kind: (host, board) => draw once; each file adds its own

/** Something that a reader can put right: shown in place, in words. */
class Problem extends Error {}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value != null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null)); // texts become text, whatever they say
  return node;
}

const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
const percent = (share) => (share > 0 && share < 0.005 ? "<1" : Math.round(100 * share)) + "\u00a0%";
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
let ids = 0;

/** A control with its label. */
function labelled(text, control) {
  control.id ||= `live-${++ids}`;
  return html("span", { class: "live-control" }, html("label", { for: control.id }, text), control);
}

/** A choice among [value, label] pairs; `choose` gets the value as it was given. */
function choice(text, choose) {
  const select = html("select", { onchange: () => choose(select.options[select.selectedIndex].of) });
  const offer = (options, chosen) => {
    select.replaceChildren(...options.map(([of, label, disabled]) => Object.assign(html("option", { disabled }, label), { of })));
    select.selectedIndex = options.findIndex(([of]) => of === chosen);
  };
  return { box: labelled(text, select), offer };
}

/** A slider over a list of values. */
function slider(text, choose) {
  const shown = html("output"), input = html("input", { type: "range", min: 0, step: 1 });
  const box = labelled(text, input);
  box.append(shown);
  let values = [];
  input.addEventListener("input", () => choose(values[input.value]));
  const offer = (options, chosen, label = String) => {
    values = options;
    input.max = Math.max(0, options.length - 1);
    input.value = options.indexOf(chosen);
    shown.value = chosen == null ? "" : label(chosen);
    input.setAttribute("aria-valuetext", shown.value);
    input.disabled = options.length < 2;
  };
  return { box, offer, name: (label) => (box.querySelector("label").textContent = label) };
}

/** Values that several figures share; whoever listens hears of every change. */
class State {
  constructor() {
    this.values = {};
    this.listeners = [];
  }

  /** What a figure opens with, where nothing is set yet. */
  begin(values) {
    this.first = { ...values, ...this.first };
    this.values = { ...values, ...this.values };
  }

  set(changes) {
    if (Object.entries(changes).every(([name, value]) => this.values[name] === value)) return;
    Object.assign(this.values, changes);
    this.listeners.forEach((listener) => listener(changes));
  }
}

/** The state in an address such as `#live:proxy=svd&complexity=8`. */
function fromAddress(hash) {
  if (!hash.startsWith(ADDRESS)) return {};
  const number = (text) => (text === "" ? null : /^-?\d+$/.test(text) ? Number(text) : text);
  return Object.fromEntries([...new URLSearchParams(hash.slice(ADDRESS.length))].map(([name, text]) => [name, TEXTS.has(name) ? text : number(text)]));
}

const toAddress = (values) => ADDRESS + new URLSearchParams(Object.entries(values).map(([name, value]) => [name, value ?? ""]));

/** A pack from its bytes; a `Problem` that names it where they are no pack. */
function packOf(name, bytes) {
  try {
    return new Pack(bytes);
  } catch (error) {
    throw new Problem(`The weights of ${name} are damaged (${error.message}), so nothing can be computed here: build the book again.`);
  }
}

const isDark = () => document.documentElement.dataset.theme === "dark" || document.body.dataset.jpThemeLight === "false";

/** The colour of a family on the page as it is. */
const colourOf = ({ colour }) => colour[isDark() ? 1 : 0];

/**
 * One live figure in an element. `host`: `config` (what Python wrote), `state`, `bytes(name)` -> Promise of a pack's bytes,
 * `tell(found)` (what the figure shows, for whoever reads it), `ask(question)` -> Promise of Python's answer, or null without.
 */
function start(kind, host, root) {
  const message = html("p", { class: "live-message", role: "alert" }), board = html("div", { class: "live-board" });
  const packs = {};
  let drawing = 0;
  host.pack = (name) => (packs[name] ??= host.bytes(name).then((bytes) => packOf(name, bytes)).catch((error) => { delete packs[name]; throw error; }));
  host.state.begin(host.config.start ?? {});
  const draw = FIGURES[kind](host, board);
  const redraw = async () => {
    const turn = ++drawing, long = setTimeout(() => root.classList.add("live-stale"), 200); // what is shown is not yet what is chosen
    try {
      const show = await draw(host.state.values);
      if (turn !== drawing) return; // something newer is under way
      show?.();
      message.textContent = "";
      root.classList.add("live-ready");
      root.classList.remove("live-stale", "live-failed");
    } catch (error) {
      if (turn !== drawing) return;
      if (!(error instanceof Problem)) console.warn(error);
      message.textContent = error.message;
      root.classList.add("live-stale", "live-failed"); // the last good picture stays, faded, and controls to put it right
    } finally {
      clearTimeout(long);
    }
  };
  const full = html("button", { type: "button", class: "live-full", onclick: () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()) }, "Full screen");
  root.append(message, board, full);
  host.state.listeners.push(redraw);
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth && root.clientWidth !== width) redraw((width = root.clientWidth));
  }).observe(root);
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return redraw();
}

/** All live figures of a page without Python: those marked `data-live`, once they come near the window. */
function startPage() {
  const roots = [...document.querySelectorAll("[data-live]")];
  if (!roots.length) return;
  const figures = roots.map((root) => ({ root, config: JSON.parse(root.querySelector(".live-config").textContent) }));
  const states = new Map(figures.map(({ config }) => [config.of, new State()])); // figures of the same models share one
  const loaded = (globalThis.livePacks ??= {}), waiting = {};
  const bytes = (sources) => (name) =>
    (waiting[name] ??= new Promise((resolve, reject) => {
      const script = html("script", { src: sources[name], onload: () => (name in loaded ? resolve() : reject()), onerror: () => reject() });
      document.head.append(script);
    }).then(
      () => Uint8Array.from(atob(loaded[name]), (character) => character.charCodeAt(0)),
    ).catch(
      () => {
        delete waiting[name];
        delete loaded[name];
        throw new Problem(`The weights in ${sources[name]} are missing or damaged, so nothing can be computed here: build the book again.`);
      },
    ));
  const begin = ({ root, config }) => start(root.dataset.live, { config, state: states.get(config.of), bytes: bytes(config.packs), tell: () => {}, ask: null }, root);
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        near.unobserve(target);
        const figure = figures.find(({ root }) => root === target);
        if (!figure.config.asks) begin(figure);
        else target.append(html("button", { type: "button", onclick: (event) => { event.target.remove(); begin(figure); } }, `Load the model (${figure.config.asks}\u00a0MB) and try it`));
      }
    },
    { rootMargin: "600px" },
  );
  const follow = () => {
    if (!location.hash) states.forEach((state) => state.set({ ...state.first })); // back to where it began
    const { of = figures[0].config.of, ...asked } = fromAddress(location.hash);
    if (!Object.keys(asked).length || !states.has(of)) return;
    states.get(of).set(asked);
    figures.find(({ config }) => config.of === of).root.scrollIntoView({ block: "nearest" });
  };
  follow();
  addEventListener("hashchange", follow);
  let written;
  const write = (of, values) => () => history.replaceState(null, "", toAddress({ of, ...values })); // browsers allow some a second
  states.forEach((state, of) => state.listeners.push(() => { clearTimeout(written); written = setTimeout(write(of, state.values), 300); }));
  roots.forEach((root) => near.observe(root));
}

/** The front end of lib.live.Explorer in a notebook: the same figure, whose state and findings Python shares. */
function render({ model, el }) {
  const questions = new Map(), root = html("div", { class: "live" });
  const raw = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const host = {
    config: model.get("config"),
    bytes: async (name) => raw(model.get("packs")[name]),
    tell: (found) => { model.set("found", found); model.save_changes(); },
    ask: (question) =>
      new Promise((resolve, reject) => {
        questions.set(++ids, { resolve, reject });
        model.send({ number: ids, question });
      }),
  };
  model.on("msg:custom", ({ number, answer, problem }) => {
    const { resolve, reject } = questions.get(number) ?? {};
    questions.delete(number);
    if (problem) reject?.(new Problem(problem));
    else resolve?.(answer);
  });
  const begin = () => {
    const state = (host.state = new State());
    state.values = { ...model.get("state") };
    state.listeners.push(() => { model.set("state", { ...state.values }); model.save_changes(); });
    root.className = "live";
    root.replaceChildren();
    start(model.get("kind"), host, root);
  };
  model.on("change:state", () => host.state.set(model.get("state")));
  model.on("change:packs", begin); // other models
  el.append(root);
  begin();
}

// Which simplification is looked at: what can be chosen, and the controls for it. All figures of a model share them.

const familyOf = (config, name) => config.families.find((family) => family.name === name);
const placeOf = (layer) => (layer < 0 ? "all layers" : `layer ${layer}`);

/** What a setting is called: `SVD, rank 8`; as `Simplification.label` in Python. */
const settingOf = ({ family, complexity }) =>
  complexity == null ? family.label : family.parameter === "rank" ? `${family.label}, rank ${complexity}` : `${family.label}, ${complexity} ${family.parameter}`;

/** Complexities that were fitted in a layer, or (-1) in every layer; [null] for a family that has none to choose. */
const offeredIn = (family, layer) => (layer < 0 ? family.complexities[0].filter((c) => family.complexities.every((of) => of.includes(c))) : family.complexities[layer]);

/** Of what is offered, the complexity chosen before, else the family's example, else the first. */
function complexityFor(family, { complexity, layer }) {
  const offered = offeredIn(family, layer) ?? [];
  return [complexity, family.example].find((c) => offered.includes(c)) ?? offered[0] ?? null;
}

/** Controls of the simplification, in layers of which a figure `shows` something; `sync` shows what is chosen and returns it: `family`, `complexity`, and the layer `shown`. */
function settingControls({ config, state }, shows = () => true) {
  const layers = config.families[0].complexities.length;
  const change = (changes) => {
    const next = { ...state.values, ...changes }, family = familyOf(config, next.proxy);
    state.set({ ...changes, complexity: family ? complexityFor(family, next) : next.complexity });
  };
  const proxy = choice("Picture", (name) => change({ proxy: name }));
  const complexity = slider("Rank", (value) => state.set({ complexity: value }));
  const layer = choice("Layer", (value) => change({ layer: value }));
  const seed = choice("Model", (value) => state.set({ seed: value }));
  const capital = (word) => word[0].toUpperCase() + word.slice(1);
  const known = (layer) => Number.isInteger(layer) && layer >= -1 && layer < layers;
  const sync = (values) => {
    const family = familyOf(config, values.proxy), offered = family && known(values.layer) ? offeredIn(family, values.layer) : [];
    const chosen = family?.parameter ? (values.complexity ?? complexityFor(family, values)) : null;
    proxy.offer(config.families.map((f) => [f.name, f.label, known(values.layer) && !offeredIn(f, values.layer).length]), values.proxy);
    complexity.box.hidden = !family?.parameter;
    complexity.name(capital(family?.parameter ?? "rank"));
    complexity.offer(offered, chosen, (value) => (family.parameter === "rank" ? `${value} of ${config.head_width}` : value));
    layer.offer([...Array(layers).keys(), -1].map((l) => [l, l < 0 ? "all" : l, !shows(l)]), values.layer);
    layer.box.hidden = layers < 2;
    seed.offer(config.seeds.map((_, i) => [i, `seed ${i}`]), values.seed);
    seed.box.hidden = config.seeds.length < 2;
    if (!family) throw new Problem(`There is no picture called ${values.proxy}; there are ${config.families.map(({ name }) => name).join(", ")}.`);
    if (!known(values.layer)) throw new Problem(`There is no layer ${values.layer}; layers are 0 to ${layers - 1}, and all (-1).`);
    if (!Number.isInteger(values.seed) || !(values.seed in config.seeds)) throw new Problem(`There is no model of seed ${values.seed}; seeds are ${config.seeds.map((_, i) => i).join(", ")}.`);
    if (!offered.length) throw new Problem(`${family.label} was not fitted in ${placeOf(values.layer)}; choose another layer.`);
    if (!offered.includes(chosen)) throw new Problem(`${family.label} was not fitted with ${family.parameter} ${chosen} in ${placeOf(values.layer)}; choose one of ${offered.join(", ")}.`);
    return { family, complexity: chosen, shown: values.layer < 0 ? layers - 1 : values.layer };
  };
  return { boxes: [proxy.box, complexity.box, layer.box, seed.box], sync };
}

// How often pictures agree with the model, by the depth of sentences: curves that were measured.

const curveOf = (config, { family, complexity }, layer) => config.curves[`${family.name}|${complexity ?? ""}|${layer}`];

/** The curve of a setting as a sentence. */
function sayCurve(config, setting, layer) {
  const curve = curveOf(config, setting, layer), label = `${settingOf(setting)}, in ${placeOf(layer)},`;
  if (!curve) return `How often ${label} agrees with the model by depth was not measured.`;
  return `How often ${label} agrees with the model, in sentences of about one length: ${percent(curve.value[0])} where they are ${curve.x[0]} deep, ${percent(curve.value.at(-1))} where they are ${curve.x.at(-1)} deep; ${config.measured_on}.`;
}

/** Axes of depth and agreement with the depths of training shaded; `draw` adds a curve, with its interval if asked for. */
function depthFrame(config, width, height, last, right) {
  const left = 46, bottom = 34, top = 18;
  const x = (depth) => left + ((depth - 0.5) / last) * (width - left - right), y = (share) => top + (1 - share) * (height - top - bottom);
  const root = svg("svg", { width, height, role: "img" }), edge = x(config.trained_to + 0.5);
  root.append(svg("rect", { class: "live-shade", x: left, y: top, width: edge - left, height: height - top - bottom }));
  root.append(svg("text", { class: "live-note", x: Math.max(edge - 4, left + 96), y: top - 5, "text-anchor": "end" }, "depths of training"));
  if (last > config.trained_to + 1) root.append(svg("text", { class: "live-note", x: Math.max(edge + 4, left + 104), y: top - 5 }, "deeper"));
  for (const share of [0, 0.5, 1]) {
    root.append(svg("line", { class: "live-scale", x1: left, x2: width - right, y1: y(share), y2: y(share) }));
    root.append(svg("text", { class: "live-tick", x: left - 5, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  }
  for (let depth = 1; depth <= last; depth++)
    if (depth === 1 || depth % (last > 12 ? 4 : 2) === 0) root.append(svg("text", { class: "live-tick", x: x(depth), y: height - bottom + 15, "text-anchor": "middle" }, depth));
  root.append(svg("text", { class: "live-axis", x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle" }, "depth of the sentence"));
  const draw = (curve, colour, chosen) => {
    const along = (values) => curve.x.map((depth, i) => `${x(depth)},${y(values[i])}`);
    if (chosen) root.append(svg("polygon", { points: [...along(curve.high), ...along(curve.low).reverse()].join(" "), fill: colour, opacity: 0.18 }));
    root.append(svg("polyline", { points: along(curve.value).join(" "), fill: "none", stroke: colour, "stroke-width": chosen ? 2.6 : 1.2, opacity: chosen ? 1 : 0.55 }));
  };
  return { root, x, y, draw };
}

FIGURES.depth = (host, board) => {
  const { config } = host, controls = settingControls(host, (layer) => Object.keys(config.curves).some((key) => key.endsWith(`|${layer}`)));
  const picture = html("div", { class: "live-curve" }), said = html("p", { class: "live-said", "aria-live": "polite" });
  board.append(html("div", { class: "live-controls" }, ...controls.boxes.slice(0, 3)), picture, said);

  return async (values) => {
    const setting = controls.sync(values), { family } = setting, { layer } = values;
    const settings = family.complexities[Math.max(0, layer)].map((complexity) => ({ family, complexity })).filter((of) => curveOf(config, of, layer));
    return () => {
      const width = Math.max(260, picture.clientWidth || 600), right = width > 500 ? 130 : 92;
      const last = Math.max(...Object.values(config.curves).flatMap((curve) => curve.x), config.trained_to);
      const frame = depthFrame(config, width, width > 500 ? 300 : 260, last, right), chosen = ({ complexity }) => complexity === setting.complexity;
      for (const of of [...settings.filter((s) => !chosen(s)), ...settings.filter(chosen)]) frame.draw(curveOf(config, of, layer), colourOf(family), chosen(of));
      let below = -Infinity;
      for (const of of [...settings].sort((a, b) => curveOf(config, b, layer).value.at(-1) - curveOf(config, a, layer).value.at(-1))) {
        const curve = curveOf(config, of, layer), name = of.complexity == null ? family.label : `${family.parameter === "rank" ? "rank " : ""}${of.complexity}${family.parameter === "rank" ? "" : ` ${family.parameter}`}`;
        const y = (below = Math.max(frame.y(curve.value.at(-1)) + 4, below + 13));
        frame.root.append(svg("text", { class: chosen(of) ? "live-strong" : "live-note", x: frame.x(curve.x.at(-1)) + 6, y }, width > 500 || chosen(of) ? name : of.complexity));
      }
      said.textContent = sayCurve(config, setting, layer);
      frame.root.setAttribute("aria-label", said.textContent);
      picture.replaceChildren(frame.root);
    };
  };
};

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

// A piece of source code, character by character: where model and picture part, what each expects, and where heads look.

const FIRST_CHARACTER = 2; // lib.tasks.code.splits
const SHOWN = { "\n": "↵", " ": "␣" };
const nameOf = (character) => ({ "\n": "line feed", " ": "blank" })[character] ?? character;

/** Text as tokens, START first; `Problem` for a character that the model does not know. Only so many characters are read. */
function parseText(text, { vocabulary, context, examples }) {
  const characters = [...text.replace(/\r\n?/g, "\n")].slice(0, context);
  if (!characters.length) throw new Problem("There is no text yet: type or paste a function.");
  const tokens = characters.map((character, i) => {
    const token = vocabulary.indexOf(character, FIRST_CHARACTER);
    if (token < 0) throw new Problem(`Character ${i + 1} is ${character === "\t" ? "a tab" : `${character} (U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")})`}, but the model reads printable ASCII and line feeds only.`);
    return token;
  });
  const before = examples.find((of) => of.text === text)?.before; // of a window that begins within a function
  return { characters, tokens: [before ? vocabulary.indexOf(before, FIRST_CHARACTER) : START, ...tokens] };
}

FIGURES.reading = (host, board) => {
  const { config, state } = host, controls = settingControls(host), cache = new Map(), vocabulary = config.vocabulary.length;
  const preset = choice("Function", (text) => state.set({ text, character: null }));
  const typed = html("textarea", { spellcheck: "false", "aria-label": "your own text", oninput: () => state.set({ text: typed.value, character: null }) });
  const character = slider("Character", (at) => state.set({ character: at }));
  const shownText = html("pre", { class: "live-text", tabindex: 0, "aria-label": "the text, marked where model and picture part" });
  const said = html("p", { class: "live-said", "aria-live": "polite" }), predictions = html("div", { class: "live-columns" }), heads = html("div", { class: "live-heads" });
  const key = html("p", { class: "live-key" }, "They part, and right is: ", ...[["by-model", "the model"], ["by-proxy", "the picture"], ["by-none", "neither"]].flatMap(([mark, who]) => [html("span", { class: `live-${mark}` }, who), " "]));
  board.append(
    html("div", { class: "live-controls" }, preset.box),
    html("details", {}, html("summary", {}, "Type or paste your own"), typed),
    html("div", { class: "live-controls" }, ...controls.boxes, character.box),
    key, shownText, said, predictions, heads,
  );
  const guesses = ({ logits }, t) => softmax(Float64Array.from(logits.subarray(t * vocabulary + FIRST_CHARACTER, (t + 1) * vocabulary)));

  return async (values) => {
    const setting = controls.sync(values);
    if (typed.value !== values.text) typed.value = values.text;
    const known = config.examples.map(({ label, text }) => [text, label]);
    preset.offer(known.some(([text]) => text === values.text) ? known : [...known, [values.text, "as typed"]], values.text);
    const { characters, tokens } = parseText(values.text, config), pack = await host.pack(config.seeds[values.seed]);
    if (!setting.family.arrays) throw new Problem(`${setting.family.label} is computed by Python, which a page does not have.`);
    const of = `${values.seed} ${tokens}`;
    if (!cache.has(of)) {
      cache.clear();
      cache.set(of, pack.model.run(tokens));
    }
    const own = cache.get(of), simple = pack.model.run(tokens, pack.rules(setting.family, setting.complexity, values.layer), own);
    const expected = { model: characters.map((_, t) => guesses(own, t)), proxy: characters.map((_, t) => guesses(simple, t)) };
    const best = (who, t) => config.vocabulary[FIRST_CHARACTER + largestOf(expected[who][t])];
    const parted = characters.flatMap((_, t) => (best("model", t) === best("proxy", t) ? [] : [t]));
    const at = Number.isInteger(values.character) && values.character in characters ? values.character : (parted.find((t) => best("model", t) === characters[t]) ?? parted[0] ?? 0);
    return () => {
      character.offer([...characters.keys()], at, (t) => `${t + 1}: ${nameOf(characters[t])}`);
      shownText.replaceChildren(...characters.map((c, t) => {
        const right = !parted.includes(t) ? null : best("model", t) === c ? "live-by-model" : best("proxy", t) === c ? "live-by-proxy" : "live-by-none";
        const title = `model: ${nameOf(best("model", t))}, picture: ${nameOf(best("proxy", t))}`;
        return html("span", { class: [right, t === at ? "live-chosen" : ""].filter(Boolean).join(" ") || null, title, onclick: () => state.set({ character: t }) }, c === "\n" && (right || t === at) ? "↵\n" : c);
      }));
      const right = characters.filter((c, t) => best("model", t) === c).length, total = [...values.text].length;
      said.textContent =
        `${settingOf(setting)}, in ${placeOf(values.layer)}, agrees with the model on ${percent(1 - parted.length / characters.length)} of ${characters.length} characters` +
        `${total > characters.length ? ` (the first of ${total}: the model reads no more)` : ""}; the model is right on ${percent(right / characters.length)}. ` +
        `At character ${at + 1}, ${nameOf(characters[at])}, the model expects ${nameOf(best("model", at))} and the picture ${nameOf(best("proxy", at))}.`;
      predictions.replaceChildren(...["model", "proxy"].map((who) => candidates(expected[who][at], characters[at], config, who === "model" ? "The model expects" : `${settingOf(setting)} expects`, who === "model" ? "var(--live-model)" : colourOf(setting.family))));
      heads.replaceChildren(...headStrips(own, simple, at, characters, setting));
      host.tell({ character: at, model: best("model", at), proxy: best("proxy", at), parted });
    };
  };
};

/** The five most probable characters. */
function candidates(probabilities, actual, { vocabulary }, title, colour) {
  const top = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 5);
  const lines = top.map((i) => {
    const character = vocabulary[FIRST_CHARACTER + i], right = character === actual;
    return html("tr", { class: right ? "live-right" : null },
      html("th", { scope: "row" }, html("code", {}, SHOWN[character] ?? character), right ? " is there" : ""),
      html("td", {}, html("span", { class: "live-bar", style: `width:${100 * probabilities[i]}%;background:${colour}` })),
      html("td", { class: "live-number" }, percent(probabilities[i])));
  });
  return html("table", { class: "live-table live-predictions" }, html("caption", {}, title), html("tbody", {}, lines));
}

/** The attention behind a prediction, a strip a head: that of the model up, that of the picture down. */
function headStrips(own, simple, at, characters, { family }) {
  const wide = 600, height = 34, middle = height / 2, step = wide / (at + 1);
  const lines = own.patterns.flatMap((layer, l) => layer.map((pattern, h) => {
    const rows = [[pattern[at], -1, "var(--live-model)"], [simple.patterns[l][h][at], 1, colourOf(family)]];
    const top = largestOf(rows[0][0]), where = top === 0 ? "START" : `${nameOf(characters[top - 1])} at ${top}`;
    const strip = svg("svg", { viewBox: `0 0 ${wide} ${height}`, preserveAspectRatio: "none", width: "100%", height, "aria-hidden": "true" });
    for (const [row, sign, colour] of rows)
      strip.append(svg("path", { d: Array.from(row, (weight, t) => (weight < 0.004 ? "" : `M${(t * step).toFixed(1)} ${middle}v${(sign * middle * weight).toFixed(1)}h${(step * 0.9).toFixed(1)}V${middle}z`)).join(""), fill: colour }));
    strip.append(svg("line", { class: "live-line", x1: 0, x2: wide, y1: middle, y2: middle }));
    return html("tr", {}, html("th", { scope: "row" }, `L${l}H${h}`), html("td", {}, strip), html("td", {}, `${percent(rows[0][0][top])} on ${where}`));
  }));
  const caption = "Attention behind it, by head, over the characters before: of the model (up) and of the picture (down)";
  return [html("table", { class: "live-table live-strips" }, html("caption", {}, caption), html("tbody", {}, lines))];
}

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

if (document.readyState === "loading") addEventListener("DOMContentLoaded", startPage);
else startPage();
})();
