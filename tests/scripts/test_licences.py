#!/usr/bin/env python3
"""Checks the list of dependencies that scripts/licences makes of a build.

    test_licences.py --build FOLDER
"""
import argparse
import importlib.machinery
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/licences"
BUILD = None  # set by main()


def load_script():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("licences", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("licences", loader))
    loader.exec_module(module)
    return module


def run(*words, status=0):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != status:
        raise AssertionError(f"{words} ended with {done.returncode}: {done.stderr}")
    return done.stdout + done.stderr


class ReadsCopyrightFiles(unittest.TestCase):
    licences = load_script()

    def test_the_licence_of_all_files_counts(self):
        head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        for text, expected in [
            (head + "Files: *\nCopyright: me\nLicense: Expat\n text\n", "MIT"),
            (head + "Files: a b\nLicense: MIT\n\nFiles: *\nLicense: Zlib\n", "Zlib"),
            (head + "Files:\n *\nLicense: BSL-1.0\n", "BSL-1.0"),
            (head + "Files: *\nLicense: BSD-3-clause or GPL-2\n", "BSD-3-Clause OR GPL-2.0-only"),
            (head + "Files: *\nLicense: My own, please\n", "LicenseRef-My-own-please"),
            (head + "Files: debian/*\nLicense: Expat\n", None),  # says nothing about the rest
            (head + "Files: *\nCopyright: me\n", None),
            ("Files: *\nLicense: Expat\n", None),  # not in the format
            ("", None),
        ]:
            self.assertEqual(expected, self.licences.licence_of_copyright(text), text)

    def test_projects_inside_libtorch(self):
        text = "x\nName: fmt\nLicense: MIT\nFiles: a\n\nName: fmt\nLicense: Zlib\n\nName: b\n"
        self.assertEqual([("fmt", "MIT AND Zlib")], self.licences.projects_in(text))


class ListsTheBuild(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = run(SCRIPT, "--build", BUILD, "--check")
        cls.spdx = json.loads(run(SCRIPT, "--build", BUILD, "--spdx"))

    def test_names_every_library(self):
        names = [package["name"] for package in self.spdx["packages"]]
        for name in ("btm", "torch", "libssl3", "nlohmann-json3-dev", "zlib1g", "pthreadpool"):
            self.assertIn(name, names)
        self.assertRegex(self.table, r"libyaml-cpp-dev +\S+ +X11 +compiled in")
        self.assertRegex(self.table, r"torch +\d+\.\d+\.\d+ +BSD-3-Clause +carried")

    def test_version_of_libtorch_is_that_of_the_program(self):
        said = re.search(r"LibTorch (\d+\.\d+\.\d+)", run(BUILD / "bin/btm", "--version"))
        self.assertRegex(self.table, rf"torch +{said.group(1)} ")

    def test_the_document_refers_to_what_it_has(self):
        ids = [package["SPDXID"] for package in self.spdx["packages"]]
        self.assertEqual(len(ids), len(set(ids)))
        for relation in self.spdx["relationships"]:
            self.assertIn(relation["relatedSpdxElement"], ids)
            self.assertIn(relation["spdxElementId"], [*ids, "SPDXRef-DOCUMENT"])
        said = {own["licenseId"] for own in self.spdx["hasExtractedLicensingInfos"]}
        for package in self.spdx["packages"]:
            self.assertLessEqual(
                set(re.findall(r"LicenseRef-[\w.-]+", package["licenseDeclared"])), said
            )

    def test_copyright_of_the_package_names_what_it_carries(self):
        said = (ROOT / "scripts/debian/copyright").read_text()
        for line in run("ldd", BUILD / "bin/btm").splitlines():
            found = re.search(r"(\S+) => (/\S+)", line)
            if found and not re.match(r"/(usr/)?lib", found.group(2)):
                self.assertIn(found.group(1), said)

    def test_refuses_a_folder_without_programs(self):
        self.assertIn("no programs in", run(SCRIPT, "--build", ROOT / "tests", status=1))


def main():
    global BUILD
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    BUILD = arguments.build
    if not shutil.which("dpkg-query"):
        print("needs dpkg-query")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
