#!/usr/bin/env python3
"""Lays reports out in a headless browser at 400, 800, 1280 and 1920 pixels, with 2 and with 12
domains: nothing is wider than the window, and no two labels of a chart overlap or leave it.

    in_browser.py --bin FOLDER [--keep FOLDER]

--keep: keeps the pages, screenshots (light and dark) and PDFs there. Exit 77 (skipped) without
chromium.
"""
import argparse
import html
import json
import math
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

WIDTHS = (400, 800, 1280, 1920)
SKIPPED = 77
NAMES = "german jargon perl politics c2 c10 legislation newspapers chemistry go it music".split()

MEASURE = """<script>addEventListener("load",()=>{
const problems=[],width=innerWidth,shown=e=>e.getClientRects().length>0,
 name=e=>e.tagName+" '"+(e.textContent||"").trim().slice(0,30)+"'";
if(document.documentElement.scrollWidth>width)
 problems.push("the page is "+document.documentElement.scrollWidth+" wide");
for(const e of document.querySelectorAll("body *")){
 if(!shown(e)||e.closest(".scroll table,.scroll pre,svg"))continue;
 const r=e.getBoundingClientRect();
 if(r.right>width+1||r.left<-1)problems.push(name(e)+" leaves the window");}
let charts=0,labels=0;
for(const svg of document.querySelectorAll("svg")){
 if(!shown(svg))continue;
 charts++;
 const box=svg.getBoundingClientRect(),texts=[...svg.querySelectorAll("text")].map(e=>
  [e,e.getBoundingClientRect()]);
 for(const[e,r]of texts){labels++;
  if(r.left<box.left-1||r.right>box.right+1||r.top<box.top-1||r.bottom>box.bottom+1)
   problems.push(name(e)+" leaves "+svg.getAttribute("aria-label"));}
 for(let i=0;i<texts.length;i++)for(let j=i+1;j<texts.length;j++){
  const[e,a]=texts[i],[f,b]=texts[j];
  if(Math.min(a.right,b.right)-Math.max(a.left,b.left)>1&&
   Math.min(a.bottom,b.bottom)-Math.max(a.top,b.top)>4)
   problems.push(name(e)+" lies on "+name(f)+" in "+svg.getAttribute("aria-label"));}}
parent.postMessage({problems,charts,labels},"*");});</script>"""


def interval(value, share=0.02):
    return {"low": value * (1 - share), "high": value * (1 + share)}


def cell(ppl, base):
    return {
        "ppl": ppl,
        "ppl_low": ppl * 0.98,
        "ppl_high": ppl * 1.02,
        "loss_sum": 1e5 * math.log(ppl),
        "loss_base2": math.log2(ppl),
        "bits_per_byte": math.log2(ppl) / 3,
        "tokens": 100000,
        "bytes": 300000,
        "blocks": 195,
        "ratio": ppl / base,
        "ratio_low": ppl / base * 0.99,
        "ratio_high": ppl / base * 1.01,
    }


def matrix(domains):
    random.seed(1)
    rows = []
    models = (
        [
            ("mixture", "model"),
            ("seed", "model"),
            *((domain, "model") for domain in domains),
            ("dense", "model"),
        ]
        + [("average", "average")]
        + [
            (f"ensemble {kind}", "ensemble")
            for kind in ("cached_prior", "updating_prior", "simple_average")
        ]
    )
    for model, kind in models:
        values = {domain: 150 + 40 * random.random() - 60 * (domain == model) for domain in domains}
        mean = sum(values.values()) / len(values)
        rows.append(
            {
                "name": model,
                "parameters": 868700,
                "active_parameters": 868700,
                "kind": kind,
                "cells": {domain: cell(ppl, 160) for domain, ppl in values.items()},
                "mean": cell(mean, 160),
            }
        )
    posteriors = {}
    for domain in domains:
        batches = []
        for batch in range(40):
            weights = [1 + 0.3 * random.random() + batch * (name == domain) for name in domains]
            batches.append([weight / sum(weights) for weight in weights])
        posteriors[domain] = {"cached_prior": batches[-1], "batches": batches}
    return {
        "domains": domains,
        "experts": domains,
        "baseline": "dense",
        "fewest_blocks": 10,
        "block_tokens": 512,
        "rows": rows,
        "posteriors": posteriors,
    }


def routing(domains):
    """The shares of a mixture with two layers."""
    shares = [
        [[(9 if expert == domain else 1) / (8 + len(domains)) for expert in domains]] * 2
        for domain in domains
    ]
    return {
        "model": "mixture/checkpoint_last.pt",
        "router": "top2",
        "experts": domains,
        "layers": [0, 1],
        "domains": [
            {"domain": domain, "tokens": 16384, "mean": part[0], "shares": part}
            for domain, part in zip(domains, shares)
        ],
    }


