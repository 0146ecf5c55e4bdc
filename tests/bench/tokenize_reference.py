"""The reference tokenizers for preprocess. Runs in the environment of scripts/tokenizers-env."""
import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"))
from reference_tokenizers import (
    gpt2_files,
    sentencepiece_processor,
    tiktoken_encoding,
    tokenizers_tokenizer,
)  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["gpt2-files", "tiktoken", "tokenizers", "sentencepiece"])
    parser.add_argument("text", nargs="?", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    args = parser.parse_args()
    if args.what == "gpt2-files":
        print("\n".join(map(str, gpt2_files())))
        return
    text = args.text.read_text(encoding="utf-8")
    lines = [line for line in (line.strip() for line in text.split("\n")) if line]
    if args.what == "tiktoken":
        encode = tiktoken_encoding(*gpt2_files()).encode_ordinary
    elif args.what == "tokenizers":
        tokenizer = tokenizers_tokenizer(*gpt2_files())
        encode = lambda line: tokenizer.encode(line).ids  # noqa: E731
    else:
        encode = sentencepiece_processor(args.model).encode
    start = time.monotonic()
    tokens = sum(len(encode(line)) for line in lines)
    seconds = time.monotonic() - start
    print(f"{tokens} tokens, {len(text.encode()) / 1e6 / seconds:.2f} MB/s")


if __name__ == "__main__":
    main()
