"""Writes tests/golden/domain_token and demix_dapt with the DeMIX fork's own code.

Run it through scripts/make-demix-golden. The fork trains on GPUs alone: it asks for the ranks of a
process group and moves lengths to a GPU, so that a group of one rank is made here, and .cuda() does
nothing.

domain_token/checkpoint_last.pt   a model trained with --add-domain-token, no optimizer state
domain_token/log.jsonl            the rows of a training that starts from its weights
domain_token/samples.jsonl        source and target of the first samples of each domain
domain_token/eval.json            the fork's fairseq_cli/eval_lm.py on each domain
demix_dapt/dense.jsonl            an adaptation (--adaptation) of checkpoints/seed to politics
demix_dapt/expert.jsonl           the same of an expert, checkpoints/demix/checkpoint_last-rank-1.pt
demix_dapt/files.json             what the files of the second hold
"""
import json
import os
import pathlib
import re
import sys
import tempfile
import types

import torch
import torch.distributed

pandas = types.ModuleType("pandas")  # the fork writes a table with it, which nobody reads here
pandas.DataFrame = lambda rows: types.SimpleNamespace(to_json=lambda *_, **__: None)
ema = types.ModuleType("torch_ema")  # imported, and never called
ema.ExponentialMovingAverage = None
sys.modules.update(pandas=pandas, torch_ema=ema)

from omegaconf import OmegaConf  # noqa: E402

from fairseq import options, tasks  # noqa: E402
from fairseq.dataclass.utils import convert_namespace_to_omegaconf  # noqa: E402
from fairseq_cli import eval_lm, train  # noqa: E402
from logged_lines import run  # noqa: E402

DOMAINS = ("fortunes", "jargon", "perl")
TASK = "--task multidomain_language_modeling --sample-break-mode none "
SAME = TASK + "--cpu --log-format json --log-interval 1 --num-workers 0 --seed 1 --dropout 0.0 "
SAME += "--optimizer adam --adam-betas (0.9,0.95) --adam-eps 10e-8 --weight-decay 0.1 "
SAME += "--clip-norm 0.1 --lr-scheduler polynomial_decay --max-sentences 2 --disable-validation "
SAME += "--max-sentences-valid 2 --required-batch-size-multiple 1 --no-epoch-checkpoints "
SAME += "--valid-subset valid_fortunes --ddp-backend no_c10d --unbalanced "
SAME += "--skip-invalid-size-inputs-valid-test "
TOKEN = SAME + "--arch transformer_lm_gpt3_small --decoder-layers 2 --decoder-embed-dim 32 "
TOKEN += "--decoder-ffn-embed-dim 64 --decoder-attention-heads 2 --tokens-per-sample 64 "
TOKEN += "--criterion desynchronized_cross_entropy --lr 2e-2 --warmup-updates 4 --update-freq 1 "
TOKEN += "--total-num-update 40 --max-update 20 --add-domain-token "
ROWS = ("num_updates", "loss", "ppl", "gnorm", "clip", "lr", "wpb", "bsz")


def training_rows(lines):
    rows = []
    for line in lines:
        match = re.search(r'\{"epoch".*\}', line)
        row = json.loads(match.group()) if match else {}
        if "num_updates" in row:
            rows.append({key: row[key] for key in ROWS if key in row})
    return rows


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def trained(data, flags, folder):
    parser = options.get_training_parser()
    arguments = [str(data), *flags.split(), "--save-dir", str(folder)]
    lines, _ = run(train.main, parser, arguments)
    return training_rows(lines)


def without_optimizer(source, target):
    state = torch.load(source)
    state.pop("last_optimizer_state", None)
    torch.save(state, target)


def samples(data):
    flags = TASK + "--tokens-per-sample 64 --add-domain-token --unbalanced "
    flags += f"--train-domains {','.join(DOMAINS)} --eval-domains {','.join(DOMAINS)} "
    flags += "--arch transformer_lm_gpt3_small --max-sentences 2"
    parser = options.get_training_parser()
    args = options.parse_args_and_arch(parser, input_args=[str(data), *flags.split()])
    task = tasks.setup_task(convert_namespace_to_omegaconf(args).task)
    task.load_dataset("train")
    rows = []
    for domain, dataset in zip(DOMAINS, task.datasets["train"].datasets):
        for index in (0, 1, 5, len(dataset) - 1):
            item = dataset[index]
            row = {"domain": domain, "index": index, "size": int(dataset.sizes[index])}
            row |= {key: item[key].tolist() for key in ("source", "target")}
            rows.append(row)
    return rows


