"""The reference of scripts/bench where fairseq has no command line for the task. Runs in fairseq's
environment.

Written from the formulas and the public interfaces. Prints figures that scripts/bench reads.
"""
import argparse
import math
import pathlib
import random
import time

import torch


def load_model(path, mmap=False):
    """A fairseq model in fp32, loaded with fairseq's functions."""
    from fairseq import checkpoint_utils

    data = str(pathlib.Path(path).parent / "data-bin")
    state = None
    if mmap:
        from omegaconf import OmegaConf

        state = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
        state["cfg"] = OmegaConf.create(state["cfg"])
        state["cfg"].task.data = data
    models, _, _ = checkpoint_utils.load_model_ensemble_and_task(
        [str(path)], arg_overrides={"data": data}, state=state
    )
    return models[0].float().eval()


def load_data(path, tokens_per_sample):
    from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask

    task = LanguageModelingTask.setup_task(
        LanguageModelingConfig(
            data=str(pathlib.Path(path).parent / "data-bin"),
            tokens_per_sample=tokens_per_sample,
            sample_break_mode="none",
            dataset_impl=None,
            use_plasma_view=False,
            seed=1,
        )
    )
    task.load_dataset("test")
    return task.dataset("test")


def log_probs(model, tokens):
    """[B, T]: the log-probability of every token after the first, given the tokens before it."""
    logits, _ = model(tokens[:, :-1])
    return torch.log_softmax(logits.float(), -1).gather(2, tokens[:, 1:].unsqueeze(2)).squeeze(2)


def open_command(args):
    start = time.monotonic()
    model = load_model(args.path, args.mmap)
    with torch.inference_mode():
        log_probs(model, torch.full((1, 17), 5))
    print(f"ready and scored in {time.monotonic() - start:.3f} s")


def average_command(args):
    """As in the release: all files in memory, then the weighted sum of the stacked tensors."""
    states = [torch.load(path, map_location="cpu") for path in args.paths]
    weight = 1 / len(states)
    models = [state["model"] for state in states]
    merged = dict(states[0])
    with torch.no_grad():
        merged["model"] = {
            name: torch.stack([model[name] * weight for model in models]).sum(0)
            for name in models[0]
        }
    torch.save(merged, args.out)


def ensemble_command(args):
    """The mixture, weighted by the posterior over experts given the previous target, batch by
    batch."""
    models = [load_model(path) for path in args.paths]
    dataset = load_data(args.paths[0], args.tokens_per_sample)
    prior = torch.full((len(models),), 1 / len(models))
    score, count, start = 0.0, 0, time.monotonic()
    with torch.inference_mode():
        for first in range(0, min(len(dataset), args.blocks), args.batch_size):
            sample = dataset.collater(
                [
                    dataset[i]
                    for i in range(first, min(first + args.batch_size, len(dataset), args.blocks))
                ]
            )
            source, target = sample["net_input"]["src_tokens"], sample["target"]
            expert = torch.stack(
                [
                    torch.log_softmax(model(source)[0].float(), -1)
                    .gather(2, target.unsqueeze(2))
                    .squeeze(2)
                    for model in models
                ]
            )  # [E, B, T]
            posterior = torch.full_like(expert, 1 / len(models))
            weighted = prior.view(-1, 1, 1) * expert[:, :, :-1].exp()
            posterior[:, :, 1:] = weighted / weighted.sum(0, keepdim=True)
            mixed = (posterior * expert.exp()).sum(0).log()
            score += mixed.sum().item()
            count += mixed.numel()
    seconds = time.monotonic() - start
    print(
        f"Evaluated {count} tokens in {seconds:.1f}s ({count / seconds:.2f} tokens/s), loss "
        f"{-score / count / math.log(2):.4f}"
    )


def data_bin_command(args):
    from fairseq.data.indexed_dataset import make_dataset

    dataset, numbers, tokens = make_dataset(args.path, "mmap"), random.Random(1), 0
    start = time.monotonic()
    for _ in range(20000):
        tokens += len(dataset[numbers.randrange(len(dataset))][:1024])
    print(f"{tokens / (time.monotonic() - start):.0f} tokens/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    opening = commands.add_parser("open")
    opening.add_argument("--mmap", action="store_true")
    opening.add_argument("path")
    opening.set_defaults(run=open_command)
    averaging = commands.add_parser("average")
    averaging.add_argument("out")
    averaging.add_argument("paths", nargs="+")
    averaging.set_defaults(run=average_command)
    ensemble = commands.add_parser("ensemble")
    ensemble.add_argument("--blocks", type=int, default=8)
    ensemble.add_argument("--batch-size", type=int, default=2)
    ensemble.add_argument("--tokens-per-sample", type=int, default=512)
    ensemble.add_argument("paths", nargs="+")
    ensemble.set_defaults(run=ensemble_command)
    reading = commands.add_parser("data-bin")
    reading.add_argument("path")
    reading.set_defaults(run=data_bin_command)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
