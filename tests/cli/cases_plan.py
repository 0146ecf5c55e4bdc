"""btm plan."""
from case import Case

CASES = [
    Case(
        "estimate",
        ["btm", "plan", "--estimate"],
        stdout=[
            "1,024",
            "GPU hours",
            "assumption",
            "1,313,644,544",
            "failures, waiting in queues, evaluation",
        ],
    ),
    Case(
        "another scale",
        [
            "btm",
            "plan",
            "--estimate",
            "--scale",
            "125M",
            "--experts",
            "8",
            "--more-experts",
            "8",
            "--tflops",
            "50",
        ],
        stdout=["50 TFLOP/s (given)", "12, 768, 50264"],
    ),
    Case("nothing asked for", ["btm", "plan"], 2, stderr=["expected --estimate"]),
    Case(
        "unknown scale",
        ["btm", "plan", "--estimate", "--scale", "7B"],
        2,
        stderr=["'7B', expected 125M, 350M, 750M or 1.3B"],
    ),
    Case(
        "no speed",
        ["btm", "plan", "--estimate", "--tflops", "0"],
        2,
        stderr=["flag --tflops: '0', expected a number above 0"],
    ),
]
