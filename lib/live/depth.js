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
