"""Problems that are solved with tools, or answered as JSON: function calls, Python, and objects of a given schema.

A `Setting` is what the system and developer messages offer; many problems are drawn for one setting, so that a batch can
share it. Before a call, the analysis names the function and quotes each value: the call then copies from close by.
"""

import json
import random
from dataclasses import dataclass, field

import skills
from records import (
    CITIES, Draw, Parameter, Value, body, compact, fill, made_up, parameters, object_of, schema_of,
)  # fmt: skip
from skills import EFFORTS, SORRY, Call, Problem, held_out, vary
from words import WORDS


@dataclass
class Function:
    name: str
    description: str
    parameters: list[Parameter]
    schema: dict | None  # None: takes nothing at all
    verb: str
    noun: str


@dataclass
class Format:
    name: str
    description: str | None
    schema: dict
    parameters: list[Parameter]


@dataclass
class Setting:
    python: bool = False
    browser: bool = False
    source: str | None = None  # the browser's "sources=" line; None is openai-harmony's own
    instructions: str | None = None
    functions: list[Function] = field(default_factory=list)
    format: Format | None = None


PLAIN = Setting()
INSTRUCTIONS = [
    "You are a helpful assistant.", "Answer the question.", "Be brief.", "Be kind to the user.", "Always be correct.",
    "Think before you answer.", "Help the user.", "You help children with homework.", "Answer in English.",
    "You are a friendly teacher.", "Keep answers short.", "Be polite and helpful.", "Use the tools.",
    "Use the functions when they help.", "You are a helpful assistant. Use tools when needed.", "Answer as JSON.",
]  # fmt: skip

# --- functions --------------------------------------------------------------------------------------------------------

ASK = "get find show check read fetch look_up tell".split()  # their results are asked for
DO = "book set send create add order buy play start stop open close cancel delete move make write save call turn_on pay rent schedule convert translate search plan reserve update print count measure draw cook repair clean lock".split()
NOUNS = """weather table alarm train flight hotel ticket time news price song music timer light door message email meeting note
room taxi recipe movie book order invoice account balance route map calendar event task reminder stock score photo video file
user customer product temperature forecast rate currency number word list menu bus car seat""".split()
ADJECTIVES = "current new next last local best daily public".split()
RESULTS = """temperature sky price status total rate time place name date wind rain speed level number code seats size color title
city result answer count distance duration score balance room gate platform state""".split()
WORDS_OUT = "open closed sunny cloudy rainy ready full empty late early fast slow good bad booked done sent new old high low".split()


def noun(rng: random.Random) -> str:
    r = rng.random()
    return rng.choice(NOUNS) if r < 0.95 else rng.choice(WORDS)


def function(rng: random.Random, test: bool, verb: str | None = None, thing: str | None = None) -> Function:
    while True:
        v = verb or rng.choice(ASK + ASK + DO)
        n = thing or noun(rng)
        spoken = n
        if rng.random() < 0.12:
            spoken = f"{rng.choice(ADJECTIVES)} {n}"
        parts = [*v.split("_"), *spoken.split()]
        r = rng.random()
        name = "_".join(parts) if r < 0.92 else parts[0] + "".join(p.capitalize() for p in parts[1:])
        if held_out(f"function {name}") == test:
            break
    v = v.replace("_", " ")
    ps = parameters(rng, n, rng.choices([0, 1, 2, 3], [14, 52, 27, 7])[0])
    low, s = v, "es" if v.endswith("h") else "s"
    first, _, rest = v.partition(" ")
    third = f"{first}{s if first == v else 's'}{' ' + rest if rest else ''}"
    about = f" for a {ps[0].name}" if ps and rng.random() < 0.3 else ""
    article = rng.choice(["the", "a"]) if v in DO else "the"
    description = rng.choice([
        f"{v.capitalize()} {article} {spoken}{about}.", f"{third.capitalize()} {article} {spoken}{about}.",
        f"{v.capitalize()} {article} {spoken}{about}", f"{v.capitalize()} {spoken}", f"Use this to {low} {article} {spoken}.",
        f"{v.capitalize()} {article} {spoken} for the user.", "",
        f"{third.capitalize()} the {spoken} in the provided {ps[0].name if ps else 'place'}.",
    ])  # fmt: skip
    schema = schema_of(rng, ps) if ps or rng.random() < 0.6 else None
    return Function(name, description, ps, schema, v, spoken)


