"""Exports checkpoints with btm-convert and compares transformers' log-probabilities with btm's on whole test sets."""
import argparse
import inspect
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

BLOCK = 128
SCORE = re.compile(r" \[(-?[0-9.]+)\](?=\t|$)")


def tokens_of(prefix):
    """All ids of an mmap data-bin of fewer than 65500 symbols."""
    return np.fromfile(f"{prefix}.bin", dtype=np.uint16).astype(np.int64)


def scores_of_btm(btm, model, data, split):
    """Log-probability of every token of the split, in order."""
    out = subprocess.run([btm, "eval-lm", data, "--path", model, "--gen-subset", split, "--tokens-per-sample", str(BLOCK), "--batch-size", "2",
                          "--cpu", "--quiet", "--output-word-probs"], check=True, capture_output=True, text=True).stdout
    rows = {}
    for line in out.splitlines():
        scores = SCORE.findall(line)
        if scores and line.split(" ", 1)[0].isdigit():
            rows[int(line.split(" ", 1)[0])] = [float(score) for score in scores]
    return np.array([score for row in sorted(rows) for score in rows[row]])


def scores_of_transformers(folder, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    scores, before = [], 2
    with torch.no_grad():
        for start in range(0, len(ids), BLOCK):
            block = torch.from_numpy(ids[start : start + BLOCK])
            given = torch.cat([torch.tensor([before]), block[:-1]])[None]
            before = int(block[-1])
            # Every position counts, also one that holds a padding symbol.
            logits = model(given, attention_mask=torch.ones_like(given)).logits[0]
            scores.append(torch.log_softmax(logits.double(), -1).gather(1, block[:, None])[:, 0])
    return torch.cat(scores).numpy(), type(model).__name__


def check_configuration_keys(source):
    """The keys of compat/huggingface_config.cpp are the parameters of transformers' configuration classes."""
    text = Path(source).read_text()
    for table, config in (("kOptKeys", transformers.OPTConfig), ("kGpt2Keys", transformers.GPT2Config), ("kXglmKeys", transformers.XGLMConfig)):
        rows = re.findall(r'Key\{"([^"]+)", "([^"]*)"', text.split(f"{table}{{")[1].split("};")[0])
        parameters = {name: parameter.default for name, parameter in inspect.signature(config.__init__).parameters.items() if name not in ("self", "kwargs")}
        known = {name: standard for name, standard in rows if standard}
        aliases = {name for name, standard in rows if not standard}
        missing = {name: value for name, value in parameters.items() if name not in known}
        wrong = {name: known[name] for name, value in parameters.items() if name in known and known[name] != repr(value)}
        if missing or wrong or aliases != set(config.attribute_map):
            sys.exit(f"{table}: missing {missing}, other defaults {wrong}, other names {aliases}, transformers has {config.attribute_map}")
        print(f"{table}: {len(known)} keys and {len(aliases)} other names are those of {config.__name__}")


def with_sinusoids(checkpoint, path):
    """The same model with computed positions instead of learned ones: what XGLM is for."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    del state["model"]["decoder.embed_positions.weight"]
    state["model"]["decoder.embed_positions._float_tensor"] = torch.zeros(1)
    state["cfg"]["model"]["decoder_learned_pos"] = False
    torch.save(state, path)
    return Path(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of btm and btm-convert")
    parser.add_argument("--golden", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    check_configuration_keys(Path(__file__).parent.parent / "compat/huggingface_config.cpp")
    golden, worst = Path(args.golden), 0.0
    cases = [(golden / f"checkpoints/elm_{domain}/checkpoint_last.pt", kind, domain) for kind in ("opt", "gpt2") for domain in ("fortunes", "jargon", "perl", "politics")]
    cases += [(golden / "training/base/checkpoint_last.pt", "opt", domain) for domain in ("perl", "politics")]
    with tempfile.TemporaryDirectory() as scratch:
        for domain in ("fortunes", "perl"):
            Path(f"{scratch}/sinusoids_{domain}").mkdir()
            model = with_sinusoids(golden / f"checkpoints/elm_{domain}/checkpoint_last.pt", f"{scratch}/sinusoids_{domain}/checkpoint_last.pt")
            cases.append((model, "xglm", domain))
        for number, (checkpoint, kind, domain) in enumerate(cases):
            folder = f"{scratch}/{number}"
            subprocess.run([f"{args.bin}/btm-convert", "checkpoint", checkpoint, folder, "--to", "hf", "--hf-model", kind, "--skip-proof"], check=True, capture_output=True)
            data, split = golden / "data-bin" / domain, f"test_{domain}"
            expected = scores_of_btm(f"{args.bin}/btm", str(checkpoint), str(data), split)
            found, name = scores_of_transformers(folder, tokens_of(data / split))
            if len(found) != len(expected):
                sys.exit(f"{checkpoint}: {len(found)} scores, expected {len(expected)}")
            difference = float(np.abs(found - expected).max())
            worst = max(worst, difference)
            print(f"{checkpoint.parent.name:18} {split:14} {name:18} {len(found)} tokens, max |d log p| {difference:.2e}", flush=True)
    print(f"largest difference {worst:.2e}, allowed {args.tolerance:.0e}")
    sys.exit(0 if worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()
