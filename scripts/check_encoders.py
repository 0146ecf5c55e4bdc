"""Compares btm-convert's encoders with fairseq's own. scripts/check-tokenizers runs it.

It runs in the environment of scripts/fairseq-env, with the packages of make-encoders-golden --env.
Exit 1 when anything differs.
"""
import argparse
import pathlib
import sys
import tempfile
from argparse import Namespace

import fastBPE as fast_bpe_library
import sacremoses
from check_tokenizers import ROOT, differences, ours
from fairseq.data.encoders.bytes import Bytes
from fairseq.data.encoders.characters import Characters
from fairseq.data.encoders.fastbpe import fastBPE
from fairseq.data.encoders.hf_byte_bpe import HuggingFaceByteLevelBPE
from fairseq.data.encoders.moses_tokenizer import MosesTokenizer
from fairseq.data.encoders.space_tokenizer import SpaceTokenizer
from sample_text import awkward_lines, machine_text

LANGUAGES = ("en", "fr", "de", "cs", "hi", "zh", "ja", "ko")
GOLDEN = ROOT / "tests/golden"


def words_by(encode):
    """The symbols of lines, as Dictionary.encode_line splits what an encoder writes."""
    return lambda batch: [encode(line).split() for line in batch]


def moses(language, **more):
    config = dict(moses_no_dash_splits=False, moses_no_escape=False) | more
    return MosesTokenizer(Namespace(source_lang=language, target_lang=language, **config)).encode


def references():
    """The name, btm-convert's flags and fairseq's encoder of each kind."""
    codes, vocabulary = str(GOLDEN / "encoders/codes"), str(GOLDEN / "encoders/vocab")
    encoder, merges = str(GOLDEN / "gpt2/encoder.json"), str(GOLDEN / "gpt2/vocab.bpe")
    fast = ["--bpe", "fastbpe", "--bpe-codes", codes]
    byte_bpe = ["--bpe", "hf_byte_bpe", "--bpe-vocab", encoder, "--bpe-merges", merges]
    limited = fast_bpe_library.fastBPE(codes, vocabulary)
    theirs = HuggingFaceByteLevelBPE(
        Namespace(bpe_vocab=encoder, bpe_merges=merges, bpe_add_prefix_space=False)
    )
    space = SpaceTokenizer()
    yield "characters", ["--bpe", "characters"], Characters().encode
    yield "bytes", ["--bpe", "bytes"], Bytes().encode
    yield "fastbpe", fast, fastBPE(Namespace(bpe_codes=codes)).encode
    yield (
        "fastbpe with a vocabulary",
        [*fast, "--fastbpe-vocab", vocabulary],
        lambda line: limited.apply([line])[0],
    )
    yield "hf_byte_bpe", byte_bpe, theirs.encode
    yield (
        "space and hf_byte_bpe",
        [*byte_bpe, "--tokenizer", "space"],
        lambda line: theirs.encode(space.encode(line)),
    )
    data = ["--tokenizer", "moses", "--moses-data"]
    data.append(str(pathlib.Path(sacremoses.__file__).parent / "data"))
    for language in LANGUAGES:
        yield f"moses, {language}", [*data, "--moses-source-lang", language], moses(language)
    yield (
        "moses without dashes and escapes",
        [*data, "--moses-no-dash-splits", "--moses-no-escape"],
        moses("en", moses_no_dash_splits=True, moses_no_escape=True),
    )
    before, merge = moses("en"), fastBPE(Namespace(bpe_codes=codes)).encode
    yield "moses and fastbpe", [*data, *fast], lambda line: merge(before(line))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=1)
    args = parser.parse_args()
    lines = (GOLDEN / "cbtm/lines.txt").read_text(encoding="utf-8").split("\n")  # 20 scripts
    lines += awkward_lines(200_000, seed=7)
    lines += machine_text(int(args.megabytes * 1_000_000)).decode().split("\n")
    lines = [line.strip() for line in lines if "\r" not in line]
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "text").write_bytes("".join(f"{line}\n" for line in lines).encode())
        for reference, flags, encode in references():
            with ours(folder, folder / "text", flags) as found:
                count, first, symbols = differences(found, lines, words_by(encode))
            failed = failed or count > 0
            print(
                f"{'FAIL' if count else 'ok  '} fairseq's {reference}: {len(lines)} lines, "
                f"{symbols} symbols, {count} lines differ {first}",
                flush=True,
            )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
