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
