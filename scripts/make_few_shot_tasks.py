#!/usr/bin/env python3
"""Makes tasks for lm-evaluation-harness from domains of text: JSON files, and the YAML that names
them.

Three kinds for each domain, and one of its own:
  cloze      the last word of a sentence; log-likelihood
  choice     which of four ends belongs to a beginning, the others come from the other domains
  continue   the greedy text after a beginning
  agreement  is the verb singular or plural? the same sentences whatever the domains
"""
import argparse
import itertools
import json
import pathlib
import random
import re
import sys

WORD = re.compile(r"[A-Za-z][a-z]{3,}")
NOUNS = ("file", "book", "machine", "program", "law", "word", "system", "worker", "hacker", "line")
BETWEEN = (
    "",
    " on the disk",
    " that the users know",
    " near the houses",
    " of the other people",
    " in this world",
)
TASK = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
fewshot_split: test
output_type: {kind}
doc_to_text: "{{{{context}}}}"
target_delimiter: " "
{more}metadata:
  version: 1
"""
CHOICE = """doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""
CLOZE = """doc_to_target: " {{word}}"
metric_list:
  - metric: acc
  - metric: perplexity
"""
CONTINUE = """doc_to_target: "{{rest}}"
metric_list:
  - metric: exact_match
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 16
  do_sample: false
"""


def sentences(path, longest):
    """Sentences of the file as lists of words, each once."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        for sentence in re.split(r"(?<=[.!?]) ", line):
            words = sentence.split()
            if 8 <= len(words) <= longest:
                found.setdefault(" ".join(words), words)
    return list(found.values())


def cloze(rows, count):
    for words in rows:
        word = words[-1].rstrip(".!?")
        if count > 0 and WORD.fullmatch(word):
            count -= 1
            yield {"context": " ".join(words[:-1]), "word": word}


def choice(rows, others, count, chance):
    ends = [words[len(words) // 2 :] for words in others]
    for words in rows[:count]:
        choices = [words[len(words) // 2 :], *chance.sample(ends, 3)]
        answer = chance.randrange(4)
        choices[0], choices[answer] = choices[answer], choices[0]
        yield {
            "context": " ".join(words[: len(words) // 2]),
            "choices": [" ".join(end) for end in choices],
            "answer": answer,
        }


def continued(rows, count):
    for words in rows[:count]:
        half = len(words) // 2
        yield {"context": " ".join(words[:half]), "rest": " ".join(words[half:])}


def agreement():
    for noun, between, plural in itertools.product(NOUNS, BETWEEN, (False, True)):
        yield {
            "context": f"The {noun}{'s' if plural else ''}{between}",
            "choices": ["is", "are"],
            "answer": int(plural),
        }


def write(folder, name, kind, more, rows):
    rows = list(rows)
    if not rows:
        sys.exit(f"make_few_shot_tasks.py: error: {name}: the text has no sentence that fits")
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / f"{name}.yaml").write_text(
        TASK.format(name=name, file=json.dumps(str(file.resolve())), kind=kind, more=more)
    )
    print(f"{name}: {len(rows)} questions", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", metavar="DOMAIN=FILE", help="text of each domain")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the folder to write")
    parser.add_argument("--count", type=int, default=40, help="questions of each task")
    parser.add_argument("--words", type=int, default=30, help="of the longest sentence")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)
    domains = {}
    for text in args.texts:
        domain, _, file = text.partition("=")
        domains[domain] = sentences(pathlib.Path(file), args.words)
        chance.shuffle(domains[domain])
    for domain, rows in domains.items():
        others = [row for name, all_ in domains.items() if name != domain for row in all_]
        write(args.out, f"cloze_{domain}", "loglikelihood", CLOZE, cloze(rows, args.count))
        write(
            args.out,
            f"choice_{domain}",
            "multiple_choice",
            CHOICE,
            choice(rows, others or rows, args.count, chance),
        )
        write(
            args.out,
            f"continue_{domain}",
            "generate_until",
            CONTINUE,
            continued(rows, args.count // 4),
        )
    write(args.out, "agreement", "multiple_choice", CHOICE, agreement())


if __name__ == "__main__":
    main()