def functions_setting(rng: random.Random, test: bool = False) -> Setting:
    """The first function is drawn from the trained or the held-out ones, the others from the trained ones; then shuffled."""
    count = rng.choices([1, 2, 3, 4], [18, 44, 32, 6])[0]
    functions = [function(rng, test)]
    while len(functions) < count:
        verb = thing = None
        r = rng.random()
        if r < 0.15:
            verb = rng.choice(functions).verb.replace(" ", "_")
        elif r < 0.21:
            thing = rng.choice(functions).noun.split()[-1]
        f = function(rng, False, verb, thing)
        if f.name not in [g.name for g in functions] and (f.verb, f.noun) not in [(g.verb, g.noun) for g in functions]:
            functions.append(f)
    rng.shuffle(functions)
    setting = Setting(functions=functions)
    if rng.random() < 0.25:
        setting.instructions = rng.choice(INSTRUCTIONS)
    if rng.random() < 0.1:
        setting.python = True
    return setting


def ask_for(rng: random.Random, f: Function, phrases: str, explicit: bool) -> str:
    v, n = f.verb, f.noun
    low = [
        f"{v.capitalize()} the {n}{phrases}.", f"{v.capitalize()} {n}{phrases}.", f"Please {v} the {n}{phrases}.",
        f"Can you {v} the {n}{phrases}?", f"I want to {v} a {n}{phrases}.", f"{v} {n}{phrases}",
        f"{v.capitalize()} a {n}{phrases}.", f"Could you {v} a {n}{phrases}?", f"I need you to {v} the {n}{phrases}.",
        f"{v.capitalize()} me the {n}{phrases}." if v in ("get", "find", "show", "tell") else f"I'd like to {v} a {n}{phrases}.",
    ]  # fmt: skip
    if v.replace(" ", "_") in ASK and not explicit:
        low += [
            f"What is the {n}{phrases}?", f"What is the {n}{phrases}?", f"What's the {n}{phrases}?", f"{n.capitalize()}{phrases}?",
            f"Tell me the {n}{phrases}.", f"I need the {n}{phrases}.", f"How is the {n}{phrases}?", f"What {n} is there{phrases}?",
            f"Give me the {n}{phrases}.", f"Show me the {n}{phrases}.", f"What is the {n} like{phrases}?",
        ]  # fmt: skip
    return rng.choice(low)


def quoted(values: list[Value]) -> list[str]:
    return [f"{v.parameter.name} {compact(v.value)}" for v in values]


def before_call(setting: Setting, f: Function, values: list[Value], prompt: str) -> dict[str, str]:
    """What is wanted comes first, in the request's own words: these are the same tokens, those of the name are not."""
    said = f"{f.verb} {f.noun}" if f.verb in prompt.lower() else f.noun
    low = f"Wants {said}. Call {f.name}{': ' if values else ''}{', '.join(quoted(values))}."
    wants = f"The user wants: {said}.\nThat is {f.name}."
    each = "".join(f"\n{v.parameter.name} is {compact(v.value)}." for v in values)
    given = {v.parameter.name: v for v in values}
    checked = ""
    for p in f.parameters:
        if p.name in given:
            checked += f"\n{p.name} is {compact(given[p.name].value)}, {p.kind_text()}."
        else:
            checked += f"\n{p.name} is not given."
    call = f"\nI call {f.name}."
    if not f.parameters:
        checked = "\nIt takes nothing."
    offer = f"On offer: {', '.join(g.name for g in setting.functions)}.\n"
    return {"low": low, "medium": wants + each + call, "high": offer + wants + checked + call}


