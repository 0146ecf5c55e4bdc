"""Files of public bug reports, with fairseq's numbers for them (tests/golden/reports)."""
from case import Case

DATA = "{golden}/reports/data"
FLAGS = ["--gen-subset", "test", "--tokens-per-sample", "32", "--batch-size", "4"]


def eval_lm(name):
    return ["btm", "eval-lm", DATA, "--path", "{golden}/reports/" + name] + FLAGS


CASES = [
    Case("a tensor with torch's negative bit", eval_lm("neg_bit.pt"), stdout=["Loss (base 2): 3.5214, Perplexity: 11.48"]),
]
