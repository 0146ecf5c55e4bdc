#!/usr/bin/env python3
"""Installs the build, moves the tree, runs it from there, and builds a program of somebody else's
against its library.

    test_install.py --build FOLDER
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden"
BUILD = None  # set by main()
MODEL = GOLDEN / "checkpoints/elm_fortunes/checkpoint_last.pt"


def run(*words, status=0, **options):
    done = subprocess.run(
        list(map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    if done.returncode != status:
        raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="btm-install-")
        cls.addClassCleanup(cls.folder.cleanup)
        first = pathlib.Path(cls.folder.name) / "first"
        cls.manifest = (BUILD / "install_manifest.txt").resolve()
        run("cmake", "--install", BUILD, "--prefix", first)
        cls.files = cls.manifest.read_text().split("\n")
        cls.tree = pathlib.Path(cls.folder.name) / "moved here"
        first.rename(cls.tree)

    def test_runs_from_where_it_was_moved(self):
        environment = {"PATH": "/usr/bin:/bin", "HOME": self.folder.name, "OMP_NUM_THREADS": "1"}
        said = run(
            self.tree / "bin/btm",
            *["eval-lm", GOLDEN / "data-bin/fortunes", "--gen-subset", "test_fortunes"],
            *["--path", MODEL, "--batch-size", 2, "--tokens-per-sample", 128],
            env=environment,
        )
        self.assertIn("base 2): 8.878", said)  # tests/golden/eval.json
        run(self.tree / "bin/btm-convert", "inspect", MODEL, env=environment)

    def test_loads_nothing_of_the_build(self):
        said = run("ldd", self.tree / "bin/btm", env={"PATH": "/usr/bin:/bin"})
        for line in said.splitlines():
            found = re.search(r"=> (/\S.*) \(", line)
            if found and not re.match(r"/(usr/)?lib", found.group(1)):
                self.assertTrue(found.group(1).startswith(str(self.tree)), line)

    def test_lists_its_dependencies(self):
        documents = self.tree / "share/doc/btm"
        self.assertRegex((documents / "LICENCES.txt").read_text(), r"torch +2\.")
        self.assertEqual(
            "SPDX-2.3", json.loads((documents / "btm.spdx.json").read_text())["spdxVersion"]
        )
        self.assertTrue((self.tree / "share/man/man1/btm-train.1").exists())

    def test_a_program_reads_a_checkpoint_with_the_library(self):
        build = pathlib.Path(self.folder.name) / "list_tensors"
        run(
            *["cmake", "-S", ROOT / "tests/support/list_tensors", "-B", build, "-G", "Ninja"],
            f"-DCMAKE_PREFIX_PATH={self.tree}",
        )
        run("cmake", "--build", build)
        said = run(build / "list_tensors", MODEL).splitlines()
        self.assertIn("decoder.embed_tokens.weight", said[0] + said[1])
        self.assertRegex(said[0], r"^decoder\.\S+ \w+ \[")
        self.assertIn("error", run(build / "list_tensors", "/nowhere", status=1))

    def test_uninstall_removes_everything(self):
        prefix = pathlib.Path(self.folder.name) / "to be removed"
        manifest = pathlib.Path(self.folder.name) / "manifest.txt"
        old = str(pathlib.Path(self.folder.name) / "first")
        lines = [line.replace(old, str(prefix)) for line in self.files]
        for line in filter(None, lines):
            path = pathlib.Path(line)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        manifest.write_text("\n".join(lines))
        kept = prefix / "share/of_others"
        kept.write_text("stays")
        run(ROOT / "scripts/uninstall", manifest)
        self.assertEqual([kept], [p for p in prefix.rglob("*") if p.is_file()])
        self.assertFalse((prefix / "bin").exists())

    def test_uninstall_refuses_what_is_no_manifest(self):
        folder = pathlib.Path(self.folder.name)
        (folder / "relative.txt").write_text("bin/btm\n")
        for manifest, words in [
            (folder / "none", "does not exist"),
            (folder / "relative.txt", "no absolute path"),
        ]:
            self.assertIn(words, run(ROOT / "scripts/uninstall", manifest, status=1))


def main():
    global BUILD
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    BUILD = arguments.build
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
