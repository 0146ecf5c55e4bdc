#!/usr/bin/env python3
"""Runs the command lines of tests/cli/cases_*.py and compares exit status, standard output and
standard error.

To add cases, write a file cases_NAME.py here with a list CASES of case.Case.
"""
import argparse
import concurrent.futures
import ctypes
import importlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
sys.path.insert(0, str(HERE))

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def drop_root_reading() -> None:
    """Runs in the child process, so that permissions apply to root too."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def root_cannot_be_dropped() -> bool:
    """Whether `unprivileged` cases cannot be tested here: root cannot give up its rights."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(prefix="btm-cli-") as folder:
        file = pathlib.Path(folder) / "secret"
        file.write_text("")
        file.chmod(0)
        done = subprocess.run(
            ["cat", str(file)], preexec_fn=drop_root_reading, stderr=subprocess.DEVNULL
        )
        return done.returncode == 0


def is_sanitized(program: pathlib.Path) -> bool:
    """Whether the program reserves terabytes of addresses (AddressSanitizer), so that limits would
    stop it at its start."""
    return b"__asan_init" in program.read_bytes()


def fill(text: str, folder: pathlib.Path) -> str:
    return text.replace("{golden}", str(GOLDEN)).replace("{tmp}", str(folder))


def interrupt_on(stream, phrase: str, process: subprocess.Popen, seen: list) -> None:
    sent = False
    for line in iter(stream.readline, b""):
        seen.append(line)
        if not sent and phrase in line.decode(errors="replace"):
            process.send_signal(signal.SIGINT)
            sent = True


def execute(case, programs: pathlib.Path, folder: pathlib.Path):
    """(status, stdout, stderr) of the case. The status is None when it ran too long."""
    command = [str(programs / case.args[0])] + [fill(arg, folder) for arg in case.args[1:]]
    closed = case.stdout_to == "closed"
    target = open(case.stdout_to, "wb") if case.stdout_to and not closed else subprocess.PIPE

    def in_child() -> None:
        if case.unprivileged:
            drop_root_reading()
        if closed:
            os.close(1)
        for limited, most in case.limits:
            resource.setrlimit(limited, (most, most))

    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=target,
        stderr=subprocess.PIPE,
        preexec_fn=in_child if case.unprivileged or closed or case.limits else None,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
    )
    if target is not subprocess.PIPE:
        target.close()
    try:
        if case.interrupt_at is None:
            out, err = process.communicate(timeout=case.timeout)
        else:
            seen = []
            reader = threading.Thread(
                target=interrupt_on, args=(process.stderr, case.interrupt_at, process, seen)
            )
            reader.start()
            process.wait(timeout=case.timeout)
            reader.join()
            out, err = process.stdout.read(), b"".join(seen)
            process.stdout.close()
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, "", ""
    return process.returncode, (out or b"").decode(errors="replace"), err.decode(errors="replace")


def problems_of(case, programs: pathlib.Path) -> list:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="btm-cli-"))
    try:
        if case.setup:
            case.setup(folder)
        status, out, err = execute(case, programs, folder)
        if status is None:
            return [f"ran longer than {case.timeout} s"]
        found = []
        if status != case.status:
            found.append(f"status {status}, expected {case.status}")
        for name, text, phrases in (("stdout", out, case.stdout), ("stderr", err, case.stderr)):
            found += [
                f"{name} lacks {fill(phrase, folder)!r}"
                for phrase in phrases
                if fill(phrase, folder) not in text
            ]
        # The names of files, folders and models must not control a terminal or forge lines of a
        # log.
        raw = {c for c in out + err if (ord(c) < 0x20 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0}
        if raw:
            found.append(f"control characters are printed raw: {sorted(raw)}")
        found += [f"stdout contains {phrase!r}" for phrase in case.never if phrase in out]
        if case.status in (1, 2):
            lines = err.splitlines()
            if len(lines) != (case.lines_on_stderr or 1):
                found.append(f"{len(lines)} lines on stderr, expected {case.lines_on_stderr or 1}")
            if lines and ": error: " not in lines[-1]:
                found.append("the last line on stderr is no error message")
            if out and not case.prints_before_error:
                found.append("output on stdout in spite of an error")
        for check, subject in ((case.check, folder), (case.check_stdout, out)):
            if check is None:
                continue
            try:
                check(subject)
            except Exception as error:  # a missing file is a failure too
                found.append(f"{type(error).__name__}: {error}")
        if found:
            found += [f"stdout: {out[:2000]!r}", f"stderr: {err[:2000]!r}"]
        return found
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def main() -> int:
    # A shell starts background jobs with SIGINT ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bin", required=True, type=pathlib.Path, help="the folder with the programs"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="PROGRAM",
        help="skip a program that is not built",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="run only cases with TEXT in their name"
    )
    args = parser.parse_args()

    no_unprivileged = root_cannot_be_dropped()
    sanitized = is_sanitized(args.bin / "btm-convert")
    cases, skipped = [], 0
    for file in sorted(HERE.glob("cases_*.py")):
        for case in importlib.import_module(file.stem).CASES:
            no_addresses = sanitized and any(
                limited == resource.RLIMIT_AS for limited, _ in case.limits
            )
            if (
                {case.args[0], *case.needs} & set(args.without)
                or (case.unprivileged and no_unprivileged)
                or no_addresses
            ):
                skipped += 1
            elif args.only in case.name:
                cases.append((f"{file.stem[6:]}: {case.name}", case))
    names = [name for name, _ in cases]
    repeated = {name for name in names if names.count(name) > 1}
    failed = [f"{name}: the name occurs twice" for name in sorted(repeated)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for (name, _), problems in zip(
            cases, pool.map(lambda item: problems_of(item[1], args.bin.resolve()), cases)
        ):
            if problems:
                failed.append("\n  ".join([name] + problems))
    print("\n".join(failed + [f"{len(cases)} cases, {len(failed)} failed, {skipped} skipped"]))
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
