"""Measures how btm's speed and memory grow with context, experts, ranks and corpus, and fits the
law that its code implies."""
import dataclasses
import os
import random
import shutil

from benches import TOKENS_PER_SECOND, flops_per_token, train_flags, training_rate
from laws import Fitted, Law, Term
from measure import in_turns, summary

MIB = 1 << 20
TILE_ROWS, TILE_COLUMNS = 1024, 2048  # of logits: btm/model/head.cpp
LAYERS, WIDTH, VOCABULARY = 6, 512, 16384  # of the experts and of the trained model
PARAMETERS = (
    VOCABULARY * WIDTH + (1024 + 2) * WIDTH + LAYERS * (12 * WIDTH * WIDTH + 13 * WIDTH) + 2 * WIDTH
)
CURVE_POINTS = 60


def plot(unit, values, law, log_y=False):
    """The measured points of one figure and the law fitted to their medians. `values` is {x: [a
    value per run]}."""
    fitted = Fitted(law, [(x, summary(runs)["median"]) for x, runs in values.items()])
    points = []
    for x, runs in values.items():
        expected = fitted.at(x)
        points.append(
            {
                "x": x,
                **summary(runs),
                "law": expected,
                "deviation": 100 * (summary(runs)["median"] / expected - 1),
            }
        )
    low, high = min(values), max(values)
    curve = [low * (high / low) ** (i / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)]
    curve = sorted({*curve, *values})
    return {
        "unit": unit,
        "law": fitted.text(),
        "parameters": fitted.parameters,
        "points": points,
        "log_y": log_y,
        "curve": [[x, fitted.at(x)] for x in curve],
    }


def measured(s, programs, rate):
    """{x: [per run]} of speed and of peak memory. `rate(x, run)` reads the speed."""
    values = in_turns(programs, s.runs, lambda x, run: {"rate": rate(x, run), "peak": run.peak_mib})
    return {x: each["rate"] for x, each in values.items()}, {
        x: each["peak"] for x, each in values.items()
    }


def small_model(s, name, *args):
    return s.model(
        name,
        "transformer_lm_gpt3_small",
        "--layers",
        LAYERS,
        "--width",
        WIDTH,
        "--heads",
        WIDTH // 64,
        "--vocabulary",
        VOCABULARY,
        *args,
    )


def context_memory(width):
    """MiB of activations for a batch of one row of T tokens: the larger of two moments.

    In a layer: its input, the normalised input, and 4C before and after the activation function. At
    the end:
    the features, and a tile of logits.
    """

    def of(length):
        return (
            max(
                4 * length * 10 * width,
                4 * length * width + 4 * min(length, TILE_ROWS) * TILE_COLUMNS,
            )
            / MIB
        )

    return of


def growth_context(s, table):
    """eval-lm by context length: the 125M shape, batches of one sample, fp32 on the CPU"""
    arch, vocabulary, width = "transformer_lm_gpt3_small", 50264, 768
    lengths = (256, 512) if s.quick else (256, 512, 1024, 2048, 4096)
    tokens = 1024 if s.quick else 8192
    folder = s.model(f"context-{tokens}", arch, "--tokens", tokens, "--positions", lengths[-1])
    programs = {
        length: s.btm(
            "eval-lm",
            folder / "data-bin",
            "--path",
            folder / "checkpoint_last.pt",
            "--gen-subset",
            "test",
            "--sample-break-mode",
            "none",
            "--tokens-per-sample",
            length,
            "--batch-size",
            1,
        )
        for length in lengths
    }
    rates, peaks = measured(s, programs, lambda _, run: run.number(TOKENS_PER_SECOND))
    linear = flops_per_token(arch, vocabulary, 0)
    attention = flops_per_token(arch, vocabulary, 1) - linear
    speed = plot(
        "tokens/s",
        rates,
        Law(
            "1 / (tokens/s) = a + b·T: products with the weights, and causal attention over T / 2 "
            "tokens",
            (Term("a", "ms", 1e3, lambda x: 1), Term("b", "µs", 1e6, lambda x: x)),
            shown=lambda _, v: 1 / v,
        ),
    )
    a, b = speed["parameters"]["a"], speed["parameters"]["b"]
    memory = plot(
        "MiB",
        peaks,
        Law(
            "peak = m + max(40·C·T, 4·C·T + 8192·min(T, 1024)) bytes: m the weights and the "
            "program, then the wider of a layer's feed-forward and "
            f"a tile of logits; C = {width}",
            (Term("m", "MiB", 1, lambda x: 1),),
            known=context_memory(width),
        ),
    )
    table.add_growth(
        {
            "name": "context",
            "title": "Context length",
            "x": "tokens of context (T)",
            "symbol": "T",
            "log_x": True,
            "plots": [speed, memory],
            "about": f"btm eval-lm, 125M shape, {tokens:,} tokens in all, one sample a batch, "
            f"{s.threads} threads.",
            "notes": [
                f"A token takes {linear / 1e6:.0f} MFLOP in products with the weights and "
                f"{attention / 1e3:.1f}·T kFLOP in attention: "
                f"{100 * attention * lengths[-1] / linear:.0f}% of the former at T = "
                f"{lengths[-1]:,}. Fitted, it takes {100 * b * lengths[-1] / a:.0f}% of "
                "their time."
            ],
        }
    )


