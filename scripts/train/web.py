"""Little webs of invented places and people, and questions that take a search and a page to answer.

A page has a title, a first sentence, and facts, "The depth of Lake Orrin is 42 meters." Search results and pages look as
gpt_oss.tools.simple_browser shows them. Run on its own, this writes the fixed web in golden/web/.
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from records import CITIES, NAMES, made_up
from skills import Call, Problem, held_out, vary
from tools import Setting
from words import WORDS

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "web"
HITS = 5
SITE = "web.example"


def count_of(low: int, high: int, unit: str):
    return lambda rng: f"{rng.randint(low, high)} {unit}"


def year(rng):
    return str(rng.randint(1200, 2020))


def proper(rng):
    return made_up(rng).capitalize() if rng.random() < 0.7 else rng.choice(CITIES)


def someone(rng):
    return f"{rng.choice(NAMES)} {made_up(rng).capitalize()}"


def one_of(words: str):
    options = words.split()
    return lambda rng: rng.choice(options)


ANIMALS = "trout eel otter swan heron crane goat bear wolf fox deer owl frog carp pike duck goose seal crab".split()
FOODS = "soup bread cheese honey rice beans cake plums berries nuts fish stew".split()
# kind: (path, how a title is made, what the first sentence says it is, facts: (noun, questions, value))
KINDS = {
    "lake": ("lakes", "Lake {n}", "a lake", [
        ("depth", ["How deep is {e}?"], count_of(2, 400, "meters")), ("area", ["How large is {e}?"], count_of(2, 900, "hectares")),
        ("age", ["How old is {e}?"], count_of(100, 9000, "years")), ("color", ["What color does {e} have?"], one_of("green blue gray black white")),
        ("main fish", ["Which fish lives in {e}?"], one_of("trout eel carp pike perch salmon")),
    ]),
    "mountain": ("mountains", "Mount {n}", "a mountain", [
        ("height", ["How high is {e}?", "How tall is {e}?"], count_of(300, 7000, "meters")), ("age", ["How old is {e}?"], count_of(2, 90, "million years")),
        ("first climber", ["Who climbed {e} first?"], someone), ("rock", ["What is {e} made of?"], one_of("granite chalk basalt marble slate")),
        ("main animal", ["Which animal lives on {e}?"], one_of("goat bear wolf fox deer owl")),
    ]),
    "town": ("towns", "{n}", "a town", [
        ("population", ["How many people live in {e}?"], lambda rng: str(rng.randint(200, 90000))), ("mayor", ["Who is the mayor of {e}?", "Who runs {e}?"], someone),
        ("founding year", ["When was {e} founded?"], year), ("river", ["Which river flows through {e}?"], proper),
        ("main dish", ["What do people eat in {e}?"], one_of(" ".join(FOODS))),
    ]),
    "river": ("rivers", "River {n}", "a river", [
        ("length", ["How long is {e}?"], count_of(5, 900, "kilometers")), ("source", ["Where does {e} begin?"], proper),
        ("mouth", ["Where does {e} end?"], proper), ("speed", ["How fast is {e}?"], count_of(1, 20, "kilometers an hour")),
        ("main fish", ["Which fish lives in {e}?"], one_of("trout eel carp pike perch salmon")),
    ]),
    "bird": ("birds", "{n} bird", "a bird", [
        ("weight", ["How heavy is the {e}?"], count_of(10, 900, "grams")), ("food", ["What does the {e} eat?"], one_of(" ".join(FOODS))),
        ("color", ["What color is the {e}?"], one_of("green blue gray black white red brown yellow")), ("wingspan", ["How wide are the wings of the {e}?"], count_of(10, 300, "centimeters")),
        ("song", ["What does the {e} sing?"], made_up),
    ]),
    "person": ("people", "{p} {n}", "a person", [
        ("birth year", ["When was {e} born?"], year), ("job", ["What does {e} do?"], one_of("baker painter doctor sailor teacher farmer singer writer")),
        ("home", ["Where does {e} live?"], proper), ("instrument", ["What does {e} play?"], one_of("piano violin drum flute guitar horn harp")),
        ("hobby", ["What does {e} like to do?"], one_of("chess fishing running cooking reading swimming sailing")),
    ]),
    "bridge": ("bridges", "{n} Bridge", "a bridge", [
        ("length", ["How long is {e}?"], count_of(20, 3000, "meters")), ("height", ["How high is {e}?"], count_of(5, 200, "meters")),
        ("builder", ["Who built {e}?"], someone), ("opening year", ["When was {e} opened?"], year), ("color", ["What color is {e}?"], one_of("green blue gray black white red")),
    ]),
    "book": ("books", "The {w} of {n}", "a book", [
        ("author", ["Who wrote {e}?"], someone), ("year", ["When was {e} written?"], year), ("length", ["How long is {e}?"], count_of(40, 900, "pages")),
        ("hero", ["Who is the hero of {e}?"], someone), ("price", ["What does {e} cost?", "How much is {e}?"], count_of(2, 60, "crowns")),
    ]),
    "ship": ("ships", "Ship {n}", "a ship", [
        ("captain", ["Who is the captain of {e}?", "Who sails {e}?"], someone), ("length", ["How long is {e}?"], count_of(8, 300, "meters")),
        ("cargo", ["What does {e} carry?"], one_of("salt wood coal iron tea cotton wine rice")), ("speed", ["How fast is {e}?"], count_of(4, 40, "knots")),
        ("home port", ["Where is {e} from?"], proper),
    ]),
}  # fmt: skip
ANY = [
    "What is the {a} of {e}?", "What is the {a} of {e}?", "Tell me the {a} of {e}.", "Find the {a} of {e}.", "Look up the {a} of {e}.",
    "What {a} does {e} have?", "{e} {a}", "Search the web for the {a} of {e}.", "Do you know the {a} of {e}?", "I need the {a} of {e}.",
    "What's the {a} of {e}?",
]  # fmt: skip


@dataclass
class Fact:
    noun: str
    value: str
    questions: list[str]

    def sentence(self, title: str) -> str:
        return f"The {self.noun} of {title} is {self.value}."


@dataclass
class Page:
    title: str
    url: str
    first: str
    facts: list[Fact]

    def paragraphs(self) -> list[str]:
        return [self.first, *(f.sentence(self.title) for f in self.facts)]


def page(rng: random.Random, land: str, others: list[Page], facts: int, odd: float = 0.25) -> Page:
    kind = rng.choice(list(KINDS))
    path, pattern, what, offered = KINDS[kind]
    name = made_up(rng).capitalize()
    title = pattern.format(n=name, p=rng.choice(NAMES), w=rng.choice(WORDS).capitalize())
    near = rng.choice(others).title if others and rng.random() < 0.4 else land
    first = f"{title} is {what} {'near' if near != land else 'in'} {near}."
    chosen = [Fact(noun, make(rng), questions) for noun, questions, make in rng.sample(offered, facts)]
    if rng.random() < odd:  # any word can be a fact's name
        chosen[rng.randrange(facts)] = Fact(rng.choice(WORDS), rng.choice([proper, year, someone, one_of(" ".join(WORDS[:300]))])(rng), [])
    return Page(title, f"https://{SITE}/{path}/{name.lower()}", first, chosen)


def make_web(rng: random.Random, size: int, facts: tuple[int, int] = (3, 4)) -> list[Page]:
    land, pages = made_up(rng).capitalize(), []
    while len(pages) < size:
        p = page(rng, land, pages, rng.randint(*facts), odd=0.06)
        if max(map(len, p.paragraphs())) > 75 or len(p.title) + len(p.first) > 57:
            continue
        if p.title not in [q.title for q in pages] and len({f.noun for f in p.facts}) == len(p.facts):
            pages.append(p)
    return pages


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def search(pages: list[Page], query: str) -> list[Page]:
    """Pages by how many different words of the query are in their title or text, ties in the order of the web."""
    wanted = words_of(query)
    scores = [len(wanted & words_of(" ".join([p.title, *p.paragraphs()]))) for p in pages]
    order = sorted(range(len(pages)), key=lambda i: -scores[i])
    return [pages[i] for i in order if scores[i]][:HITS]


def display(cursor: int, title: str, url: str, lines: list[str]) -> str:
    """SimpleBrowserTool's page: all lines fit."""
    header = f"{title} ({url})" if url else title
    assert all(len(line) <= 80 for line in lines), lines  # longer ones would be wrapped
    body = "\n".join(f"L{i}: {line}" for i, line in enumerate(lines))
    last = len(lines) - 1
    return f"[{cursor}] {header}\n**viewing lines [0 - {last}] of {last}**\n\n{body}"


