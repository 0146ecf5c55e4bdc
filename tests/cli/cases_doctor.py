"""btm doctor and btm cache."""
import json

from case import Case

HASH = "a" * 64


def cache(folder):
    data = folder / "cache" / HASH
    data.mkdir(parents=True)
    (data / "m.scores").write_bytes(b"BTMSCOR2" + bytes(1000))
    (folder / "cache" / f"{HASH}.digest").write_text(HASH)
    (folder / "cache" / "keep.txt").write_text("mine")


def is_examination(text):
    findings = json.loads(text)["findings"]
    assert [finding["name"] for finding in findings][:2] == ["btm", "LibTorch"], findings
    assert len(findings) == 10, findings


def has_ten_lines(text):
    lines = text.splitlines()
    assert len(lines) == 10, text
    assert all(line.split()[0] in ("ok", "note", "unfit") for line in lines), text


def has_only(*names):
    def check(folder):
        found = sorted(path.name for path in (folder / "cache").rglob("*") if path.is_file())
        assert found == sorted(names), found

    return check


def sums(text):
    found = json.loads(text)
    assert found["scores"] == {"files": 1, "bytes": 1008}, found
    assert found["digests"] == {"files": 1, "bytes": 64}, found


CLEAR = ["btm", "cache", "clear", "--folder", "cache"]
CASES = [
    Case("doctor has ten lines", ["btm", "doctor"], check_stdout=has_ten_lines),
    Case("doctor as JSON", ["btm", "doctor", "--json"], check_stdout=is_examination),
    Case("doctor takes no argument", ["btm", "doctor", "x"], 2, stderr=["unexpected argument"]),
    Case(
        "cache list",
        ["btm", "cache", "list", "--folder", "cache"],
        setup=cache,
        stdout=["scores         1  0.0", "in cache"],
    ),
    Case(
        "cache list as JSON",
        ["btm", "cache", "list", "--json", "--folder", "cache"],
        setup=cache,
        check_stdout=sums,
    ),
    Case(
        "cache list of no folder",
        ["btm", "cache", "list", "--folder", "none"],
        stdout=["scores         0  0.0"],
    ),
    Case(
        "cache clear",
        CLEAR,
        setup=cache,
        stdout=["freed 0.0 MB in cache"],
        check=has_only("keep.txt"),
    ),
    Case(
        "cache clear of scores",
        CLEAR + ["--what", "scores"],
        setup=cache,
        check=has_only("keep.txt", f"{HASH}.digest"),
    ),
    Case(
        "cache clear of what is old",
        CLEAR + ["--older-than", "1"],
        setup=cache,
        check=has_only("keep.txt", f"{HASH}.digest", "m.scores"),
    ),
    Case(
        "cache clear of what there is not",
        CLEAR + ["--what", "everything"],
        2,
        stderr=["btm cache clear: error: flag --what: 'everything', expected one of all, scores"],
    ),
    Case(
        "completion of no shell",
        ["btm", "completion", "tcsh"],
        2,
        stderr=["'tcsh', expected one of bash, zsh, fish"],
    ),
    Case(
        "completion of bash",
        ["btm-convert", "completion", "bash"],
        stdout=["complete -o bashdefault -o default -F _btm_convert btm-convert"],
    ),
    Case("a manual page", ["btm", "manual"], stdout=[".TH BTM 1 ", ".BR btm\\-eval\\-lm (1)"]),
    Case(
        "a manual page of a command",
        ["btm", "manual", "--page", "btm-expert-add"],
        stdout=[".TH BTM\\-EXPERT\\-ADD 1 ", ".B \\-\\-from START"],
    ),
    Case(
        "a manual page that is not there",
        ["btm", "manual", "--page", "btm-fly"],
        2,
        stderr=["flag --page: 'btm-fly', expected one of btm, btm-average"],
    ),
]
