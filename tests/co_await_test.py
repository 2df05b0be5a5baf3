"""No source file has what GCC 12 miscompiles beside co_await (see co_await_lint.py)."""

import subprocess
import unittest
from pathlib import Path

from co_await_lint import lint

ROOT = Path(__file__).resolve().parent.parent

BAD = {
    "a lambda that captures, as an argument": "auto x = co_await f([&] { return 1; });",
    "a lambda that captures this": "co_await f([this](int a) -> int { return a; }, 3);",
    "a lambda before the co_await": "g([x = 1] {}, co_await f());",
    "a brace list as an argument": "co_await f({1, 2});",
    "an aggregate as an argument": 'co_await f(Options{.name = "a"});',
    "an empty aggregate": "co_await f(Options{});",
    "an aggregate around it": "co_return Pair{co_await a(), 1};",
    "an aggregate beside it": "use(Pair{1, 2}, co_await a());",
    "a condition": "if (auto r = co_await f({1}); !r) { g(); }",
    "a loop's condition": "while (co_await f(Key{1})) { g(); }",
    "a ternary": "auto x = ready ? co_await f() : Answer{1};",
    "a declaration in braces": "Answer x{co_await f()};",
    "several lines": "co_await f(\n    a,\n    Options{\n        1});",
    "log fields": 'log_info("m", {{"k", co_await f()}});',
    "inside a lambda's body": "spawn([&]() -> awaitable<void> { co_await f({1}); });",
    "after a raw string": 'auto s = R"x(; } )x"; co_await f({1});',
    "after a condition": "if (ready) co_await f({1});",
    "in a macro's arguments": "EXPECT_EQ(co_await f(Key{1}), 2);",
}

GOOD = {
    "a name": "auto read = [&] { return 1; }; auto x = co_await f(read);",
    "a lambda without captures": "co_await f([](int a) { return a; });",
    "a lambda whose body awaits": "spawn([&]() -> awaitable<void> { co_await f(); });",
    "a body that awaits, and braces outside": "spawn({1}, [&] { co_await f(); });",
    "braces in the statement before": "Key key{1}; co_await f(key);",
    "braces in the loop's head": "for (int x : {1, 2}) co_await f(x);",
    "braces in the condition": "if (g({1})) co_await f();",
    "a block": "if (co_await f()) { g({1}); } else { h(Key{2}); }",
    "a trivial type": "co_await wait(std::chrono::seconds{5});",
    "a subscript": "co_await f(values[i], rows[0][j]);",
    "a structured binding": "auto [a, b] = co_await f(); auto& [c, d] = g();",
    "an attribute": "[[maybe_unused]] auto x = co_await f();",
    "a comment and a string": 'co_await f("{1}"); // {1}',
    "a default argument": "awaitable<void> f(Options o = {}) { co_await g(); }",
    "a constructor's initialisers": "X::X() : a_{1}, b_{2} { } awaitable<void> f() { co_await g(); }",
    "a member's initialiser": "struct X { int a{1}; }; awaitable<void> f() { co_await g(); }",
    "a trailing return type": "auto f() -> awaitable<Result<int>> { co_return co_await g(); }",
    "an exception": "co_await f(Odd{1});  // NOLINT(co_await)",
    "a digit separator": "int x = 1'000; co_await f(x, 'a', '\\'');",
}


def source_files():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "*.h", "*.cc"],
        capture_output=True, text=True)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    folders = ("src", "apps", "tests", "bench", "fuzz")
    return [p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in (".h", ".cc")]


class CoAwaitLint(unittest.TestCase):
    def test_refuses_what_is_miscompiled(self):
        for name, snippet in BAD.items():
            with self.subTest(name):
                code = "awaitable<void> t() {\n" + snippet + "\n}\n"
                self.assertEqual(len(lint(code)), 1, lint(code))

    def test_accepts_the_rest(self):
        for name, snippet in GOOD.items():
            with self.subTest(name):
                for code in (snippet, "awaitable<void> t() {\n" + snippet + "\n}\n"):
                    self.assertEqual(lint(code), [])

    def test_names_the_line(self):
        self.assertEqual(lint("void t() {\n\n  co_await f(\n    Key{1});\n}")[0].line, 4)

    def test_no_source_file_has_it(self):
        wrong = []
        for path in source_files():
            for finding in lint(path.read_text(encoding="utf-8")):
                wrong.append(f"{path.relative_to(ROOT)}:{finding.line}: {finding.what} in an "
                             "expression with co_await: name it in a statement before")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))


if __name__ == "__main__":
    unittest.main()