def results_page(cursor: int, query: str, hits: list[Page]) -> str:
    lines = ["", "URL: ", "# Search Results", ""]
    lines += [f"  * 【{i}†{p.title}†{SITE}】 {p.first}" for i, p in enumerate(hits)]
    return display(cursor, query, "", lines)


def page_lines(p: Page, heading: bool = True) -> list[str]:
    lines = ["", f"URL: {p.url}"]
    if heading:
        lines += [f"# {p.title}", ""]
    for i, paragraph in enumerate(p.paragraphs()):
        lines += ([""] if i else []) + [paragraph]
    return lines


def browser_setting(rng: random.Random) -> Setting:
    return Setting(browser=True, source="web" if rng.random() < 0.6 else None)


NOT_FOUND = "Sorry, I could not find that."


def browse(rng: random.Random, pages: list[Page], hits: list[Page] | None, target: Page, fact: Fact, question: str,
           cursor: int = 0, heading: bool = True) -> Problem:  # fmt: skip
    """The problem of finding one fact. `hits`: what the search shows, by default what `search` finds."""
    query = f"{target.title} {fact.noun}"
    if hits is None:
        hits = search(pages, query)
    asks = f"The question is about the {fact.noun} of {target.title}."
    search_call = Call("browser.search", json.dumps({"query": query}, separators=(",", ":")), results_page(cursor, query, hits), {
        "low": f"Search: {query}.",
        "medium": f"{asks}\nI search for {query}.",
        "high": f"{asks}\nI do not know it, so I use the browser.\nI search for {query}.",
    })  # fmt: skip
    listed = ", ".join(f"{i} {p.title}" for i, p in enumerate(hits))
    key = f"{target.title} {fact.noun}"
    if target not in hits:
        analysis = {
            "low": f"No {target.title}.",
            "medium": f"Hits: {listed}.\nNone is {target.title}.",
            "high": f"Hits: {listed}.\nNone is {target.title}.\nI say that I could not find it.",
        }
        return Problem("browse", key, question, analysis, NOT_FOUND, [search_call])
    i = hits.index(target)
    lines = page_lines(target, heading)
    open_call = Call("browser.open", f'{{"cursor":{cursor},"id":{i}}}', display(cursor + 1, target.title, target.url, lines), {
        "low": f"{target.title} is {i}.",
        "medium": f"Hits: {listed}.\n{target.title} is {i}.",
        "high": f"Hits: {listed}.\n{target.title} is {i}.\nThe results are page {cursor}. I open {i} there.",
    })  # fmt: skip
    sentence = fact.sentence(target.title)
    line = lines.index(sentence)
    # Line by line up to the right one: each step copies what follows its label, and the last label is the citation's.
    before = [f"L{lines.index(f.sentence(target.title))}: The {f.noun}." for f in target.facts[: target.facts.index(fact)]]
    scan = [*before, f"L{line}: {sentence}"]
    read = "\n".join(scan)
    analysis = {
        "low": " ".join(scan),
        "medium": f"I look for the {fact.noun}.\n{read}\nThat is L{line} of page {cursor + 1}.",
        "high": f"This is page {cursor + 1}, {target.title}.\nI look for the {fact.noun}.\n{read}\nThat is it.\nI cite page {cursor + 1}, L{line}.",
    }
    return Problem("browse", key, question, analysis, f"{sentence}【{cursor + 1}†L{line}】", [search_call, open_call])