def training_log(first, last, loss):
    lines = []
    for update in range(first + 10, last + 1, 10):
        loss *= 0.985
        lines.append(json.dumps({"num_updates": str(update), "loss": f"{loss:.3f}"}))
    return "\n".join(lines) + "\n"


def make_report(btm, folder, domains):
    """A report of a run that never was, from its matrix and its logs."""
    folder.mkdir()
    for domain in domains:
        (folder / domain).mkdir()
        for split in ("train", "valid", "test"):
            (folder / domain / f"{split}.txt").write_text("text\n")
    plan = folder / "my.plan"
    plan.write_text(
        f"[data]\ndomains = {', '.join(domains)}\ntext = {{domain}}\n[train]\nupdates = 300\n"
        "[mix]\nupdates = 30\n"
    )
    output = folder / "my-out"
    (output / "eval").mkdir(parents=True)
    (output / "logs").mkdir()
    (output / "eval/matrix.json").write_text(json.dumps(matrix(domains)))
    (output / "routing").mkdir()
    (output / "routing/routing.json").write_text(json.dumps(routing(domains)))
    (output / "logs/seed.log").write_text(training_log(0, 150, 10))
    for name in ["dense", *(f"expert.{domain}" for domain in domains)]:
        (output / f"logs/{name}.log").write_text(training_log(150, 300, 8))
    for domain in domains:
        (output / f"logs/preprocess.{domain}.log").write_text(
            f"{domain}/train: 1371 sequences, 95331 tokens; 0.031% replaced by <unk>; "
            "3 empty documents dropped; 6.8 MB/s\n"
        )
    subprocess.run([btm, "run", plan, "--report"], check=True)
    return output / "report.html"


def browse(browser, *flags):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    done = subprocess.run([*command, *map(str, flags)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"in_browser.py: {browser} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def measured(browser, page, width):
    """What MEASURE finds in the page, in a frame of that width."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    text = text.replace("</body>", MEASURE + "</body>")
    frame = page.parent / f"frame-{width}.html"
    frame.write_text(
        "<!doctype html><script>addEventListener('message',e=>{document.body.innerHTML="
        "'<pre id=found>'+encodeURIComponent(JSON.stringify(e.data))+'</pre>'})</script>"
        f'<body style="margin:0"><iframe style="border:0;width:{width}px;height:9000px" srcdoc="'
        f'{html.escape(text, quote=True)}"></iframe></body>'
    )
    dom = browse(
        browser,
        "--virtual-time-budget=4000",
        "--dump-dom",
        f"--window-size={max(width, 600)},9000",
        frame.as_uri(),
    )
    found = re.search(r"<pre id=\"found\">([^<']+)</pre>", dom)
    if not found:
        sys.exit(f"in_browser.py: no measurement of {page} at {width}")
    return json.loads(urllib.parse.unquote(found.group(1)))


def keep_pictures(browser, page, folder, name):
    for width in WIDTHS:
        for theme in ("light", "dark"):
            flags = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
            browse(
                browser,
                f"--window-size={width},{9000 if width < 800 else 5200}",
                *(flags if theme == "dark" else []),
                f"--screenshot={folder / f'{name}-{width}-{theme}.png'}",
                page.as_uri(),
            )
    browse(
        browser, f"--print-to-pdf={folder / f'{name}.pdf'}", "--no-pdf-header-footer", page.as_uri()
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--keep")
    args = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("skipped: chromium is not installed")
        sys.exit(SKIPPED)
    btm = pathlib.Path(args.bin).resolve() / "btm"
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="btm-pages-") as temporary:
        folder = pathlib.Path(args.keep or temporary).resolve()
        folder.mkdir(exist_ok=True)
        for count in (2, len(NAMES)):
            shutil.rmtree(folder / f"run-{count}", ignore_errors=True)
            page = make_report(btm, folder / f"run-{count}", NAMES[:count])
            for width in WIDTHS:
                found = measured(browser, page, width)
                if found["charts"] < 4 + count or found["labels"] < 20:
                    found["problems"].append("charts are missing")
                wrong += len(found["problems"])
                print(
                    f"{count} domains at {width}: {found['charts']} charts, {found['labels']} "
                    f"labels, {len(found['problems'])} problems"
                )
                for problem in found["problems"][:10]:
                    print("  " + problem)
            if args.keep:
                keep_pictures(browser, page, folder, f"report-{count}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
