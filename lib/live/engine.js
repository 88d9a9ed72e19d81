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

/**
 * x (rows, inner) times the transpose of a weight (out, inner), plus a bias (out): (rows, out).
 * Where row t needs only the past, `past` says of what: "outputs" after the t-th may be anything, or "inputs" after it are 0.
 */
function linear(x, { data: w, shape: [out, inner] }, bias, past) {
  const rows = x.length / inner, y = new Float64Array(rows * out), panel = new Float64Array(3 * inner);
  const fours = rows - (rows % 4), threes = fours && out - (out % 3);
  for (let o = 0; o < threes; o += 3) { // four rows by three columns: each number that is read enters several products
    for (let c = 0, from = o * inner; c < 3; c++) for (let i = c; i < 3 * inner; i += 3) panel[i] = w[from++];
    for (let row = past === "outputs" ? o - (o % 4) : 0; row < fours; row += 4) {
      const x0 = row * inner, x1 = x0 + inner, x2 = x1 + inner, x3 = x2 + inner, end = past === "inputs" ? row + 4 : inner;
      let a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0, c0 = 0, c1 = 0, c2 = 0, d0 = 0, d1 = 0, d2 = 0;
      for (let i = 0, k = 0; i < end; i++, k += 3) {
        const a = x[x0 + i], b = x[x1 + i], c = x[x2 + i], d = x[x3 + i], k0 = panel[k], k1 = panel[k + 1], k2 = panel[k + 2];
        a0 += a * k0, a1 += a * k1, a2 += a * k2;
        b0 += b * k0, b1 += b * k1, b2 += b * k2;
        c0 += c * k0, c1 += c * k1, c2 += c * k2;
        d0 += d * k0, d1 += d * k1, d2 += d * k2;
      }
      const y0 = row * out + o, y1 = y0 + out, y2 = y1 + out, y3 = y2 + out;
      y[y0] = a0, y[y0 + 1] = a1, y[y0 + 2] = a2;
      y[y1] = b0, y[y1 + 1] = b1, y[y1 + 2] = b2;
      y[y2] = c0, y[y2 + 1] = c1, y[y2 + 2] = c2;
      y[y3] = d0, y[y3 + 1] = d1, y[y3 + 2] = d2;
    }
  }
  const one = (row, o) => {
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += x[row * inner + i] * w[o * inner + i];
    y[row * out + o] = sum;
  };
  for (let row = 0; row < rows; row++) for (let o = row < fours ? threes : 0; o < out; o++) one(row, o); // the rest
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

  /** Queries and keys (T, headWidth) of a head -> its pattern (T, T): weights on the keys up to each query, 0 on later ones. */
  attend(queries, keys) {
    const d = this.headWidth, length = queries.length / d, scale = 1 / Math.sqrt(d);
    const pattern = linear(queries.map((of) => of * scale), { data: keys, shape: [length, d] }, null, "outputs");
    for (let t = 0, from = 0; t < length; t++, from += length) {
      softmax(pattern.subarray(from, from + t + 1));
      pattern.fill(0, from + t + 1, from + length);
    }
    return pattern;
  }

  /**
   * A block on a residual stream: what comes out, and by head and query [t + 1] weights on the keys up to it.
   * `rule`: by head a simplification, or none.
   */
  block(residual, layer, rule = []) {
    const { width, heads, headWidth: d } = this, length = residual.length / width, at = `blocks.${layer}.`;
    const [queries, keys, values] = this.read(residual, layer), mixed = new Float64Array(length * width), patterns = [];
    for (let head = 0; head < heads; head++) {
      const simple = rule[head];
      const pair = simple ? [mapped(queries[head], simple.queries, d), mapped(keys[head], simple.keys, d)] : [queries[head], keys[head]];
      const pattern = this.attend(...pair), transposed = new Float64Array(d * length);
      patterns.push(Array.from({ length }, (_, t) => pattern.subarray(t * length, t * length + t + 1)));
      if (simple?.oneHot) patterns[head].forEach(hardened);
      for (let t = 0; t < length; t++) for (let i = 0; i < d; i++) transposed[i * length + t] = values[head][t * d + i];
      const attended = linear(pattern, { data: transposed, shape: [d, length] }, null, "inputs");
      for (let t = 0; t < length; t++) mixed.set(attended.subarray(t * d, (t + 1) * d), t * width + head * d);
    }
    const stream = plus(residual, linear(mixed, this.part(at + "attention.out.weight")));
    const x = normalized(stream, this.part(at + "norm_mlp.weight"), this.part(at + "norm_mlp.bias"));
    const inner = linear(x, this.part(at + "mlp.0.weight"), this.tensors[at + "mlp.0.bias"]);
    for (let i = 0; i < inner.length; i++) inner[i] = gelu(inner[i]);
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
