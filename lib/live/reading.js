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
