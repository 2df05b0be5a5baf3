"""Finds what GCC 12 miscompiles: temporaries of certain kinds in an expression with co_await.

GCC 12.2 destroys a temporary twice when it is a lambda with captures or was initialised from a brace
list, and stands in a full expression that also contains co_await. Naming the object in a statement
before avoids it:

    auto read = [&] { return repository.list(filter); };
    auto page = co_await async_offload(pool, read);

The check reads tokens, not types. It takes every non-lambda brace list in such an expression for a
finding, but for types without a destructor that are listed here. A line that ends in the comment
`// NOLINT(co_await)` is left alone.
"""

import re
from dataclasses import dataclass, field

# Types of which a second destruction does nothing.
TRIVIAL_TYPES = {
    "nanoseconds", "microseconds", "milliseconds", "Milliseconds", "seconds", "minutes", "hours",
    "days", "Timestamp", "SteadyTime", "ByteSize", "string_view", "use_awaitable_t", "error_code",
    "size_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int", "bool",
    "double", "monostate", "nullopt_t",
}

TOKEN = re.compile(
    r"""
      (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<raw>(?:u8|[uUL])?R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)")
    | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*")
    | (?P<number>\.?[0-9](?:'?[0-9a-zA-Z_.]|[eEpP][+-])*)
    | (?P<char>(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
    | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>->|::|&&|\S)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)

# Words after which `[` opens a lambda and `{` an initialiser, although they look like names.
EXPRESSION_WORDS = {"return", "co_return", "co_await", "co_yield", "throw", "case", "else", "not"}
CONTROL_WORDS = {"if", "for", "while", "switch", "catch"}
BLOCK_WORDS = {"else", "do", "try", "const", "noexcept", "override", "final", "mutable", "volatile"}
TYPE_WORDS = {"class", "struct", "union", "enum", "namespace", "extern", "concept"}


@dataclass
class Token:
    text: str
    line: int
    is_word: bool = False


@dataclass
class Expression:
    """What was seen since the last end of an expression."""

    awaits: int = 0
    suspects: list = field(default_factory=list)  # (line, what)


@dataclass(eq=False)
class Frame:
    kind: str  # block, control, paren, braces
    owner: "Frame" = None  # the block or control frame whose expression this one is part of
    expression: Expression = field(default_factory=Expression)
    header: list = field(default_factory=list)  # words since the last end of a statement, for blocks
    lambda_open: bool = False  # an introducer was seen whose body has not come yet


@dataclass
class Finding:
    line: int
    what: str


def tokenize(text):
    tokens = []
    for match in TOKEN.finditer(text):
        if match.lastgroup == "comment" or match.lastgroup == "directive":
            continue
        line = text.count("\n", 0, match.start()) + 1
        if match.lastgroup in ("raw", "string", "char", "tag"):
            tokens.append(Token('""', line))
        elif match.lastgroup == "number":
            tokens.append(Token("0", line))
        else:
            tokens.append(Token(match.group(), line, match.lastgroup == "word"))
    return tokens


def _is_value_end(token):
    """Whether `[` after this token subscripts, so that it opens no lambda."""
    if token is None:
        return False
    if token.is_word:
        return token.text not in EXPRESSION_WORDS
    return token.text in (")", "]", '""', "}")


class _Scanner:
    def __init__(self, tokens, lines):
        self.tokens = tokens
        self.lines = lines
        self.findings = []
        root = Frame("block")
        root.owner = root
        self.stack = [root]

    def previous(self, i, back=1):
        return self.tokens[i - back] if i >= back else None

    def push(self, kind):
        frame = Frame(kind)
        frame.owner = frame if kind in ("block", "control") else self.stack[-1].owner
        self.stack.append(frame)

    def end_expression(self, frame):
        expression = frame.expression
        if expression.awaits:
            for line, what in expression.suspects:
                if "NOLINT(co_await)" not in self.lines[line - 1]:
                    self.findings.append(Finding(line, what))
        frame.expression = Expression()
        frame.header = []
        frame.lambda_open = False

    def opens_lambda(self, i):
        before = self.previous(i)
        after = self.tokens[i + 1].text if i + 1 < len(self.tokens) else ""
        if after == "[" or (before and before.text == "[" and not before.is_word):
            return False  # an attribute
        if _is_value_end(before):
            return False
        if before and before.text in ("&", "&&"):
            second = self.previous(i, 2)
            if second and second.text == "auto":
                return False  # auto& [a, b] = ...
        return True

    def skip_introducer(self, i):
        """The index of the `]` that ends what opens at i, and whether anything is captured."""
        depth = 0
        for j in range(i, len(self.tokens)):
            if self.tokens[j].text in ("[", "(", "{"):
                depth += 1
            elif self.tokens[j].text in ("]", ")", "}"):
                depth -= 1
                if depth == 0:
                    return j, j > i + 1
        return len(self.tokens) - 1, False

    def brace_opens_block(self, i):
        frame = self.stack[-1]
        before = self.previous(i)
        if frame.kind != "block":
            return False
        if before is None or before.text in (";", "{", "}", ")", ":"):
            return True
        if before.text in BLOCK_WORDS:
            return True
        if any(word in TYPE_WORDS for word in frame.header):
            return "=" not in frame.header
        # The end of a trailing return type: `) -> awaitable<void> {`.
        return "->" in frame.header and "=" not in frame.header and "co_await" not in frame.header

    def suspect_braces(self, i):
        before = self.previous(i)
        if before and before.is_word and before.text in TRIVIAL_TYPES:
            return
        owner = self.stack[-1].owner
        # Braces within braces are one finding.
        if not any(frame.kind == "braces" for frame in self.stack[self.stack.index(owner):]):
            owner.expression.suspects.append((self.tokens[i].line, "a brace list"))

    def scan(self):
        i = 0
        while i < len(self.tokens):
            token = self.tokens[i]
            text = token.text
            frame = self.stack[-1]
            if text == "[" and self.opens_lambda(i) and not self.structured_binding(i):
                end, captures = self.skip_introducer(i)
                if captures:
                    frame.owner.expression.suspects.append((token.line, "a lambda with captures"))
                frame.lambda_open = True
                i = end + 1
                continue
            if text == "(":
                before = self.previous(i)
                second = self.previous(i, 2)
                word = before.text if before and before.is_word else ""
                if word == "constexpr" and second and second.text == "if":
                    word = "if"
                self.push("control" if word in CONTROL_WORDS else "paren")
            elif text == "[":
                self.push("paren")
            elif text == "{":
                self.open_brace(i)
            elif text in (")", "]", "}"):
                self.close(text)
            elif text == ";":
                if frame.kind in ("block", "control"):
                    self.end_expression(frame)
            elif text == "co_await":
                frame.owner.expression.awaits += 1
                frame.header.append(text)
            elif frame.kind == "block" and (token.is_word or text in ("->", "=")):
                frame.header.append(text)
            i += 1
        for frame in self.stack:
            self.end_expression(frame)
        return self.findings

    def structured_binding(self, i):
        before = self.previous(i)
        return before is not None and before.text == "auto"

    def open_brace(self, i):
        frame = self.stack[-1]
        if frame.lambda_open:
            frame.lambda_open = False
            self.push("block")
        elif self.brace_opens_block(i):
            self.end_expression(frame)
            self.push("block")
        else:
            self.suspect_braces(i)
            self.push("braces")

    def close(self, text):
        if len(self.stack) == 1:
            return
        frame = self.stack.pop()
        if frame.kind in ("block", "control"):
            self.end_expression(frame)
        if frame.kind == "control":
            # The condition is over; what follows is a statement of its own.
            self.end_expression(self.stack[-1].owner)


def lint(text):
    """The findings in a C++ source text, in the order of lines."""
    findings = _Scanner(tokenize(text), text.split("\n")).scan()
    return sorted(findings, key=lambda finding: finding.line)