def domain_token(data, out, scratch):
    domains = ",".join(DOMAINS)
    flags = TOKEN + f"--train-domains {domains} --eval-domains {domains} "
    trained(data, flags, scratch / "token")
    model = out / "checkpoint_last.pt"
    without_optimizer(scratch / "token" / "checkpoint_last.pt", model)
    flags += f"--finetune-from-model {model} "
    write_rows(out / "log.jsonl", trained(data, flags, scratch / "continued"))
    write_rows(out / "samples.jsonl", samples(data))
    results = []
    for domain in DOMAINS:
        for forced in (None, "perl"):
            flags = TASK + f"--gen-subset test_{domain} --eval-domains {domain} --batch-size 2 "
            flags += f"--tokens-per-sample 64 --add-domain-token --original-domains {domains} "
            flags += f"--force-domain-token {forced} " if forced else ""
            arguments = [str(data), "--path", str(model), "--cpu", *flags.split()]
            lines, result = run(eval_lm.main, options.get_eval_lm_parser(), arguments)
            loss = float(result["loss"])
            results.append({"domain": domain, "forced": forced, "loss": loss})
    (out / "eval.json").write_text(json.dumps(results, indent=1) + "\n")


def readable(source, folder):
    """A copy of a checkpoint, or a rank's two files, whose configuration is a DictConfig."""
    folder.mkdir()
    for file in {source, source.with_name(re.sub("rank-[0-9]+", "shared", source.name))}:
        state = torch.load(file)
        state["cfg"] = OmegaConf.create(state["cfg"])
        torch.save(state, folder / file.name)
    return folder / source.name


def dapt(golden, out, scratch):
    """demix/dapt.sh's commands, on one rank, with the sizes of the tests' models."""
    flags = SAME + "--arch transformer_lm_gpt3_small --decoder-layers 2 --decoder-embed-dim 64 "
    flags += "--decoder-ffn-embed-dim 256 --decoder-attention-heads 4 --tokens-per-sample 128 "
    flags += "--criterion cross_entropy --lr 5e-3 --warmup-updates 2 --update-freq 2 "
    flags += "--total-num-update 20 --max-update 10 --adaptation "
    flags += "--train-domains politics --eval-domains politics --valid-subset valid_politics "
    expert = "--desynchronize --untie-parameters feedforward --data-parallel-groups 0 "
    expert += "--sync-type manual --checkpoint-suffix=-rank-0 "
    checkpoints = golden / "checkpoints"
    for name, start, more in (
        ("dense", checkpoints / "seed" / "checkpoint_last.pt", ""),
        ("expert", checkpoints / "demix" / "checkpoint_last-rank-1.pt", expert),
    ):
        start = readable(start, scratch / f"{name}_start")
        started = flags + more + f"--finetune-from-model {start} "
        rows = trained(golden / "data-bin", started, scratch / name)
        write_rows(out / f"{name}.jsonl", rows)
    files = sorted(path.name for path in (scratch / "expert").iterdir())
    parts = {}
    for file in files:
        state = torch.load(scratch / "expert" / file)
        parts[file] = {
            "model": len(state["model"]),
            "optimizer": sorted(state["last_optimizer_state"]["state"]),
            "params": state["last_optimizer_state"]["param_groups"][0]["params"],
        }
    (out / "files.json").write_text(json.dumps(parts, indent=1) + "\n")


def main():
    golden, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29431")
    torch.Tensor.cuda = lambda self, *_, **__: self
    torch.distributed.init_process_group("gloo", rank=0, world_size=1)
    with tempfile.TemporaryDirectory() as name:
        (out / "domain_token").mkdir(parents=True, exist_ok=True)
        domain_token(golden / "data-bin", out / "domain_token", pathlib.Path(name))
        (out / "demix_dapt").mkdir(parents=True, exist_ok=True)
        dapt(golden, out / "demix_dapt", pathlib.Path(name))


if __name__ == "__main__":
    main()
