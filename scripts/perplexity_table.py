#!/usr/bin/env python3
"""Evaluates models on domains with `btm eval-lm` and shows the perplexities: a table, JSON and an HTML report.

    scripts/perplexity_table.py --btm build/bin/btm --data DATA --domains a,b --split test --out DIR NAME=CHECKPOINT...

Domain D's set is DATA/D/SPLIT_D (BTM's layout).
"""
import argparse
import html
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile


def evaluate(args, checkpoint, domain, folder):
    """One `btm eval-lm` run: its results as a dict. Exits with btm's own message when it fails."""
    results = pathlib.Path(folder) / "results.json"
    command = [args.btm, "eval-lm", str(pathlib.Path(args.data) / domain), "--path", checkpoint,
               "--gen-subset", f"{args.split}_{domain}", "--sample-break-mode", "none",
               "--tokens-per-sample", str(args.tokens_per_sample), "--batch-size", str(args.batch_size),
               "--no-progress-bar", "--quiet", "--results-path", str(results)]
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr.strip() or f"{' '.join(command)}: exit {run.returncode}")
    return json.loads(results.read_text())


def text_table(models, domains, rows):
    """Models in rows, domains in columns; the best of each column is starred."""
    width = max(len(name) for name in ["model", *models])
    best = {d: min(rows[m][d]["ppl"] for m in models) for d in domains}
    lines = ["  ".join(["model".ljust(width), *(d.rjust(10) for d in domains)])]
    for model in models:
        cells = []
        for domain in domains:
            ppl = rows[model][domain]["ppl"]
            cells.append(f"{ppl:.2f}{'*' if ppl == best[domain] else ' '}".rjust(11))
        lines.append(" ".join([model.ljust(width), *cells]))
    return "\n".join(lines)


def html_report(models, domains, rows, args):
    """The table as a heat map: colour is the perplexity relative to the domain's best model (log scale)."""
    best = {d: min(rows[m][d]["ppl"] for m in models) for d in domains}
    worst_ratio = max(rows[m][d]["ppl"] / best[d] for m in models for d in domains)
    left, top, cell_w, cell_h = 30 + 8 * max(map(len, models)), 60, 120, 44
    width, height = left + cell_w * len(domains) + 20, top + cell_h * len(models) + 20
    parts = []
    for column, domain in enumerate(domains):
        parts.append(f'<text x="{left + cell_w * column + cell_w / 2}" y="{top - 14}" text-anchor="middle">'
                     f"{html.escape(domain)}</text>")
    for line, model in enumerate(models):
        y = top + cell_h * line
        parts.append(f'<text x="{left - 12}" y="{y + cell_h / 2 + 5}" text-anchor="end">{html.escape(model)}</text>')
        for column, domain in enumerate(domains):
            cell = rows[model][domain]
            ratio = cell["ppl"] / best[domain]
            share = 0 if worst_ratio == 1 else math.log(ratio) / math.log(worst_ratio)
            x = left + cell_w * column
            weight = "bold" if ratio == 1 else "normal"
            parts.append(
                f'<g><title>{html.escape(model)} on {html.escape(domain)}: loss {cell["loss_base2"]:.4f} bits, '
                f'{cell["tokens"]} tokens, {ratio:.3f} times the best</title>'
                f'<rect x="{x + 2}" y="{y + 2}" width="{cell_w - 4}" height="{cell_h - 4}" rx="4" '
                f'fill="hsl(210 70% {50 + 45 * share:.1f}%)"/>'
                f'<text x="{x + cell_w / 2}" y="{y + cell_h / 2 + 5}" text-anchor="middle" font-weight="{weight}" '
                f'fill="{"#fff" if share < 0.45 else "#123"}">{cell["ppl"]:.2f}</text></g>')
    drawing = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Perplexity by model and domain</title>
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:{max(width, 640)}px;color:#123}}
svg text{{font:14px system-ui,sans-serif;fill:currentColor}} svg g text{{fill:inherit}}
p{{line-height:1.5}} code{{background:#eef2f7;padding:.1em .3em;border-radius:3px}}</style></head><body>
<h1>Perplexity by model and domain</h1>
<p>Set <code>{html.escape(args.split)}</code> of each domain, {args.tokens_per_sample} tokens per sample.
Darker is better, relative to the best model of the column (bold). Point at a cell for its loss in bits.</p>
<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"
 aria-label="Perplexity of {len(models)} models on {len(domains)} domains">
{drawing}
</svg></body></html>
"""


def write_atomically(path, text):
    """A reader sees the old file or the new one, never half of one."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, suffix=".tmp") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--btm", default="build/bin/btm")
    parser.add_argument("--data", required=True)
    parser.add_argument("--domains", required=True, help="comma separated")
    parser.add_argument("--split", default="test")
    parser.add_argument("--tokens-per-sample", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for perplexities.json and report.html")
    parser.add_argument("models", nargs="+", metavar="NAME=CHECKPOINT")
    args = parser.parse_args()
    models = dict(entry.partition("=")[::2] for entry in args.models)
    for name, checkpoint in models.items():
        if not checkpoint:
            parser.error(f"'{name}': expected NAME=CHECKPOINT")
    domains = args.domains.split(",")

    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, checkpoint in models.items():
            rows[name] = {}
            for domain in domains:
                if sys.stderr.isatty():
                    print(f"\r\033[K{name} on {domain} ...", end="", file=sys.stderr, flush=True)
                rows[name][domain] = evaluate(args, checkpoint, domain, folder)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)

    args.out.mkdir(parents=True, exist_ok=True)
    short = {m: {d: {k: r[k] for k in ("ppl", "loss_base2", "tokens")} for d, r in row.items()} for m, row in rows.items()}
    write_atomically(args.out / "perplexities.json", json.dumps(short, indent=1) + "\n")
    write_atomically(args.out / "report.html", html_report(list(models), domains, rows, args))
    print(text_table(list(models), domains, rows))
    print(f"\n* best of its column. Also in {args.out}/perplexities.json and {args.out}/report.html")


if __name__ == "__main__":
    main()
