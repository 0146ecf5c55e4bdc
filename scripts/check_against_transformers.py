"""Exports checkpoints with btm-convert and compares transformers' log-probabilities with btm's on
whole test sets, and its greedy texts with btm's."""
import argparse
import inspect
import json
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
    out = subprocess.run(
        [
            btm,
            "eval-lm",
            data,
            "--path",
            model,
            "--gen-subset",
            split,
            "--tokens-per-sample",
            str(BLOCK),
            "--batch-size",
            "2",
            "--cpu",
            "--quiet",
            "--output-word-probs",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = {}
    for line in out.splitlines():
        scores = SCORE.findall(line)
        if scores and line.split(" ", 1)[0].isdigit():
            rows[int(line.split(" ", 1)[0])] = [float(score) for score in scores]
    return np.array([score for row in sorted(rows) for score in rows[row]])


def scores_of_transformers(folder, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    scores, before = [], 2
    with torch.no_grad():
        for start in range(0, len(ids), BLOCK):
            block = torch.from_numpy(ids[start : start + BLOCK])
            given = torch.cat([torch.tensor([before]), block[:-1]])[None]
            before = int(block[-1])
            # Every position counts, including those with a padding symbol.
            logits = model(given, attention_mask=torch.ones_like(given)).logits[0]
            scores.append(torch.log_softmax(logits.double(), -1).gather(1, block[:, None])[:, 0])
    return torch.cat(scores).numpy(), type(model).__name__


def check_configuration_keys(source):
    """Compares the keys of huggingface_config.cpp with transformers' configuration classes."""
    text = Path(source).read_text()
    for table, config in (
        ("kOptKeys", transformers.OPTConfig),
        ("kGpt2Keys", transformers.GPT2Config),
        ("kXglmKeys", transformers.XGLMConfig),
    ):
        rows = re.findall(r'Key\{"([^"]+)", "([^"]*)"', text.split(f"{table}{{")[1].split("};")[0])
        parameters = {
            name: parameter.default
            for name, parameter in inspect.signature(config.__init__).parameters.items()
            if name not in ("self", "kwargs")
        }
        known = {name: standard for name, standard in rows if standard}
        aliases = {name for name, standard in rows if not standard}
        missing = {name: value for name, value in parameters.items() if name not in known}
        wrong = {
            name: known[name]
            for name, value in parameters.items()
            if name in known and known[name] != repr(value)
        }
        if missing or wrong or aliases != set(config.attribute_map):
            sys.exit(
                f"{table}: missing {missing}, other defaults {wrong}, other names {aliases}, "
                f"transformers has {config.attribute_map}"
            )
        print(
            f"{table}: {len(known)} keys and {len(aliases)} other names are those of "
            f"{config.__name__}"
        )


def documents_of(prefix):
    """The ids of every document of an mmap data-bin, without </s>."""
    index = Path(f"{prefix}.idx").read_bytes()
    dtype, count = {4: np.int32, 8: np.uint16}[index[17]], int.from_bytes(index[18:26], "little")
    sizes = np.frombuffer(index, np.int32, count, 26)
    ids = np.fromfile(f"{prefix}.bin", dtype).astype(np.int64)
    return [document[:-1].tolist() for document in np.split(ids, np.cumsum(sizes)[:-1])]


def with_vocabulary(checkpoint, size, path):
    """The model with as many embeddings as a dictionary has symbols."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    table = torch.randn(
        size,
        state["model"]["decoder.embed_tokens.weight"].shape[1],
        generator=torch.Generator().manual_seed(1),
    )
    for name in ("decoder.embed_tokens.weight", "decoder.output_projection.weight"):
        state["model"][name] = table
    torch.save(state, path)


def thousand_lines(golden):
    lines = [
        line.strip()
        for file in sorted((golden / "corpus").glob("*/*.txt"))
        for document in file.read_text().split("\n")
        for line in document.split(". ")
    ]
    lines = [line for line in lines if line][:1000]
    assert len(lines) == 1000
    return lines


def convert(programs, *arguments):
    command = [f"{programs}/btm-convert", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def exported_tokenizer(programs, golden, scratch, kind, bpe):
    """(tokenizer of a model exported as `kind`, data-bin of scratch/lines.txt for that model)"""
    if bpe == "gpt2":
        gpt2 = golden / "gpt2"
        files = ["--gpt2-encoder-json", gpt2 / "encoder.json"]
        files += ["--gpt2-vocab-bpe", gpt2 / "vocab.bpe"]
    else:
        files = ["--sentencepiece-model", golden / "corpus/spm.model"]
    data, folder, model = (
        scratch / f"{name}-{kind}-{bpe}" for name in ("data", "model", "checkpoint.pt")
    )
    source = ["--only-source", "--trainpref", scratch / "lines.txt"]
    convert(programs, "preprocess", *source, "--bpe", bpe, *files, "--destdir", data)
    size = 4 + len((data / "dict.txt").read_text().splitlines())
    checkpoint = golden / "checkpoints/elm_perl/checkpoint_last.pt"
    if kind == "xglm":
        checkpoint = with_sinusoids(checkpoint, scratch / "sinusoids.pt")
    with_vocabulary(checkpoint, size, model)
    target = ["--to", "hf", "--hf-model", kind, "--skip-proof", "--dict", data / "dict.txt"]
    convert(programs, "checkpoint", model, folder, *target, *files)
    return transformers.AutoTokenizer.from_pretrained(folder), data


def check_tokenizers(programs, golden, scratch):
    """Compares AutoTokenizer's ids of 1,000 lines with those of the data-bin made from them."""
    lines = thousand_lines(golden)
    (scratch / "lines.txt").write_text("".join(line + "\n" for line in lines))
    for kind, bpe in (
        ("opt", "sentencepiece"),
        ("xglm", "sentencepiece"),
        ("gpt2", "sentencepiece"),
        ("gpt2", "gpt2"),
        ("opt", "gpt2"),
    ):
        tokenizer, data = exported_tokenizer(programs, golden, scratch, kind, bpe)
        wrong = sum(
            tokenizer(line)["input_ids"] != ids
            for line, ids in zip(lines, documents_of(data / "train"))
        )
        size = 4 + len((data / "dict.txt").read_text().splitlines())
        print(
            f"{kind} with {bpe}: {wrong} of {len(lines)} lines have other ids "
            f"({type(tokenizer).__name__}, {size} symbols)",
            flush=True,
        )
        if wrong:
            sys.exit(1)


def with_sinusoids(checkpoint, path):
    """The model with sinusoidal positions instead of learned ones, for XGLM."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    del state["model"]["decoder.embed_positions.weight"]
    state["model"]["decoder.embed_positions._float_tensor"] = torch.zeros(1)
    state["cfg"]["model"]["decoder_learned_pos"] = False
    torch.save(state, path)
    return Path(path)


NEW_TOKENS, PROMPTS, TIE = 32, 50, 1e-4


def texts_of_btm(btm, folder, data, prompts, scratch):
    """The ids of greedy texts, the prompts' too."""
    symbols = [line.split(" ")[0] for line in (data / "dict.txt").read_text().splitlines()]
    lines = (" ".join(symbols[i - 4] for i in prompt) for prompt in prompts)
    (scratch / "prompts").write_text("".join(line + "\n" for line in lines))
    flags = ["--bpe", "none", "--file", scratch / "prompts", "--format", "jsonl", "--quiet"]
    flags += ["--data", data, "--max-len-a", "1", "--max-len-b", str(NEW_TOKENS - 1), "--cpu"]
    out = subprocess.run([btm, "generate", folder, *flags], check=True, stdout=subprocess.PIPE)
    rows = [json.loads(line) for line in out.stdout.splitlines()]
    assert [row["prompt_tokens"] for row in rows] == prompts
    return [row["hypotheses"][0]["tokens"] for row in rows]


def continued(model, ids):
    """The ids of the greedy text, without </s> in front."""
    given = torch.tensor([[2, *ids]])
    ends = {"eos_token_id": 2, "pad_token_id": 1}
    with torch.no_grad():
        out = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            **ends,
        )
    return out[0, 1:].tolist()


def differs_after_tie(model, theirs, ours):
    """Whether the first ids that differ have equal scores."""
    place = next(i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b)
    with torch.no_grad():
        logits = model(torch.tensor([[2, *theirs[:place]]])).logits[0, -1]
    return abs(float(logits[theirs[place]] - logits[ours[place]])) < TIE


def check_texts(programs, golden, scratch):
    """Compares greedy texts of exported models, but for what follows a tie."""
    data = golden / "data-bin/perl"
    documents = [ids for ids in documents_of(data / "train") if len(ids) >= 24 and min(ids) > 3]
    prompts = [ids[: 2 + i % 23] for i, ids in enumerate(documents[:PROMPTS])]
    assert len(prompts) == PROMPTS
    for kind in ("opt", "gpt2"):
        folder = scratch / f"texts-{kind}"
        checkpoint = golden / "checkpoints/elm_perl/checkpoint_last.pt"
        target = ["--to", "hf", "--hf-model", kind, "--skip-proof"]
        convert(programs, "checkpoint", checkpoint, folder, *target)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.eval()
        same = ties = 0
        texts = texts_of_btm(f"{programs}/btm", folder, data, prompts, scratch)
        for prompt, ours in zip(prompts, texts):
            theirs = continued(model, prompt)
            if ours[: len(theirs)] == theirs:
                same += 1
            else:
                ties += differs_after_tie(model, theirs, ours)
        print(
            f"greedy texts of {type(model).__name__}: {same} of {len(prompts)} prompts the same, "
            f"{ties} after a tie",
            flush=True,
        )
        if same + ties < len(prompts):
            sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="the folder with btm and btm-convert")
    parser.add_argument("--golden", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    check_configuration_keys(
        Path(__file__).parent.parent / "compat/huggingface/huggingface_config.cpp"
    )
    golden, worst = Path(args.golden), 0.0
    cases = [
        (golden / f"checkpoints/elm_{domain}/checkpoint_last.pt", kind, domain)
        for kind in ("opt", "gpt2")
        for domain in ("fortunes", "jargon", "perl", "politics")
    ]
    cases += [
        (golden / "training/base/checkpoint_last.pt", "opt", domain)
        for domain in ("perl", "politics")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        check_texts(args.bin, golden, Path(scratch))
        check_tokenizers(args.bin, golden, Path(scratch))
        for domain in ("fortunes", "perl"):
            Path(f"{scratch}/sinusoids_{domain}").mkdir()
            model = with_sinusoids(
                golden / f"checkpoints/elm_{domain}/checkpoint_last.pt",
                f"{scratch}/sinusoids_{domain}/checkpoint_last.pt",
            )
            cases.append((model, "xglm", domain))
        for number, (checkpoint, kind, domain) in enumerate(cases):
            folder = f"{scratch}/{number}"
            target = ["--to", "hf", "--hf-model", kind, "--skip-proof"]
            convert(args.bin, "checkpoint", checkpoint, folder, *target)
            data, split = golden / "data-bin" / domain, f"test_{domain}"
            expected = scores_of_btm(f"{args.bin}/btm", str(checkpoint), str(data), split)
            found, name = scores_of_transformers(folder, tokens_of(data / split))
            if len(found) != len(expected):
                sys.exit(f"{checkpoint}: {len(found)} scores, expected {len(expected)}")
            difference = float(np.abs(found - expected).max())
            worst = max(worst, difference)
            print(
                f"{checkpoint.parent.name:18} {split:14} {name:18} {len(found)} tokens, max |d "
                f"log p| {difference:.2e}",
                flush=True,
            )
    print(f"largest difference {worst:.2e}, allowed {args.tolerance:.0e}")
    sys.exit(0 if worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()