def growth_experts(s, table):
    """ensemble-eval by number of experts: every expert scores every token, one expert in memory at
    a time"""
    counts = (1, 2) if s.quick else (1, 2, 4, 8, 16)
    tokens = 1024 if s.quick else 4096
    paths = [
        small_model(s, f"small-{tokens}-{i}", "--tokens", tokens, "--seed", i + 1)
        / "checkpoint_last.pt"
        for i in range(counts[-1])
    ]
    programs = {
        n: s.btm(
            "ensemble-eval",
            paths[0].parent / "data-bin",
            "--path",
            ":".join(map(str, paths[:n])),
            "--gen-subset",
            "test",
            "--tokens-per-sample",
            512,
            "--batch-size",
            2,
            "--ensemble-type",
            "uniform_prior",
            "--no-score-cache",
        )
        for n in counts
    }
    rates, peaks = measured(s, programs, lambda _, run: run.number(TOKENS_PER_SECOND))
    speed = plot(
        "tokens/s",
        rates,
        Law(
            "1 / (tokens/s) = t·n: every expert is opened and scores every token; mixing costs "
            "next to nothing",
            (Term("t", "ms", 1e3, lambda x: x),),
            shown=lambda _, v: 1 / v,
        ),
        log_y=True,
    )
    memory = plot(
        "MiB",
        peaks,
        Law(
            f"peak = m + 4·N·n bytes: one model at a time, and a score for each of N = {tokens:,} "
            f"tokens and n experts",
            (Term("m", "MiB", 1, lambda x: 1),),
            known=lambda n: 4 * tokens * n / MIB,
        ),
    )
    table.add_growth(
        {
            "name": "experts",
            "title": "Experts",
            "x": "experts (n)",
            "symbol": "n",
            "log_x": True,
            "plots": [speed, memory],
            "about": f"btm ensemble-eval, experts of {PARAMETERS / 1e6:.1f} M parameters "
            f"({LAYERS} layers of {WIDTH}, {VOCABULARY:,} words), "
            f"{tokens:,} tokens, batches of 2 × 512, {s.threads} threads.",
            "notes": [
                f"All {counts[-1]} experts together hold {counts[-1] * PARAMETERS * 4 / MIB:,.0f} "
                f"MiB of weights."
            ],
        }
    )


def growth_ranks(s, table):
    """train by number of ranks: Gloo on this machine, one thread per rank"""
    ranks = (1, 2) if s.quick else (1, 2, 3, 4)
    cores = len(os.sched_getaffinity(0))
    length, sentences, updates = 256 if s.quick else 512, 2, 4 if s.quick else 6
    folder = small_model(s, "ranks", "--tokens", 65536, "--splits", "train,valid")
    flags = train_flags(folder, updates, length, sentences) + [
        "--arch",
        "transformer_lm_gpt3_small",
        "--decoder-layers",
        LAYERS,
        "--decoder-embed-dim",
        WIDTH,
        "--decoder-ffn-embed-dim",
        4 * WIDTH,
        "--decoder-attention-heads",
        WIDTH // 64,
        "--save-dir",
        s.work / "ranks-save",
    ]
    one_thread = dataclasses.replace(s, threads=1)
    programs = {n: one_thread.btm("train", *flags, "--distributed-world-size", n) for n in ranks}
    rates, peaks = measured(s, programs, lambda _, run: training_rate(run, 2))
    batch = length * sentences
    speed = plot(
        "tokens/s",
        rates,
        Law(
            f"seconds an update = c·max(1, n / {cores}) + r·(n − 1): n batches on {cores} cores, "
            f"and a ring all-reduce, which moves "
            "2·(n − 1) times the gradients through one machine's memory",
            (Term("c", "s", 1, lambda n: max(1, n / cores)), Term("r", "s", 1, lambda n: n - 1)),
            shown=lambda n, v: n * batch / v,
        ),
    )
    memory = plot(
        "MiB",
        peaks,
        Law(
            "peak of one rank = m: each holds the whole model, its gradients and both moments (16 "
            "bytes a parameter) and one batch",
            (Term("m", "MiB", 1, lambda n: 1),),
        ),
    )
    table.add_growth(
        {
            "name": "ranks",
            "title": "Ranks",
            "x": "ranks (n)",
            "symbol": "n",
            "log_x": False,
            "plots": [speed, memory],
            "about": f"btm train --distributed-world-size n, {PARAMETERS / 1e6:.1f} M parameters, "
            f"{sentences} × {length} tokens a rank and update, one thread a "
            f"rank, {cores} cores. Memory is that of the largest rank.",
            "notes": [
                f"Values, gradients and moments are {16 * PARAMETERS / MIB:,.0f} MiB, gradients "
                f"alone {4 * PARAMETERS / MIB:,.0f} MiB."
            ],
        }
    )


