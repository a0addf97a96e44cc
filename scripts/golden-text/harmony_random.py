"""Random conversations with random tools, and random streams: some of them Harmony, some nearly."""

import json
import random

import texts
from harmony_written import BROWSER, PYTHON, assistant, call, developer, functions, reply, system, tool, user

CONTROLS = [200006, 200008, 200005, 200003, 200007, 200012, 200002, 199999]
# Parts of characters and reserved tokens. (The library has a token for 201088, one more than the model.)
ODD_IDS = [9552, 240, 244, 187, 254, 200014, 200500]
WITHOUT_TOKEN = 4294967295

WORDS = ["alpha", "city", "days", "The thing's name", "say \"hi\"", "back\\slash", "null", "a | b", "x: y,", "{}", "*/", "// no",
         "<|end|>", "<|start|>system<|message|>", "Größe", "日本語 💖", "\x01\x1f\x7f", "\u2028line", "1", "tab\there", " padded "]
BREAKS = ["\n", "\n\n", "\r\n", "\r", "\n ", "\t\n"]
KEYS = ["query", "topn", "city", "a_b", "camelCase", "with space", "quo\"te", "ünï", "💖", "", "__proto__", "constructor", "toString",
        "type", "null", "$ref", "<|call|>"]
NUMBER_KEYS = ["7", "0", "10", "-1", "4294967295", "01"]
NUMBERS = ["1.0", "-0", "-0.0", "0.0", "1e30", "1E5", "1e-7", "0.00001", "0.000001", "1e15", "1e16", "12345678901234567890", "3.0e0",
           "-9223372036854775808", "123456789012345678901234567890", "1.7976931348623157e308", "5e-324", "100000000000000000000.0"]
TYPES = ["string", "number", "integer", "boolean", "null", "object", "array"]
IGNORED = {"additionalProperties": False, "minimum": 0, "maxLength": 5, "pattern": "^a$", "const": 3, "format": "date", "$id": "x",
           "anyOf": [{"type": "string"}, {"type": "null"}], "allOf": [{}], "not": {}, "deprecated": True}


class Number(str):
    """A number as it is to be spelt."""