def ask(rng: random.Random, p: Page, fact: Fact) -> str:
    templates = fact.questions if fact.questions and rng.random() < 0.55 else ANY
    return rng.choice(templates).format(e=p.title, a=fact.noun)


def browse_problem(rng: random.Random, setting: Setting, test: bool = False) -> Problem:
    while True:
        pages = make_web(rng, rng.randint(3, 7) if not test else 10)
        target = rng.choice(pages)
        if held_out(target.title) != test:
            continue
        fact = rng.choice(target.facts)
        question = vary(rng, ask(rng, target, fact))
        if test:
            return browse(rng, pages, None, target, fact, question)
        r = rng.random()
        hits = None
        if r < 0.6:  # any order: what is first need not be right
            hits = rng.sample(pages, min(len(pages), rng.choice([1, 2, 3, 3, 4, 5])))
            if target not in hits and r > 0.04:
                hits[rng.randrange(len(hits))] = target
        cursor = 0 if rng.random() < 0.7 else rng.randint(1, 9)
        return browse(rng, pages, hits, target, fact, question, cursor, rng.random() < 0.85)


def html(p: Page) -> str:
    paragraphs = "".join(f"<p>{text}</p>\n" for text in p.paragraphs())
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{p.title}</title></head>\n'
        f"<body>\n<h1>{p.title}</h1>\n{paragraphs}</body>\n</html>\n"
    )


