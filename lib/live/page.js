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