def write_zipf_text(path, size, words=10_000, seed=1):
    """Writes about `size` bytes of lines of 25 random words by Zipf's law. Returns the line count.

    Beyond 32 MB it repeats random quarter megabytes of the text so far, because Python is slow.
    """
    numbers = random.Random(seed)
    vocabulary = list(
        dict.fromkeys(
            "".join(numbers.choices("etaoinshrdlu", k=numbers.randint(2, 9)))
            for _ in range(2 * words)
        )
    )[:words]
    cumulative, total = [], 0.0
    for rank in range(len(vocabulary)):
        total += 1 / (rank + 1)
        cumulative.append(total)

    def fresh():
        drawn = numbers.choices(vocabulary, cum_weights=cumulative, k=45_000)
        return "".join(
            " ".join(drawn[i : i + 25]) + "\n" for i in range(0, len(drawn), 25)
        ).encode()

    pool, lines, written = [], 0, 0
    with open(path, "wb") as text:
        while written < size:
            if written < 32_000_000:
                pool.append(fresh())
            block = pool[-1] if written < 32_000_000 else numbers.choice(pool)
            left = size - written
            if len(block) > left:
                block = block[: block.find(b"\n", left - 1) + 1]
            lines += block.count(b"\n")
            written += text.write(block)
    return lines


def growth_corpus(s, table):
    """preprocess by size of the text: one worker counts words and writes a data-bin"""
    sizes = (1, 4) if s.quick else (1, 10, 100, 1000)
    folder = s.work / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {size: folder / f"{size}MB.txt" for size in sizes}
    lines = {size: write_zipf_text(path, size * 1_000_000) for size, path in texts.items()}
    out, tokens, bytes_out = folder / "data-bin", {}, {}

    def start(size):
        shutil.rmtree(out, ignore_errors=True)
        return s.convert(
            "preprocess",
            "--only-source",
            "--trainpref",
            texts[size],
            "--destdir",
            out,
            "--workers",
            1,
        )()

    def rate(size, run):
        tokens[size] = int(run.number(r"(\d+) tokens"))
        bytes_out[size] = sum((out / f"train.{end}").stat().st_size for end in ("bin", "idx"))
        return texts[size].stat().st_size / 1e6 / run.seconds

    rates, peaks = measured(s, {size: lambda size=size: start(size) for size in sizes}, rate)
    speed = plot(
        "MB/s",
        rates,
        Law(
            "seconds = a + S / v: two passes over the text, and starting",
            (Term("a", "s", 1, lambda x: 1), Term("1/v", "ms a MB", 1e3, lambda x: x)),
            shown=lambda x, v: x / v,
        ),
    )
    memory = plot(
        "MiB",
        peaks,
        Law(
            "peak = m: blocks of text and their tokens. The documents' lengths, 4 bytes each, are "
            "kept while the data-bin is written, "
            "when the words are no longer counted",
            (Term("m", "MiB", 1, lambda x: 1),),
        ),
    )
    largest = sizes[-1]
    expected = 2 * tokens[largest] + 12 * lines[largest] + 26
    table.add_growth(
        {
            "name": "corpus",
            "title": "Corpus size",
            "x": "MB of text (S)",
            "symbol": "MB",
            "log_x": True,
            "plots": [speed, memory],
            "about": "btm-convert preprocess --workers 1, words by Zipf's law (10,000 types, 25 a "
            "line), dictionary and data-bin made.",
            "notes": [
                f"The data-bin of {largest:,} MB: {bytes_out[largest] / 1e6:,.2f} MB measured; 2 "
                f"bytes a token ({tokens[largest]:,}), 12 a document "
                f"({lines[largest]:,}) and 26 are {expected / 1e6:,.2f} MB."
            ],
        }
    )
    shutil.rmtree(folder)


GROWTH = {
    "context": growth_context,
    "experts": growth_experts,
    "ranks": growth_ranks,
    "corpus": growth_corpus,
}
