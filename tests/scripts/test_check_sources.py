#!/usr/bin/env python3
"""What scripts/check_sources.py takes for a function, and for a line that breaks a rule."""
import importlib.util
import pathlib
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_sources.py"
spec = importlib.util.spec_from_file_location("check_sources", SCRIPT)
check_sources = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_sources)

CXX = """// {
#define BRACE {
namespace a {
constexpr int kTable[] = {
    1, 2};
const std::string kText = R"({ "not": {)";
struct S : Base {
  int x = f({1});
  S(int y)
      : x{y},
        z(y) {
    if (y) {
    }
  }
  bool operator==(const S&) const = default;
 private:
  void one() { call('{'); }
};
/// Doc {
template <class T>
T two(
    T t) {
  const auto inner = [] {
    return "}";
  };
  return inner();
}
}  // namespace a
"""


class CheckSources(unittest.TestCase):
    def test_functions_of_cxx(self):
        found = [(first, lines) for _, first, lines in check_sources.cxx_functions(CXX)]
        self.assertEqual(found, [(9, 6), (17, 1), (20, 8)])

    def test_functions_of_python_and_shell(self):
        self.assertEqual(
            check_sources.python_functions("x = 1\n\ndef f():\n    return (\n        1)\n"),
            [("def f", 3, 3)],
        )
        self.assertEqual(
            check_sources.shell_functions("a=1\nf() {\n  echo {\n}\ng() { :; }\n"), [("f", 2, 3)]
        )

    def test_lines(self):
        def breaches(text, name="btm/x.cpp"):
            return len(check_sources.check_lines(name, check_sources.language_of(name, ""), text))

        self.assertEqual(breaches("x" * 100), 0)
        self.assertEqual(breaches("x" * 101), 1)
        self.assertEqual(breaches("é" * 100), 0)
        self.assertEqual(breaches('std::printf("x");'), 1)
        self.assertEqual(breaches('// std::printf("x");'), 0)
        self.assertEqual(breaches('std::printf("x");', "compat/program/console.cpp"), 0)

    def test_lengths_of_files(self):
        def breaches(lines, name):
            return len(check_sources.check_length(name, "x\n" * lines))

        self.assertEqual(breaches(450, "btm/x.cpp"), 0)
        self.assertEqual(breaches(451, "btm/x.cpp"), 1)
        self.assertEqual(breaches(451, "scripts/x.py"), 1)
        self.assertEqual(breaches(451, "tests/btm/x_test.cpp"), 0)
        for name, lines in check_sources.LONGER_FILES.items():
            self.assertEqual((breaches(lines, name), breaches(lines + 1, name)), (0, 1), name)

    def test_languages(self):
        for name, first_line, language in [
            ("a/b.h", "", "cxx"),
            ("a/CMakeLists.txt", "", "cmake"),
            ("scripts/x", "#!/usr/bin/env bash", "shell"),
            ("scripts/x", "#!/usr/bin/env python3", "python"),
            ("scripts/x.txt", "#!/bin/sh", ""),
        ]:
            self.assertEqual(check_sources.language_of(name, first_line), language, name)


if __name__ == "__main__":
    unittest.main()
