"""btm mix and btm routing."""

from case import Case

ELM = "{golden}/checkpoints/elm_"
TWO = [f"perl={ELM}perl", f"jargon={ELM}jargon"]
MIX = ["btm", "mix", *TWO, "--output", "out", "--cpu"]
OUT = "out/checkpoint_last.pt"


def no_output(folder):
    left = [path for path in folder.rglob("*") if path.name != "given.pt"]
    assert not left, f"left behind: {left}"


def mixed(folder):
    assert [path.name for path in (folder / "out").iterdir()] == ["checkpoint_last.pt"]


def there_already(folder):
    (folder / "out").mkdir()
    (folder / OUT).write_text("trained")


def routed_already(folder):
    (folder / "routing").mkdir()
    (folder / "routing/routing.json").write_text("{}")


def is_kept(folder):
    assert (folder / OUT).read_text() == "trained"


def refused(name, args, phrase, status=2):
    return Case(
        f"mix: {name}",
        ["btm", "mix", *args],
        status,
        stderr=["btm mix: error: ", phrase],
        check=no_output,
    )


CASES = [
    Case(
        "mix two experts",
        MIX,
        stdout=[OUT, "2 experts in 2 layers (top2)", "--moe-expert-count 2 --moe-router top2"],
        check=mixed,
    ),
    Case(
        "mix: top1, and weights for what is averaged",
        [*MIX, "--moe-router", "top1", "--weights", "0.25,0.75"],
        stdout=["(top1)"],
        check=mixed,
    ),
    Case(
        "mix: an output that is there",
        MIX,
        1,
        setup=there_already,
        stderr=[OUT, "--overwrite"],
        check=is_kept,
    ),
    refused("no output", TWO, "missing --output"),
    refused("no models", ["--output", "out"], "missing [NAME=]MODEL"),
    refused("a mistyped flag", [*TWO, "--output", "out", "--ruoter", "domain"], "--router"),
    refused("a router without text", [*TWO, "--output", "out", "--router", "domain"], "--data DIR"),
    refused(
        "text that nothing reads",
        [*TWO, "--output", "out", "--data", "{golden}/data-bin"],
        "--data belongs to --router domain and posterior",
    ),
    refused("an expert that is not there", [f"{ELM}law", "--output", "out"], "elm_law", 1),
    refused("too many weights", [*TWO, "--output", "out", "--weights", "1,0,0"], "3 weights"),
    refused(
        "an expert to leave out that is not there",
        [*TWO, "--output", "out", "--without", "law"],
        "law",
    ),
    refused("--add without a mixture", [*TWO, "--output", "out", "--add", f"{ELM}perl"], "--add"),
    refused(
        "a domain without text",
        [
            f"law={ELM}perl",
            "--output",
            "out",
            "--router",
            "posterior",
            "--data",
            "{golden}/data-bin",
            "--cpu",
        ],
        "law",
    ),
    refused(
        "routers of a dense model",
        [*TWO, "--output", "out", "--router-from", f"{ELM}perl"],
        "has no routers",
        1,
    ),
    refused(
        "another shape", [TWO[0], "{golden}/pad_inside/start.pt", "--output", "out"], "start.pt", 1
    ),
    Case(
        "routing of a dense model",
        ["btm", "routing", "{golden}/data-bin", f"{ELM}perl", "--cpu"],
        2,
        stderr=["has no routers"],
        check=no_output,
    ),
    Case(
        "routing over a result",
        ["btm", "routing", "{golden}/data-bin", f"{ELM}perl", "--cpu"],
        1,
        stderr=["routing/routing.json: is there already (--overwrite replaces it)"],
        setup=routed_already,
    ),
]