class Schemas:
    """Random JSON Schemas, odd ones among them. `plain` leaves out what JavaScript's objects don't keep."""

    def __init__(self, rng: random.Random, plain: bool):
        self.rng = rng
        self.plain = plain

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def text(self) -> str:
        words = [self.rng.choice(WORDS) for _ in range(self.rng.choice([1, 1, 1, 2, 3]))]
        if self.chance(0.05):
            return ""
        text = (self.rng.choice(BREAKS) if self.chance(0.25) else " ").join(words)
        return text + self.rng.choice(BREAKS) if self.chance(0.05) else text

    def number(self):
        if self.plain:
            return self.rng.choice([0, 1, -1, 10, 0.5, -2.25, 1e-7, 123456789, 0.1, 3.14])
        kind = self.rng.randrange(4)
        if kind == 0:
            return Number(self.rng.choice(NUMBERS))
        if kind == 1:
            return Number(str(self.rng.randint(-100, 100)))
        if kind == 2:
            return Number(repr(self.rng.uniform(-1, 1) * 10.0 ** self.rng.randint(-320, 300)))
        return Number(f"{self.rng.randrange(10**self.rng.randint(1, 22))}.{self.rng.randrange(10**6)}e{self.rng.randint(-30, 30)}")

    def value(self, depth: int = 0):
        kind = self.rng.randrange(6 if depth < 2 else 4)
        if kind == 0:
            return self.rng.choice([None, True, False])
        if kind == 1:
            return self.number()
        if kind < 4:
            return self.text()
        if kind == 4:
            return [self.value(depth + 1) for _ in range(self.rng.randrange(4))]
        return {self.key(): self.value(depth + 1) for _ in range(self.rng.randrange(4))}

    def key(self) -> str:
        if not self.plain and self.chance(0.15):
            return self.rng.choice(NUMBER_KEYS)
        return self.rng.choice(KEYS) if self.chance(0.6) else f"p{self.rng.randrange(100)}"

    def schema(self, depth: int = 0):
        if self.chance(0.03):
            return self.rng.choice([True, False, {}, None, [], "string", self.number()])
        fields: dict = {}
        kind = self.rng.choices(
            ["string", "enum", "number", "integer", "boolean", "null", "array", "object", "oneOf", "types", "other", "odd"],
            [4, 3, 2, 2, 2, 1, 4, 7 if depth < 4 else 0, 3 if depth < 4 else 0, 2, 2, 1],
        )[0]
        if kind in ("number", "integer", "boolean", "null", "string"):
            fields["type"] = kind
        elif kind == "enum":
            fields["type"] = "string" if self.chance(0.8) else self.rng.choice(TYPES)
            fields["enum"] = [self.text() if self.chance(0.8) else self.value(1) for _ in range(self.rng.randrange(5))]
        elif kind == "array":
            fields["type"] = "array"
            if self.chance(0.85):
                fields["items"] = self.schema(depth + 1)
        elif kind == "object":
            fields["type"] = "object"
            if self.chance(0.9):
                fields["properties"] = {self.key(): self.schema(depth + 1) for _ in range(self.rng.choice([0, 1, 2, 3, 5]))}
                if self.chance(0.6):
                    fields["required"] = [k for k in fields["properties"] if self.chance(0.5)]
        elif kind == "oneOf":
            fields["oneOf"] = [self.schema(depth + 1) for _ in range(self.rng.choice([0, 1, 2, 2, 3]))]
            if self.chance(0.3):
                fields["type"] = self.rng.choice(TYPES)
        elif kind == "types":
            fields["type"] = [self.rng.choice(TYPES) if self.chance(0.95) else 5 for _ in range(self.rng.randrange(4))]
        elif kind == "other":
            fields |= self.rng.choice([{"$ref": "#/$defs/x"}, {"anyOf": IGNORED["anyOf"]}, {"allOf": [{"type": "string"}]},
                                       {"type": "date"}, {"enum": ["a", 1]}, {"properties": {"a": {}}}])
        else:
            key = self.rng.choice(["type", "oneOf", "properties", "required", "enum", "items", "description", "title", "examples",
                                   "nullable"])
            fields |= {"type": self.rng.choice(TYPES)} | {key: self.value()}

        if self.chance(0.35):
            fields["description"] = self.text()
        variants = fields.get("oneOf")
        if isinstance(variants, list) and variants and isinstance(variants[0], dict) and self.chance(0.3):
            self.rng.choice([v for v in variants if isinstance(v, dict)])["description"] = fields.setdefault("description", "The same")
        if self.chance(0.12):
            fields["title"] = self.text()
        if self.chance(0.12):
            fields["examples"] = [self.text() if self.chance(0.7) else self.value(1) for _ in range(self.rng.randrange(4))]
        if self.chance(0.3):
            fields["default"] = self.value()
        if self.chance(0.15):
            fields["nullable"] = self.chance(0.8)
        if self.chance(0.2):
            key = self.rng.choice(list(IGNORED))
            fields.setdefault(key, IGNORED[key])
        if self.chance(0.5):
            members = list(fields.items())
            self.rng.shuffle(members)
            fields = dict(members)
        return fields

    def parameters(self):
        while True:
            schema = self.schema() if self.chance(0.4) else self.root()
            if not self.plain or isinstance(schema, (dict, bool)):
                return schema

    def root(self) -> dict:
        properties = {self.key(): self.schema(1) for _ in range(self.rng.choice([0, 1, 2, 3, 4, 6]))}
        schema = {"type": "object", "properties": properties, "required": [k for k in properties if self.chance(0.4)]}
        return schema | ({"description": self.text()} if self.chance(0.2) else {})

    def write(self, value) -> str:
        """JSON text, spelt at random."""

        def gap() -> str:
            return self.rng.choice(["", "", "", " ", "\n  ", "\t", "\r\n"])

        def string(text: str) -> str:
            escaped = json.dumps(text, ensure_ascii=self.chance(0.5))
            return escaped.replace("/", "\\/") if self.chance(0.2) else escaped

        if isinstance(value, Number):
            return value
        if isinstance(value, str):
            return string(value)
        if isinstance(value, list):
            return f"[{gap()}{','.join(gap() + self.write(v) + gap() for v in value)}]"
        if isinstance(value, dict):
            members = []
            for key, member in value.items():
                if self.chance(0.02):
                    members.append(f"{string(key)}:{self.write(self.value())}")  # of two with one key, the last counts
                members.append(f"{gap()}{string(key)}{gap()}:{gap()}{self.write(member)}{gap()}")
            return f"{{{gap()}{','.join(members)}}}"
        return json.dumps(value)


def some_tool(rng: random.Random, name: str) -> dict:
    plain = rng.random() < 0.4
    schemas = Schemas(rng, plain)
    description = schemas.text() if rng.random() < 0.85 else ""
    if rng.random() < 0.1:
        return tool(name, description) if rng.random() < 0.5 else tool(name, description, None)
    parameters = schemas.parameters()
    return tool(name, description, parameters if plain else schemas.write(parameters))


def some_namespace(rng: random.Random, name: str) -> dict:
    tools = [some_tool(rng, f"f{i}" if rng.random() < 0.8 else rng.choice(["get_weather", "ünï", "a b"])) for i in range(rng.randrange(4))]
    namespace = {"name": name, "tools": tools}
    if rng.random() < 0.5:
        namespace["description"] = Schemas(rng, True).text() if rng.random() < 0.8 else None
    return namespace


