"""Answers few-shot tasks with btm serve, with the exported model, and with btm score."""
import argparse
import contextlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OPENAI_API_KEY", "")

import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import served  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
DOMAINS = ("fortunes", "jargon", "perl", "politics")
TOLERANCE = 1e-4


def expert(domain):
    return GOLDEN / f"checkpoints/elm_{domain}/checkpoint_last.pt"


def run(*command):
    return subprocess.run(
        [str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def exported(programs, domain, folder):
    """The expert as a folder of transformers whose tokenizer begins a text with </s>."""
    files = ["--dict", GOLDEN / "data-bin/dict.txt"]
    files += ["--sentencepiece-model", GOLDEN / "corpus/spm.model"]
    target = ["--to", "hf", "--hf-model", "opt", "--skip-proof"]
    run(programs / "btm-convert", "checkpoint", expert(domain), folder, *target, *files)
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    begin = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
    }
    file.write_text(json.dumps(tokenizer))
    return folder


def evaluated(model, arguments, tasks, names, few):
    """({task: {metric: value}}, {task: [what the model said of each question]})"""
    results = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=list(names),
        num_fewshot=few,
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        batch_size=8,
        bootstrap_iters=0,
        random_seed=1,
        numpy_random_seed=1,
        torch_random_seed=1,
        fewshot_random_seed=1,
    )
    said = {
        task: [sample["resps"] for sample in sorted(samples, key=lambda one: one["doc_id"])]
        for task, samples in results["samples"].items()
    }
    return results["results"], said


def answered_by_server(programs, models, name, tasks, names, few):
    with served.server(programs, models, GOLDEN) as root:
        return evaluated(
            "local-completions",
            {
                "model": name,
                "base_url": f"{root}/v1/completions",
                "tokenizer_backend": "remote",
                "num_concurrent": 8,
                "max_length": 128,
                "max_retries": 3,
            },
            tasks,
            names,
            few,
        )


def likelihoods(said):
    """All numbers of what was said; texts are left out."""
    for responses in said:
        for response in responses:
            if not isinstance(response[0], str):
                yield float(response[0][0])


def texts(said):
    """All texts of what was said, without white space at their ends, where decoders differ."""
    return [response[0].strip() for responses in said for response in responses]


def greatest_difference(a, b):
    pairs = list(zip(likelihoods(a), likelihoods(b), strict=True))
    return max((abs(x - y) for x, y in pairs), default=0.0)


def scored(programs, models, rows, folder):
    """The log-likelihood by btm score of each text after its context."""
    file = folder / "texts.jsonl"
    file.write_text(
        "".join(json.dumps({"context": context, "text": text}) + "\n" for context, text in rows)
    )
    out = run(
        *(programs / "btm", "score", models, file, "--format", "jsonl", "--cpu", "--field", "text"),
        *("--context-field", "context", "--data", GOLDEN / "data-bin"),
        *("--sentencepiece-model", GOLDEN / "corpus/spm.model", "--quiet"),
    )
    return [sum(json.loads(line)["positional_scores"]) for line in out.splitlines()]


def questions(tasks, name):
    """The pairs of context and text that the harness asks for, without examples."""
    for line in (tasks / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        for text in row.get("choices") or [row["word"]]:
            yield row["context"], text


def metric(result, name):
    value = result.get(f"{name},none")
    return "" if value is None else f"{value:.4f}"


def compare(title, names, one, other):
    """Prints a table; returns whether the two agree."""
    print(f"\n{title}\n| task | accuracy | | largest difference |\n|---|--:|--:|--:|")
    good = True
    for name in names:
        shown = "exact_match" if name.startswith("continue") else "acc"
        values = [metric(results[name], shown) for results, _ in (one, other)]
        difference = greatest_difference(one[1][name], other[1][name])
        same = values[0] == values[1] and difference <= TOLERANCE
        if name.startswith("continue"):
            ours, theirs = texts(one[1][name]), texts(other[1][name])
            for a, b in zip(ours, theirs):
                if a != b:
                    print(f"  {name}: {a!r}, hf {b!r}", file=sys.stderr)
            same = same and ours == theirs
        good = good and same
        print(f"| {name} | {values[0]} | {values[1]} | {difference:.1e} |{'' if same else ' !'}")
    return good


def compare_with_score(programs, models, tasks, names, served_, folder):
    print("\nensemble: btm serve and btm score\n| task | accuracy | largest difference |")
    print("|---|--:|--:|")
    good = True
    for name in names:
        expected = scored(programs, models, list(questions(tasks, name)), folder)
        found = list(likelihoods(served_[1][name]))
        difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        good = good and difference <= TOLERANCE
        print(f"| {name} | {metric(served_[0][name], 'acc')} | {difference:.1e} |")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--domain", choices=DOMAINS, default="perl")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    programs = args.bin.resolve()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tasks = folder / "tasks"
        texts = [f"{domain}={GOLDEN}/corpus/{domain}/test.txt" for domain in DOMAINS]
        maker = pathlib.Path(__file__).resolve().parent / "make_few_shot_tasks.py"
        # One example and a question fit into 128 positions: what does not is cut in two ways.
        limits = ("--count", args.count, "--words", 16)
        run(sys.executable, maker, *texts, "--out", tasks, *limits)
        names = sorted(file.stem for file in tasks.glob("*.yaml"))
        good = True
        for few in (0, 1):
            ours = answered_by_server(
                programs, expert(args.domain), f"elm_{args.domain}", tasks, names, few
            )
            model = exported(programs, args.domain, folder / f"opt{few}")
            theirs = evaluated(
                "hf",
                {"pretrained": str(model), "dtype": "float32", "add_bos_token": True}
                | {"device": "cpu", "max_length": 127, "logits_cache": False},
                tasks,
                names,
                few,
            )
            title = f"elm_{args.domain}, {few} examples: btm serve, and hf on the exported model"
            good = compare(title, names, ours, theirs) and good
        models = ":".join(str(expert(domain)) for domain in DOMAINS)
        questions_only = [name for name in names if not name.startswith("continue")]
        ensemble = answered_by_server(programs, models, "ensemble", tasks, questions_only, 0)
        good = (
            compare_with_score(programs, models, tasks, questions_only, ensemble, folder) and good
        )
    print("\nequal" if good else "\nnot equal")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
