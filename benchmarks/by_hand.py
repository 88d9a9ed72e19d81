"""Agreement of one setting on two texts, and the gap, by hand in TransformerLens; run by an interpreter that has it.

Reads a folder with a model and `windows.json`, and prints JSON: seconds, and by setting and text where predictions agree and
how far these diverge.
"""

import json
import sys
import time

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM


def by_hand(folder, fitted, texts, layers, rank):
    """The gap; and agreement and log-probabilities by text, of windows (n, T)."""
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    model = TransformerBridge.boot_transformers(folder, hf_model=loaded, device="cpu", dtype=torch.float64)
    names = [f"blocks.{layer}.attn.{side}.hook_out" for layer in layers for side in "qk"]
    _, cache = model.run_with_cache(fitted, names_filter=names)
    means = {name: cache[name].mean((0, 1)) for name in names}
    bases = {}
    for name in names:
        vectors = (cache[name] - means[name]).flatten(0, 1).transpose(0, 1)  # (head, n, d_head)
        bases[name] = torch.linalg.svd(vectors, full_matrices=False).Vh[:, :rank]

    def project(vectors, hook):
        basis = bases[hook.name]
        inside = torch.einsum("bthd,hrd->bthr", vectors - means[hook.name], basis)
        return means[hook.name] + torch.einsum("bthr,hrd->bthd", inside, basis)

    agreement, predicted = {}, {}
    for text, tokens in texts.items():
        own = model(tokens)[:, :-1]
        simplified = model.run_with_hooks(tokens, fwd_hooks=[(name, project) for name in names])[:, :-1]
        agreement[text] = own.argmax(-1) == simplified.argmax(-1)
        predicted[text] = own.log_softmax(-1), simplified.log_softmax(-1)  # for divergences, which the gap does not need
    inside, outside = (same.double().mean().item() for same in agreement.values())
    return inside - outside, agreement, predicted


def main():
    """The settings of `windows.json`, one after the other."""
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    with open(f"{folder}/windows.json") as file:
        given = json.load(file)
    fitted = torch.tensor(given["fitted"])
    clock, found = time.process_time if threads == 1 else time.perf_counter, []
    for setting in given["settings"]:
        texts = {text: torch.tensor(tokens)[:: setting["every"]] for text, tokens in given["texts"].items()}
        start = clock()
        gap, agreement, predicted = by_hand(folder, fitted, texts, setting["layers"], setting["rank"])
        row = {"seconds": clock() - start, "gap": gap, "texts": {}}
        for text, (own, simplified) in predicted.items():
            divergence = (own.exp() * (own - simplified)).sum(-1)
            row["texts"][text] = {"same": agreement[text].flatten().tolist(), "divergence": divergence.flatten().tolist()}
        found.append(row)
    print(json.dumps(found))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