def fixed_web() -> list[Page]:
    """The web in golden/web/: 32 pages, all of whose titles are held out. Half of them lie near another one of their kind
    and come before it in the index, so that a search often shows them before the page that is looked for."""
    rng, pages, land = random.Random(20), [], "Velda"
    pronounceable = re.compile(r"([aeiou]?([bdfghklmnprstvz][aeiou])+[lmnrstk]?)")
    while len(pages) < 32:
        p = page(rng, land, [], 4)
        name, path = p.url.split("/")[-1], p.url.split("/")[3]
        alike = [q for q in pages if q.url.split("/")[3] == path]
        good = held_out(p.title) and pronounceable.fullmatch(name) and 3 < len(name) < 8
        if not good or len(alike) > 3 or p.url in [q.url for q in pages] or not all(f.questions for f in p.facts):
            continue
        if alike:
            near = p.first.replace(f"in {land}", f"near {alike[-1].title}")
            if len(p.title) + len(near) <= 57:
                p.first = near
        if max(map(len, p.paragraphs())) <= 75 and len(p.title) + len(p.first) <= 57:
            pages.append(p)
    return pages[::-1]


def write(folder: Path = FOLDER):
    pages = fixed_web()
    index = []
    for p in pages:
        file = p.url.split("/", 3)[3] + ".html"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(html(p))
        index.append({"url": p.url, "title": p.title, "file": file})
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    questions = []
    for p in pages:
        for f in p.facts:
            query, sentence = f"{p.title} {f.noun}", f.sentence(p.title)
            questions.append({
                "question": f.questions[0].format(e=p.title), "query": query, "id": search(pages, query).index(p),
                "answer": f"{sentence}【1†L{page_lines(p).index(sentence)}】",
            })  # fmt: skip
    (folder / "questions.json").write_text(json.dumps(questions, indent=2, ensure_ascii=False) + "\n")
    print(f"{len(pages)} pages, {len(questions)} questions -> {folder}")


if __name__ == "__main__":
    write()
