"""Starts btm serve for the scripts and tests that speak to it."""
import atexit
import contextlib
import os
import pathlib
import re
import signal
import subprocess

READY = re.compile(r"at (http://\S+)/v1")


class Server:
    def __init__(self, programs, models, golden, *flags, env=None):
        """On any free port. Without `golden`, dictionary and tokenizer are those of the flags."""
        self.log = []
        self.process = subprocess.Popen(
            [
                str(pathlib.Path(programs) / "btm"),
                "serve",
                str(models),
                *(("--data", f"{golden}/data-bin") if golden else ()),
                *(("--sentencepiece-model", f"{golden}/corpus/spm.model") if golden else ()),
                *("--cpu", "--port", "0"),
                *flags,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
        )
        atexit.register(self.process.kill)  # nothing where it has ended
        self.root = None
        for line in self.process.stderr:
            self.log.append(line)
            found = READY.search(line)
            if found:
                self.root = found.group(1)
                break
        if self.root is None:
            raise RuntimeError("btm serve did not start: " + "".join(self.log))
        self.port = int(self.root.rpartition(":")[2])

    def stop(self, wanted=signal.SIGTERM, timeout=60):
        """(status, what was logged since the start)"""
        if self.process.poll() is None:
            self.process.send_signal(wanted)
        rest = self.process.communicate(timeout=timeout)[1] or ""
        return self.process.returncode, rest


@contextlib.contextmanager
def server(programs, models, golden, *flags):
    """Its root address. Ends it afterwards."""
    started = Server(programs, models, golden, "--quiet", *flags)
    try:
        yield started.root
    finally:
        started.stop()
