"""Named values that a user gives in words: arguments of functions and fields of JSON objects.

String values are held out by their hash, one in ten, as problems are.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from skills import held_out
from words import WORDS

NAMES = """Ann Ben Carla David Emma Felix Grace Henry Ida Jack Karen Leo Maria Nina Oscar Paula Quinn Rosa Sam Tina Uma Victor
Wendy Yara Zoe Adam Bella Clara Daniel Eva Fred Hanna Ivan Julia Kim Lucas Mia Noah Olivia Peter Ruth Simon Tom Vera Alice
Bob Charlie Eve Frank Laura Mark Susan Martin Sofia Lena Max John Mary Jane Paul""".split()
CITIES = """Paris London Rome Berlin Madrid Tokyo Cairo Lima Oslo Vienna Prague Dublin Athens Lisbon Warsaw Moscow Delhi Seoul
Boston Chicago Miami Denver Dallas Austin Sydney Toronto Milan Naples Munich Hamburg Zurich Geneva Lyon Nice Bergen Riga Kyoto
Osaka Nairobi Havana Quito Bogota Hanoi Bangkok Jakarta Manila Perth Texas France Japan Brazil Egypt Canada India Italy Norway
Kenya Peru Germany Spain China Greece Mexico Amsterdam Brussels Helsinki Stockholm Copenhagen Seattle Houston""".split()
LANGUAGES = "French German Spanish Japanese Latin Italian Chinese Russian English Greek Dutch Polish".split()
COLORS = "red blue green white black yellow brown pink gray orange purple gold silver".split()
ENUMS = {
    "unit": ["celsius", "fahrenheit"], "size": ["small", "medium", "large"], "color": ["red", "green", "blue"],
    "currency": ["USD", "EUR", "GBP"], "mode": ["fast", "slow"], "priority": ["low", "normal", "high"],
    "class": ["first", "second"], "kind": ["train", "bus", "car"], "order": ["asc", "desc"], "type": ["a", "b", "c"],
    "format": ["pdf", "html", "text"], "level": ["easy", "medium", "hard"], "status": ["open", "closed"],
    "direction": ["north", "south", "east", "west"], "meal": ["breakfast", "lunch", "dinner"], "gender": ["male", "female"],
    "category": ["food", "sport", "music"], "state": ["on", "off"], "system": ["metric", "imperial"],
}  # fmt: skip
VOWELS, CONSONANTS = "aeiou", "bdfghklmnprstvz"


def made_up(rng: random.Random) -> str:
    """A pronounceable name nobody has: Orrin, Velda, Tamiso."""
    out, vowel = "", rng.random() < 0.4
    for _ in range(rng.randint(3, 7)):
        out += rng.choice(VOWELS if vowel else CONSONANTS)
        if rng.random() < 0.85:
            vowel = not vowel
    return out


class Draw:
    """Draws values from the trained or the held-out part."""

    def __init__(self, rng: random.Random, test: bool = False):
        self.rng, self.test = rng, test

    def of(self, make) -> str:
        while True:
            value = make()
            if held_out(f"value {value}") == self.test:
                return value

    def proper(self, pool: list[str]) -> str:
        r = self.rng.random()
        if r < 0.9:
            return self.of(lambda: self.rng.choice(pool))
        if r < 0.95:
            return self.of(lambda: made_up(self.rng).capitalize())
        return self.of(lambda: self.rng.choice(WORDS).capitalize() if r < 0.97 else " ".join(
            [self.rng.choice(["New", "Old", "San", "Port", "Saint"]), self.rng.choice(pool)]))  # fmt: skip

    def word(self) -> str:
        return self.of(lambda: self.rng.choice(WORDS) if self.rng.random() < 0.95 else made_up(self.rng))

    def words(self, low: int, high: int) -> str:
        return self.of(lambda: " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(low, high))))


@dataclass
class Parameter:
    """What a schema says of a named value, and how to draw one."""

    name: str
    kind: str  # string, integer, number, boolean, array
    schema: dict
    required: bool
    make: Callable[[Draw], object]
    phrases: list[str]  # natural ways to say it, with {v} and {p}

    def kind_text(self) -> str:
        if "enum" in self.schema:
            return "one of the values"
        return {"array": "a list", "integer": "an integer"}.get(self.kind, f"a {self.kind}")


@dataclass
class Value:
    parameter: Parameter
    value: object
    natural: str | None


def compact(value) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def place(d):
    return d.proper(CITIES)


def person(d):
    return d.proper(NAMES)


def date(d):
    r = d.rng
    return f"{r.randint(2024, 2030)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"


def clock(d):
    return f"{d.rng.randint(0, 23):02}:{d.rng.choice(['00', '15', '30', '45', '05', '20'])}"


def small(d):
    r = d.rng
    return r.randint(1, 12) if r.random() < 0.6 else r.randint(0, 99) if r.random() < 0.7 else r.randint(100, 9999)


def decimal(d):
    r = d.rng
    if r.random() < 0.4:
        return r.randint(1, 999)
    return round(r.uniform(0, 100), 1) if r.random() < 0.8 else round(r.uniform(-50, 50), 2)


def digits(d):
    return "".join(d.rng.choice("0123456789") for _ in range(d.rng.randint(3, 6)))


POOL = {  # name: (kind, value, phrases)
    **{n: ("string", place, ["in {v}"]) for n in ("city", "town", "country", "location", "place", "region")},
    **{n: ("string", place, ["from {v}"]) for n in ("from", "origin", "start", "departure")},
    **{n: ("string", place, ["to {v}"]) for n in ("to", "destination", "target", "arrival")},
    **{n: ("string", person, ["for {v}", "named {v}"]) for n in ("name", "person", "user", "guest", "customer")},
    **{n: ("string", person, ["to {v}"]) for n in ("recipient", "contact", "receiver")},
    **{n: ("string", person, ["by {v}"]) for n in ("author", "artist", "owner")},
    **{n: ("string", date, ["on {v}"]) for n in ("date", "day", "due")},
    **{n: ("string", clock, ["at {v}"]) for n in ("time", "hour", "begin")},
    **{n: ("integer", small, ["for {v} people", "for {v}"]) for n in ("people", "guests")},
    **{n: ("integer", small, ["with {v} {p}", "{v} {p}"]) for n in ("seats", "rooms", "pages", "items", "copies")},
    **{n: ("integer", small, ["for {v} {p}"]) for n in ("days", "nights", "hours", "minutes", "seconds", "weeks")},
    **{n: ("integer", small, ["{p} {v}", "with {p} {v}"]) for n in ("count", "limit", "number", "year", "page")},
    "age": ("integer", small, ["age {v}", "{v} years old"]),
    **{n: ("number", decimal, ["{p} {v}", "with {p} {v}"]) for n in ("amount", "price", "weight", "height", "distance", "value")},
    **{n: ("number", decimal, ["{p} {v}"]) for n in ("temperature", "speed", "score", "rate", "width")},
    **{n: ("string", lambda d: d.words(1, 3), ['called "{v}"', 'titled "{v}"']) for n in ("title", "label", "event")},
    **{n: ("string", lambda d: d.words(1, 4), ['saying "{v}"', '"{v}"']) for n in ("text", "message", "note", "body")},
    **{n: ("string", lambda d: d.words(1, 2), ['for "{v}"', "about {v}"]) for n in ("query", "topic", "subject", "keyword")},
    "language": ("string", lambda d: d.rng.choice(LANGUAGES), ["in {v}"]),  # too few to hold out
    "paint": ("string", lambda d: d.rng.choice(COLORS), ["in {v}"]),
    **{n: ("string", lambda d: d.word(), ["{p} {v}"]) for n in ("word", "product", "food", "animal", "room", "device", "song")},
    **{n: ("string", digits, ["{p} {v}", "with {p} {v}"]) for n in ("code", "id", "phone", "zip", "pin", "ticket")},
    **{n: ("array", None, ["with {p} {v}", "{p} {v}"]) for n in ("tags", "names", "cities", "topics", "things", "colors")},
    **{n: ("boolean", None, []) for n in ("urgent", "express", "private", "insurance", "breakfast", "parking", "alarm", "sound")},
    **{n: ("enum", None, ["{p} {v}", "with {p} {v}", "in {v}" if n in ("unit", "currency", "color") else "{v} {p}"]) for n in ENUMS},
}  # fmt: skip
COMMON = "city city location from to date time people days name recipient amount price count text title query color size unit age language room urgent tags".split()
ALIKE = [("in {v}",), ("from {v}",), ("to {v}",), ("for {v}", "for {v} people", "named {v}"), ("on {v}",), ("at {v}",)]


def describe(rng: random.Random, name: str, thing: str) -> str:
    return rng.choice([f"The {name}", f"{name.capitalize()} of the {thing}", f"The {name} to use", f"Name of the {name}",
                       f"{name.capitalize()}", f"The {name}, e.g. {rng.choice(CITIES)}"])  # fmt: skip


def parameter(rng: random.Random, thing: str, taken: set[str], optional: float) -> Parameter:
    """One whose name is not among the `taken` ones."""
    while True:
        phrases: list[str] = []
        r = rng.random()
        if r < 0.96:
            name = rng.choice(COMMON if r < 0.85 else list(POOL))
            kind, make, phrases = POOL[name]
        else:
            name = rng.choice(WORDS)
            kind = rng.choice(["string", "string", "integer", "number", "boolean", "array", "enum"])
            pool = lambda d: d.word() if d.rng.random() < 0.5 else d.proper(NAMES)
            make = {"string": pool, "integer": small, "number": decimal}.get(kind)
        if name not in taken:
            break
    taken.add(name)
    schema: dict = {"type": kind}
    if kind == "enum":
        options = ENUMS.get(name)
        if not options or rng.random() < 0.1:
            options = rng.sample(WORDS, rng.randint(2, 4))
        schema = {"type": "string", "enum": list(options)}
        kind, make = "string", lambda d: d.rng.choice(options)
    elif kind == "array":
        schema["items"] = {"type": "string"}
        make = lambda d: [d.word() for _ in range(d.rng.randint(1, 3))]
    elif kind == "boolean":
        make = lambda d: d.rng.random() < 0.5
    required = rng.random() >= optional
    if not required and kind != "array" and rng.random() < 0.3:
        schema["default"] = make(Draw(rng))
    if rng.random() < 0.35:
        described = {"description": describe(rng, name, thing)}
        schema = schema | described if rng.random() < 0.5 else {"type": schema["type"]} | described | schema
    return Parameter(name, kind, schema, required, make, phrases)


def parameters(rng: random.Random, thing: str, count: int, optional: float = 0.3) -> list[Parameter]:
    taken: set[str] = set()
    return [parameter(rng, thing, taken, optional) for _ in range(count)]


def fill(d: Draw, ps: list[Parameter]) -> list[Value]:
    """The values that the user gives; optional ones are left out half of the time."""
    rng, out = d.rng, []
    for p in ps:
        if p.required or rng.random() < 0.5:
            out.append(Value(p, p.make(d), rng.choice(p.phrases) if p.phrases and rng.random() < 0.75 else None))
    for same in ALIKE:  # "in Paris in French": at most one of each preposition
        for v in [v for v in out if v.natural in same][1:]:
            v.natural = None
    return out


def say(rng: random.Random, v: Value) -> str:
    """How the user gives the value."""
    name, kind = v.parameter.name, v.parameter.kind
    if kind == "boolean":
        yes = [f"with {name}", f"{name} yes", f"{name}: true", f"{name} on", f"{name} true"]
        no = [f"without {name}", f"no {name}", f"{name} no", f"{name}: false", f"{name} off", f"{name} false"]
        return rng.choice(yes if v.value else no)
    if kind == "array":
        text = ", ".join(v.value)
        if len(v.value) > 1 and rng.random() < 0.5:
            text = f"{', '.join(v.value[:-1])} and {v.value[-1]}"
    else:
        text = str(v.value)
    if v.natural:
        return v.natural.format(v=text, p=name)
    if kind == "string" and (" " in text or rng.random() < 0.3):
        text = f'"{text}"'
    forms = ["{p} {v}", "{p} {v}", "{p} {v}", "{p}: {v}", "{p}: {v}", "{p} is {v}", "with {p} {v}"]
    return rng.choice(forms).format(p=name, v=text)


def body(rng: random.Random, values: list[Value]) -> str:
    """The phrases of the values: " in Paris for 3 days, unit celsius"."""
    values = list(values)
    if rng.random() < 0.08:
        rng.shuffle(values)
    out = ""
    for i, v in enumerate(values):
        comma = (v.natural is None and (i > 0 or rng.random() < 0.4)) or rng.random() < 0.15
        if i and i == len(values) - 1 and rng.random() < 0.25:
            out += " and " + say(rng, v)
        else:
            out += (", " if comma else " ") + say(rng, v)
    return out


def schema_of(rng: random.Random, ps: list[Parameter]) -> dict:
    schema: dict = {"type": "object", "properties": {p.name: p.schema for p in ps}}
    required = [p.name for p in ps if p.required]
    if required or rng.random() < 0.3:
        schema["required"] = required
    if rng.random() < 0.5:
        schema["additionalProperties"] = False
    return schema


def object_of(values: list[Value]) -> str:
    """Compact JSON in the order of the schema."""
    return compact({v.parameter.name: v.value for v in values})
