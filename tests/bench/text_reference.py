"""The other side of bench_text.py: texts continued by transformers and CTranslate2, and scored by
fairseq's hub interface. Runs in the environments that scripts/transformers-env names.

Prints the figures that scripts/bench reads. Loading a model is not counted.
"""
import argparse
import pathlib
import time


def prompts_of(args):
    lines = pathlib.Path(args.prompts).read_text().splitlines()
    numbers = {
        line.split()[0]: place + 4
        for place, line in enumerate(pathlib.Path(args.dictionary).read_text().splitlines())
    }
    eos = 2
    return [[eos] + [numbers[word] for word in line.split()] for line in lines]


def in_batches(rows, size):
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def print_rate(tokens, start):
    seconds = time.monotonic() - start
    print(f"{tokens} new tokens in {seconds:.2f} s ({tokens / seconds:.2f} tokens/s)")


def transformers_command(args):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(args.model, torch_dtype=torch.float32).eval()
    start, tokens = time.monotonic(), 0
    with torch.inference_mode():
        for batch in in_batches(prompts_of(args), args.batch):
            ids = torch.tensor(batch)
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=args.new,
                max_new_tokens=args.new,
            )
            tokens += (out.shape[1] - ids.shape[1]) * ids.shape[0]
    print_rate(tokens, start)


def write_tokenizer(model, dictionary):
    """A tokenizer of words, without which CTranslate2 converts nothing."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>"]
    words += [line.split()[0] for line in pathlib.Path(dictionary).read_text().splitlines()]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(model)


def ctranslate2_command(args):
    import ctranslate2

    converted = pathlib.Path(args.model) / "ctranslate2"
    if not converted.exists():
        write_tokenizer(args.model, args.dictionary)
        ctranslate2.converters.TransformersConverter(args.model).convert(str(converted))
    generator = ctranslate2.Generator(str(converted), device="cpu", intra_threads=args.threads)
    names = ctranslate2_words(converted)
    start, tokens = time.monotonic(), 0
    for batch in in_batches(prompts_of(args), args.batch):
        for result in generator.generate_batch(
            [[names[place] for place in prompt] for prompt in batch],
            min_length=args.new,
            max_length=args.new,
            sampling_topk=1,
            include_prompt_in_result=False,
        ):
            tokens += len(result.sequences_ids[0])
    print_rate(tokens, start)


def ctranslate2_words(folder):
    import json

    (file,) = folder.glob("vocabulary.json")
    return json.loads(file.read_text())


def score_command(args):
    """fairseq's SequenceScorer, which its hub interface calls, over batches of like lengths."""
    import torch
    from fairseq.data import data_utils
    from fairseq.sequence_scorer import SequenceScorer
    from reference import load_data, load_model

    torch.set_num_threads(args.threads)
    model = load_model(args.model)
    scorer = SequenceScorer(load_data(args.model, 512).vocab)
    texts = sorted(prompts_of(args), key=len)
    start, tokens = time.monotonic(), 0
    with torch.inference_mode():
        while texts:
            count = max(1, min(len(texts), 2048 // len(texts[-1])))
            batch, texts = texts[-count:], texts[:-count]
            rows = [torch.tensor(row) for row in batch]
            sample = {
                "net_input": {
                    "src_tokens": data_utils.collate_tokens(rows, 1),
                    "src_lengths": torch.tensor([len(row) for row in rows]),
                },
                "target": data_utils.collate_tokens(
                    [torch.cat([row[1:], row[:1]]) for row in rows], 1
                ),
            }
            for found in scorer.generate([model], sample):
                tokens += len(found[0]["positional_scores"])
    print_rate(tokens, start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, run in (
        ("transformers", transformers_command),
        ("ctranslate2", ctranslate2_command),
        ("score", score_command),
    ):
        command = commands.add_parser(name)
        command.add_argument("model")
        command.add_argument("prompts")
        command.add_argument("dictionary")
        command.add_argument("--batch", type=int, default=1)
        command.add_argument("--new", type=int, default=64)
        command.add_argument("--threads", type=int, default=2)
        command.set_defaults(run=run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