def spoken(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def result(rng: random.Random, name: str) -> tuple[str, dict[str, str], str]:
    """A reply of the function, the analysis of it, and the answer."""
    r = rng.random()
    if r < 0.12:
        text = rng.choice(["not found", "timeout", "no such " + rng.choice(NOUNS), "unknown " + rng.choice(NOUNS), "not allowed",
                           "bad request", "service down", "too late", "no answer"])  # fmt: skip
        key = rng.choice(["error", "error", "error", "Error"])
        reply = compact({key: text}) if rng.random() < 0.65 else f"Error: {text}"
        if reply[0] == "{" and rng.random() < 0.3:
            reply = json.dumps({key: text})
        failed = f"The tool failed: {text}."
        return (
            reply,
            {"low": f"Error: {text}.", "medium": failed + "\nI say so.", "high": failed + "\nSo there is no result.\nI say so."},
            f"Sorry, {name} failed: {text}.",
        )
    if r < 0.2:
        reply = rng.choice(['{"ok":true}', '{"success":true}', "{}", "ok", "OK", "done", "Done", "null", '{"ok": true}'])
        done = "The tool has done it."
        return reply, {"low": "Done.", "medium": done + "\nI say so.", "high": done + "\nThere is no error.\nI say so."}, "Done."
    if r < 0.3:
        r = rng.random()
        text = " ".join(rng.choice(WORDS + WORDS_OUT * 100) for _ in range(rng.randint(1, 4)))
        if r < 0.4:
            text = str(small_number(rng))
        elif r < 0.6:
            text = f"{text.capitalize()}, {small_number(rng)}"
        reply = text if rng.random() < 0.7 else compact(text)
        if r < 0.4:
            reply = text
        says = f"The tool says: {text}."
        return (
            reply,
            {"low": f"Reply: {text}.", "medium": says + "\nI tell the user.", "high": says + "\nThere is no error.\nI tell the user."},
            f"The answer is {text}.",
        )
    fields = {}
    for _ in range(rng.choices([1, 2, 3], [35, 45, 20])[0]):
        key = rng.choice(RESULTS)
        r = rng.random()
        if r < 0.45:
            v = small_number(rng)
        elif r < 0.5:
            v = rng.random() < 0.5
        elif r < 0.75:
            v = rng.choice(WORDS_OUT) if rng.random() < 0.9 else rng.choice(WORDS)
        elif r < 0.9:
            v = rng.choice(CITIES) if rng.random() < 0.9 else made_up(rng).capitalize()
        else:
            v = f"{rng.choice(WORDS_OUT)} {rng.choice(WORDS_OUT)}" if rng.random() < 0.3 else f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
        fields[key] = v
    reply = compact(fields) if rng.random() < 0.65 else json.dumps(fields)
    pairs = [f"{k} is {spoken(v)}" for k, v in fields.items()]
    says = f"The tool says: {', '.join(pairs)}."
    the = [f"the {p}" for p in pairs]
    sentence = the[0] if len(the) == 1 else ", ".join(the[:-1]) + " and " + the[-1]
    return (
        reply,
        {
            "low": f"Reply: {', '.join(f'{k} {spoken(v)}' for k, v in fields.items())}.",
            "medium": says + "\nI tell the user.",
            "high": says + f"\nThere is no error.\nI tell the user: {', '.join(fields)}.",
        },
        sentence[0].upper() + sentence[1:] + ".",
    )


def small_number(rng: random.Random):
    r = rng.random()
    return rng.randint(0, 99) if r < 0.6 else rng.randint(100, 9999) if r < 0.75 else round(rng.uniform(0, 100), 1) if r < 0.9 else -rng.randint(1, 30)


def function_problem(rng: random.Random, setting: Setting, test: bool = False) -> Problem:
    """A request for one of the setting's functions."""
    d = Draw(rng, test)
    for _ in range(20):  # a flag has but two values, which may both be held out
        fs = [f for f in setting.functions if held_out(f"function {f.name}") == test]
        f = rng.choice(fs or setting.functions)  # an earlier turn may not find a trained one
        values = fill(d, f.parameters)
        arguments = object_of(values)
        key = f"{f.name} {arguments}"
        if not values or held_out(key) == test or test:
            break
    others = [g for g in setting.functions if g is not f]
    explicit = any(g.noun.split()[-1] == f.noun.split()[-1] for g in others)
    prompt = vary(rng, ask_for(rng, f, body(rng, values), explicit))
    reply, after, final = result(rng, f.name)
    call = Call(f"functions.{f.name}", arguments, reply, before_call(setting, f, values, prompt))
    return Problem("call", key, prompt, after, final, [call])


def not_on_offer(rng: random.Random, setting: Setting) -> Problem:
    """A request for a function that nobody offers."""
    taken = {w for g in setting.functions for w in (g.verb, *g.noun.split())}
    while True:
        f = function(rng, False)
        if f.verb not in taken and not taken & set(f.noun.split()):
            break
    prompt = vary(rng, ask_for(rng, f, body(rng, fill(Draw(rng), f.parameters)), False))
    analysis = {
        "low": "No function does this.",
        "medium": "No function does this. I have no skill for it. I cannot do this.",
        "high": f"On offer: {', '.join(g.name for g in setting.functions)}.\nNone of them does this, and I have no skill for it.\n"
        "I should say so and name what I can do.",
    }
    return Problem("other", prompt, prompt, analysis, SORRY)


# --- python -----------------------------------------------------------------------------------------------------------

MULTIPLY = [
    "What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "{a}*{b}", "{a} times {b}", "Multiply {a} by {b}.",
    "What's {a} * {b}?", "What is {a}*{b}?", "{a} x {b}", "What is {a} x {b}?", "{a} × {b}", "What is {a} × {b}?",
    "Calculate {a} * {b}.", "Compute {a} times {b}.", "How much is {a} times {b}?", "Multiply {a} and {b}.",
    "What is the product of {a} and {b}?", "{a} multiplied by {b}", "Can you multiply {a} by {b}?", "{a} * {b} = ?",
    "Tell me {a} * {b}.", "What does {a} * {b} equal?",
]
DIVIDE = [
    "What is {a} / {b}?", "What is {a} divided by {b}?", "{a} / {b}", "{a}/{b}", "Divide {a} by {b}.", "{a} divided by {b}",
    "How much is {a} divided by {b}?", "Calculate {a} / {b}.",
]
POWER = [
    "What is {a}^{b}?", "What is {a} to the power of {b}?", "{a}^{b}", "{a} ** {b}", "Raise {a} to the power {b}.",
    "{a} to the power of {b}", "Compute {a}^{b}.", "What is {a} to the {b}?",
]
SUM = [
    "What is the sum of {n}?", "Sum {n}.", "Add {n}.", "Add up {n}.", "Sum of {n}?", "What is {p}?", "{p}", "Calculate {p}.",
    "How much is {p}?", "Total of {n}?",
]
NAMES_OF = {"*": "a multiplication", "/": "a division", "**": "a power", "+": "an addition", "-": "a subtraction"}
FAILURES = [
    "Traceback (most recent call last):\n  File \"main.py\", line 1\nError", "Error: timed out", "Execution timed out after 120 seconds.",
    "Error: python is not available", "Timeout", "error: no answer", "MemoryError", "The tool is not available.",
    "RuntimeError: stopped", "Error: the code took too long",
]  # fmt: skip
PYTHON_FAILED = "Sorry, python failed, so I do not know."


def python_analysis(what: str, code: str, notes: str) -> dict[str, str]:
    steps = f"This is {what}.\nI compute {code} with python."
    return {"low": f"Python: {code}.", "medium": steps, "high": f"This is {what}.\n{notes}\nI compute {code} with python.\nprint shows the result."}


def with_python(rng: random.Random, skill: str, key: str, prompt: str, what: str, code: str, notes: str, output: str, final: str):
    reply = output
    after = {
        "low": f"It is {output}.",
        "medium": f"Python says {output}.\nThat is the answer.",
        "high": f"Python says {output}.\nThere is no error.\nSo {code} is {output}.\nThat is the answer.",
    }
    if rng.random() < 0.06:
        reply, final = rng.choice(FAILURES), PYTHON_FAILED
        after = {"low": "It failed.", "medium": "Python failed.\nI say so.", "high": "Python failed.\nThere is no result.\nI say so."}
    if rng.random() < 0.5:
        reply += "\n"
    return Problem(skill, key, prompt, after, final, [Call("python", f"print({code})", reply, python_analysis(what, code, notes))])


def size(rng: random.Random, most: int) -> int:
    n = rng.randint(1, most)
    return rng.randint(10 ** (n - 1) if n > 1 else 0, 10**n - 1)


def multiplication(rng: random.Random) -> Problem:
    a, b = size(rng, 4), size(rng, 3)
    if rng.random() < 0.3:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
    if rng.random() < 0.3:
        a, b = b, a
    return with_python(rng, "python", f"{a}*{b}", vary(rng, rng.choice(MULTIPLY).format(a=a, b=b)), "a multiplication", f"{a}*{b}",
                       f"The numbers are {a} and {b}.", str(a * b), f"{a} × {b} = {a * b}.")  # fmt: skip


def calculation(rng: random.Random) -> Problem:
    """Other sums that Python makes easy, up to five digits."""
    kind = rng.choice("++--/^s")
    if kind in "+-":
        most = rng.choice([2, 3, 3, 5])
        a, b = size(rng, most), size(rng, most)
        templates = skills.ADD if kind == "+" else skills.SUBTRACT
        value = a + b if kind == "+" else a - b
        what = "an addition" if kind == "+" else "a subtraction"
        prompt, code, final = rng.choice(templates).format(a=a, b=b), f"{a}{kind}{b}", f"{a} {kind} {b} = {value}."
    elif kind == "/":
        b = rng.randint(2, 99)
        a = b * rng.randint(1, 99) if rng.random() < 0.7 else size(rng, 3)
        value, what = a / b, "a division"
        prompt, code, final = rng.choice(DIVIDE).format(a=a, b=b), f"{a}/{b}", f"{a} / {b} = {value}."
    elif kind == "^":
        a, b = rng.randint(2, 20), rng.randint(2, 8)
        value, what = a**b, "a power"
        prompt, code, final = rng.choice(POWER).format(a=a, b=b), f"{a}**{b}", f"{a}^{b} = {value}."
    else:
        ns = [size(rng, 3) for _ in range(rng.randint(3, 5))]
        value, what = sum(ns), "an addition"
        plus = " + ".join(map(str, ns))
        listed = ", ".join(map(str, ns)) if rng.random() < 0.6 else ", ".join(map(str, ns[:-1])) + f" and {ns[-1]}"
        prompt, code, final = rng.choice(SUM).format(n=listed, p=plus), "+".join(map(str, ns)), f"{plus} = {value}."
        return with_python(rng, "python", code, vary(rng, prompt), what, code, f"The numbers are {', '.join(map(str, ns))}.", str(value), final)
    return with_python(rng, "python", code, vary(rng, prompt), what, code, f"The numbers are {a} and {b}.", str(value), final)


def word_code(rng: random.Random) -> Problem:
    """Counting, reversing, measuring and sorting, which Python does without mistakes."""
    w = skills.word(rng)
    shown = skills.quote(rng, w)
    kind = rng.choice(["count", "reverse", "length", "sort"])
    if kind == "count":
        l = rng.choice(w)
        n = w.count(l)
        template = rng.choice(skills.COUNT)
        letter = skills.quote(rng, l, 1.0 if "{l}'s" in template else 0.35)
        prompt, code, output = template.format(l=letter, w=shown), f'"{w}".count("{l}")', str(n)
        final = f'The letter "{l}" appears {n} time{"" if n == 1 else "s"} in "{w}".'
        what, notes = "counting a letter", f'The word is "{w}". The letter is "{l}".'
    elif kind == "reverse":
        prompt, code, output = rng.choice(skills.REVERSE).format(w=shown), f'"{w}"[::-1]', w[::-1]
        final, what, notes = f'"{w}" reversed is "{w[::-1]}".', "reversing a word", f'The word is "{w}".'
    elif kind == "length":
        prompt, code, output = rng.choice(skills.LENGTH).format(w=shown), f'len("{w}")', str(len(w))
        final, what, notes = f'"{w}" has {len(w)} letters.', "the length of a word", f'The word is "{w}".'
    else:
        numbers = rng.sample(range(rng.choice([20, 100, 1000])), rng.randint(3, 6))
        down = rng.random() < 0.25
        listed = ", ".join(map(str, numbers))
        prompt = rng.choice(skills.SORT_DOWN if down else skills.SORT).format(n=listed)
        code = f"sorted([{listed}]{', reverse=True' if down else ''})"
        ordered = sorted(numbers, reverse=down)
        output, what, notes = str(ordered), "sorting numbers", f"The numbers are {listed}."
        final, w = f"{', '.join(map(str, ordered))}.", ", ".join(map(str, sorted(numbers)))
    return with_python(rng, "python", w, vary(rng, prompt), what, code, notes, output, final)


def python_problem(rng: random.Random, setting: Setting, test: bool = False) -> Problem:
    while True:
        r = rng.random()
        p = multiplication(rng) if r < 0.5 else calculation(rng) if r < 0.8 else word_code(rng)
        if held_out(p.key) == test:
            return p


# --- JSON of a given schema -------------------------------------------------------------------------------------------

FORMATS = "person event order ticket city user product recipe note task book booking invoice contact item answer result record trip shopping_list meeting car animal house".split()
EXTRACT = [
    "Extract: {b}", "Make a {f}: {b}", "Give me a {f}: {b}", "{b}", "{b}", "Fill in the {f}: {b}", "As JSON: {b}", "A {f}: {b}",
    "Write this as JSON: {b}", "Extract the {f} from this: {b}", "Here is a {f}: {b}", "JSON for a {f}: {b}", "Turn this into JSON: {b}",
    "Create a {f} {b}", "I need a {f} {b}", "The {f}: {b}",
]  # fmt: skip


def format_setting(rng: random.Random, test: bool = False) -> Setting:
    while True:
        thing = rng.choice(FORMATS) if rng.random() < 0.6 else noun(rng)
        ps = parameters(rng, thing.replace("_", " "), rng.choices([1, 2, 3, 4], [18, 40, 30, 12])[0], optional=0.1)
        if rng.random() < 0.3:  # people are the usual example
            named = {"name": ("string", "name"), "age": ("integer", "age"), "city": ("string", "city")}
            wanted = rng.sample(list(named), rng.randint(2, 3))
            from records import POOL

            ps = [Parameter(n, named[n][0], {"type": named[n][0]}, True, POOL[n][1], POOL[n][2]) for n in wanted]
            thing = rng.choice(["person", "user", "contact", "record", "guest"])
            if rng.random() < 0.4:
                ps += parameters(rng, thing, 1, 0.1)
        if len({p.name for p in ps}) == len(ps) and held_out("schema " + compact([thing, [p.name for p in ps]])) == test:
            break
    schema = schema_of(rng, ps)
    if rng.random() < 0.1:
        schema = {"title": thing.capitalize()} | schema
    description = None
    if rng.random() < 0.3:
        description = rng.choice([f"A {thing}", f"The {thing}", f"Data of a {thing}", f"One {thing}."])
    instructions = rng.choice(INSTRUCTIONS) if rng.random() < 0.25 else None
    name = thing if rng.random() < 0.7 else rng.choice(["response", "output", "answer", "result", "schema", "data"])
    return Setting(instructions=instructions, format=Format(name, description, schema, ps))


def sentence(rng: random.Random, values: list[Value]) -> str | None:
    """Ann is 31 years old and lives in Paris."""
    by_name = {v.parameter.name: v.value for v in values}
    if set(by_name) == {"name", "age", "city"}:
        text = rng.choice(["{name} is {age} years old and lives in {city}.", "{name}, {age}, from {city}.", "{name} from {city} is {age}.",
                           "{name} is {age} and lives in {city}.", "{name} lives in {city} and is {age} years old."])  # fmt: skip
    elif set(by_name) == {"name", "age"}:
        text = rng.choice(["{name} is {age} years old.", "{name}, {age}.", "{name} is {age}.", "{name}, {age} years old."])
    elif set(by_name) == {"name", "city"}:
        text = rng.choice(["{name} lives in {city}.", "{name} from {city}.", "{name} is from {city}.", "{name} is in {city}."])
    else:
        return None
    return text.format(**by_name)


def format_problem(rng: random.Random, setting: Setting, test: bool = False) -> Problem:
    f = setting.format
    d = Draw(rng, test)
    while True:
        values = fill(d, f.parameters)
        if values:
            break
    data = object_of(values)
    thing = f.schema.get("title", f.name).lower()
    phrases = sentence(rng, values) if rng.random() < 0.8 else None
    if phrases is None:
        phrases = body(rng, values).lstrip(" ,") + "."
        if rng.random() < 0.3:
            phrases = "with " + phrases
    prompt = vary(rng, rng.choice(EXTRACT).format(b=phrases, f=thing))
    each = "".join(f"\n{v.parameter.name} is {compact(v.value)}." for v in values)
    given = {v.parameter.name: v for v in values}
    checked = ""
    for p in f.parameters:
        checked += f"\n{p.name} is {compact(given[p.name].value)}, {p.kind_text()}." if p.name in given else f"\n{p.name} is not given."
    analysis = {
        "low": f"{', '.join(quoted(values))}.",
        "medium": f"The answer is JSON.{each}",
        "high": f"The answer is JSON in the format {f.name}.\nIts fields: {', '.join(p.name for p in f.parameters)}.{checked}\nI write it.",
    }
    return Problem("json", f"{f.name} {data}", prompt, analysis, data, content_type="<|constrain|>json")


if __name__ == "__main__":  # print a few
    rng = random.Random(1)
    for make, problem in (functions_setting, function_problem), (lambda r: Setting(python=True), python_problem), (format_setting, format_problem):
        for _ in range(6):
            setting = make(rng)
            p = problem(rng, setting)
            print("\n===", [(f.name, f.description, f.schema) for f in setting.functions], setting.format and setting.format.schema)
            print(p.prompt)
            for effort in EFFORTS:
                for c in p.calls:
                    print(f"[{effort}] {c.analysis[effort]!r} -> {c.recipient} {c.arguments} -> {c.reply!r}")
                print(f"[{effort}] {p.analysis[effort]!r} => {p.final}")