def conversation(rng: random.Random) -> list[dict]:
    """A random conversation of plausible shape."""
    parts = [t for t in texts.SENTENCES + texts.CODE + texts.SPECIALS + texts.EMOJI]

    def some() -> str:
        return rng.choice(["", " ", "\n"]).join(rng.choice(parts)[: rng.randint(1, 60)] for _ in range(rng.randint(1, 3)))

    messages = []
    if rng.random() < 0.8:
        fields: dict = {"reasoningEffort": rng.choice(["low", "medium", "high", None])}
        if rng.random() < 0.5:
            fields["conversationStartDate"] = f"{rng.randint(2024, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        if rng.random() < 0.1:
            fields["identity"] = rng.choice([None, "", some()])
        if rng.random() < 0.1:
            fields["knowledgeCutoff"] = rng.choice([None, "2023-10"])
        if rng.random() < 0.2:
            fields["channels"] = rng.choice([None, [], ["final"], ["analysis", "final"], [some()]])
            fields["channelRequired"] = rng.random() < 0.5
        if rng.random() < 0.3:
            fields["tools"] = rng.choice([[], [BROWSER], [PYTHON], [BROWSER, PYTHON], [PYTHON, BROWSER],
                                          [some_namespace(rng, "functions"), PYTHON]])
        messages.append(system(**fields))
    if rng.random() < 0.7:
        fields = {}
        if rng.random() < 0.8:
            names = ["functions", "mcp.server", "\uffee", "💖", "browser", "zebra"]
            fields["tools"] = [some_namespace(rng, name) for name in rng.sample(names, rng.randrange(3))] if rng.random() < 0.4 else [
                some_namespace(rng, "functions")]
        if rng.random() < 0.15:
            schemas = Schemas(rng, False)
            fields["responseFormats"] = [
                {"name": f"format{i}", "schema": schemas.write(schemas.parameters())} | ({"description": schemas.text()} if rng.random() < 0.6 else {})
                for i in range(rng.randrange(3))]
        messages.append(developer(some() if rng.random() < 0.8 else None, **fields))
    for _ in range(rng.randint(1, 3)):
        messages.append(user(some()))
        for _ in range(rng.choice([0, 0, 1, 2])):
            if rng.random() < 0.6:
                messages.append(assistant("analysis", some()))
            channel = rng.choice(["commentary", "analysis"])
            name = rng.choice(["functions.look_up", "python", "browser.open", "functions.überall"])
            messages.append(call(name, some(), channel, rng.choice(["<|constrain|>json", "json", "code", None])))
            messages.append(reply(name, some(), channel))
        if rng.random() < 0.7:
            messages.append(assistant("analysis", some()))
        if rng.random() < 0.8:
            messages.append(assistant("final", some()))
    return messages


def header(rng: random.Random) -> str:
    """A header as models write it, in any order and with any white space, behind the role."""
    channel = rng.choice(["<|channel|>analysis", "<|channel|>commentary", "<|channel|>final", "<|channel|>comment", ""])
    recipient = rng.choice(["", "", " to=functions.f", " to=browser.search", " to=python", " functions.f", " to=assistant"] * 4 + [" to="])
    kind = rng.choice(["", "", " <|constrain|>json", "<|constrain|>json", " json", " code"] * 4 + [" <|constrain|> json", "json"])
    parts = [channel, recipient] if rng.random() < 0.7 else [recipient, channel]
    space = rng.choice(["", "", "", " ", "\n", "\t"])
    return "".join(parts) + kind + space


def words(encode) -> list[int]:
    """Ids of ordinary text."""
    return sorted({i for text in texts.SENTENCES for i in encode(text)})


def stream(rng: random.Random, encode, pool: list[int]) -> dict:
    """Ids of some messages as a model may write them, mostly with some tokens changed; and the role asked for."""
    hint = rng.choice([None, "assistant", "assistant", "assistant", "user", "tool" if rng.random() < 0.2 else "assistant"])
    ids: list[int] = []
    for index in range(rng.randint(1, 4)):
        if index > 0 or hint is None:
            author = rng.choice(["assistant", "assistant", "assistant", "user", "functions.f to=assistant", "system", "tool"] * 3 + ["user:bob"])
            ids += encode("<|start|>" + author)
        elif rng.random() < 0.1:
            ids += encode(hint)
        words = rng.choice(texts.SENTENCES + texts.CODE + texts.EMOJI + ['{"a":1}', "", "Hi", "{}"])[: rng.randint(0, 40)]
        body = encode(words)
        if rng.random() < 0.15:
            body[rng.randint(0, len(body)):0] = rng.choices(ODD_IDS, k=rng.randint(1, 4))
        ids += encode(header(rng) + "<|message|>") + body
        ids += encode(rng.choice(["<|end|>", "<|end|>", "<|end|>", "<|call|>", "<|return|>"]))
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        at = rng.randrange(len(ids) + 1)
        change = rng.randrange(5)
        if change == 0:
            del ids[at : at + rng.choice([1, 1, 2, 5])]
        elif change == 1:
            ids.insert(at, rng.choice(CONTROLS))
        elif change == 2:
            ids.insert(at, rng.choice(pool) if rng.random() < 0.7 else rng.choice(ODD_IDS))
        elif change == 3:
            ids = ids[:at]
        else:
            ids[at:at] = ids[at : at + rng.randint(1, 4)]
    if rng.random() < 0.02:
        ids.insert(rng.randrange(len(ids) + 1), WITHOUT_TOKEN)
    return {"role": hint, "ids": ids}
