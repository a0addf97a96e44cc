"""golden/browser: what OpenAI's SimpleBrowserTool (gpt-oss 0.0.9) shows for fixed pages and calls.

    python3.12 -m venv .venv && . .venv/bin/activate
    pip install -r scripts/golden-browser/requirements.txt && pip install --no-deps gpt-oss==0.0.9
    python scripts/golden-browser/make.py

The tool, its pages and its Exa back end are the unmodified package; only the back end's HTTP request is answered from
golden/browser/pages. Same bytes at every run.
"""

import asyncio
import hashlib
import json
import logging
import random
import sys
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, unquote, urljoin

import chz
import structlog
from openai_harmony import Author, Message, Role, TextContent

from gpt_oss.tools.simple_browser import page_contents
from gpt_oss.tools.simple_browser.backend import ExaBackend
from gpt_oss.tools.simple_browser.simple_browser_tool import SimpleBrowserTool, wrap_lines

OUT = Path(__file__).parents[2] / "golden" / "browser"
PAGES = OUT / "pages"
SITE = "https://site.example.com/"
SEED = 20250805
logging.disable(logging.CRITICAL)
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

URLS = {SITE + path.name: path.name for path in sorted(PAGES.iterdir())}
ODD_URL = SITE + "percent.html?q=%E2%82%AC%20%FF%zz+1"
URLS[ODD_URL] = "percent.html"
TITLES = {SITE + "xhtml.html": "A title from the search engine"}
HITS = [
    (SITE + "article.html", "The lighthouse at Marrow Point", "Built in 1871, the lighthouse stands 34 metres tall."),
    (SITE + "lists.html", "Lists", "Lists in lists, and a summary\nover two lines."),
    (SITE + "huge.html", "A very long page", "harbour tide lantern " * 12),
    ("https://other.example.org/missing", "AT&T is missing †", "5 < 6 【1†x】 é 日本語"),
    ("https://arxiv.org/abs/2508.10925", "gpt-oss model card", ""),
    (SITE + "article.html", "The same page again", "Once more."),
]

# pages that ours shows otherwise, and why
DIFFERENT = {
    "math-tail.html": "text after a formula",
    "xml-declaration.html": "an XML declaration",
    "lone-link.html": "a lone link",
    "entities.html": "brackets by entity",
}


@chz.chz(typecheck=True)
class LocalExa(ExaBackend):
    """The Exa back end, its requests answered from files."""

    async def _post(self, session, endpoint, payload):
        if endpoint == "/search":
            if payload["query"] == "error":
                raise RuntimeError("the search engine is down")
            count = 0 if payload["query"] == "nothing" else payload["numResults"]
            return {"results": [dict(zip(("url", "title", "summary"), hit)) for hit in HITS[:count]]}
        assert endpoint == "/contents"
        (url,) = payload["urls"]
        if url not in URLS:
            return {"results": []}
        text = (PAGES / URLS[url]).read_bytes().decode()
        return {"results": [{"text": text, "title": TITLES.get(url, "")}]}


async def answer(tool, recipient, content):
    message = Message(author=Author(role=Role.ASSISTANT), content=[TextContent(text=content)]).with_recipient(recipient)
    messages = [m async for m in tool.process(message)]
    assert len(messages) == 1
    return messages[0].content[0].text


async def run(name, calls, view_tokens=1024):
    """A call is (function, arguments[, why ours differs]); arguments may be text."""
    tool = SimpleBrowserTool(backend=LocalExa(source="web"), view_tokens=view_tokens)
    done = []
    for function, arguments, *why in calls:
        content = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        call = {"function": function, "content": content}
        try:
            call["text"] = await answer(tool, f"browser.{function}", content)
        except Exception as error:
            call["raises"] = type(error).__name__
        if why:
            call["differs"] = why[0]
        done.append(call)
    return {"name": name, "view_tokens": view_tokens, "calls": done, "urls": tool.tool_state.page_stack}


def walk(rng):
    """Random calls, valid and not. One search each: the reference mixes up the results of several."""
    calls = [("search", {"query": rng.choice(["lighthouse", "tide tables", "ünï 【x】", "nothing"]), "topn": rng.choice([1, 5, 10])})]
    urls = [url for url in URLS if URLS[url] not in (*DIFFERENT, "broken-link.html")]
    for _ in range(11):
        kind = rng.random()
        if kind < 0.3:
            calls.append(("open", {"id": rng.choice(urls)}))
        elif kind < 0.5:
            calls.append(("open", {"id": rng.randrange(8), "cursor": rng.randrange(-1, 5)}))
        elif kind < 0.7:
            calls.append(("open", {"loc": rng.choice([0, 3, 10, 40, 100, 100000]), "num_lines": rng.choice([-1, 0, 1, 5, 20])}))
        elif kind < 0.8:
            calls.append(("open", {"cursor": rng.randrange(-1, 14), "loc": rng.randrange(12)}))
        else:
            calls.append(("find", {"pattern": rng.choice(["the", "LIGHT", "needle", "a", "zebra", "【", "link", ""]), "cursor": rng.randrange(-1, 6)}))
    return calls


async def sequences():
    yield await run("a session", [
        ("search", {"query": "lighthouse"}), ("open", {"id": 0}), ("find", {"pattern": "Steps"}), ("open", {"id": 0}),
        ("open", {"cursor": 0, "id": 2}), ("open", {"loc": 100}), ("open", {"loc": 20, "num_lines": 3}),
        ("find", {"pattern": "granite reef"}), ("find", {"pattern": "granite", "cursor": 4}), ("open", {"id": 49}),
        ("open", {"cursor": 0, "id": 3}), ("open", {"cursor": 0, "id": 5}), ("open", {"id": 0, "cursor": 1, "loc": 2}),
    ])
    yield await run("errors", [
        ("find", {"pattern": "x"}), ("open", {}), ("open", {"id": 3}), ("open", {"cursor": 2}), ("open", {"id": SITE + "unknown"}),
        ("open", {"id": SITE + "x" * 2000}), ("search", {"query": "error"}), ("close", {}), ("", "{}"), ("open", "not json"), ("open", "[1]"), ("open", '"x"'),
        ("open", {"id": SITE + "lists.html"}), ("open", {"id": 99}), ("open", {"cursor": 7}), ("find", {"pattern": "x", "cursor": 1}),
        ("open", {"loc": 1000}), ("open", {"cursor": "0"}), ("open", {"id": 1.5}), ("find", {"pattern": "item"}), ("find", {"pattern": "item"}),
        ("open", {"loc": 5000, "id": 0}), ("open", {"cursor": 0}), ("find", {"pattern": 7}), ("open", {"id": SITE + "lists.html", "source": "web"}), ("open", ""),
    ])
    yield await run("searches", [
        ("search", {"query": "nothing"}), ("search", {"query": "q" * 1500}),
    ])
    yield await run("a search with an odd query", [("search", {"query": "ünï 【0†x】 \"q\" & <b>", "topn": 1, "source": "web"})])
    yield await run("a search without a query", [("search", {"query": ""})])
    yield await run("views", [
        ("open", {"id": SITE + "huge.html"}), ("open", {"num_lines": 1}), ("open", {"loc": 900}),
        ("open", {"loc": 5, "num_lines": 0}), ("open", {"loc": 5, "num_lines": -7}), ("open", {"loc": -5, "num_lines": 2}), ("open", {"id": ODD_URL}),
    ])
    yield await run("views of emoji, by broken tokens", [("open", {"id": SITE + "emoji-codes.html"}), ("open", {"loc": 9})], 256)
    for url in URLS:
        differs = [DIFFERENT[URLS[url]]] if URLS[url] in DIFFERENT else []
        find = differs if URLS[url] == "xml-declaration.html" else []
        if URLS[url] == "broken-link.html":
            find = ["a link broken inside its domain"]
        yield await run(URLS[url], [("open", {"id": url}, *differs), ("find", {"pattern": "link"}, *find)])
    yield await run("lines after a broken link", [
        ("open", {"id": SITE + "broken-link.html"}), ("find", {"pattern": "zebra"}, "a link broken inside its domain"),
    ])
    yield await run("the source of a page", [
        ("open", {"id": SITE + "headings.html", "view_source": True}, "view_source"), ("open", {"view_source": True}, "view_source"),
    ])
    yield await run("two searches", [
        ("search", {"query": "first"}), ("search", {"query": "second"}), ("open", {"cursor": 0}, "each cursor its page"),
    ])
    yield await run("cursors below -1", [
        ("open", {"id": SITE + "lists.html"}), ("open", {"id": SITE + "tables.html"}), ("open", {"cursor": -2}, "cursors below -1"),
    ])
    yield await run("digits in quotes", [("open", {"id": SITE + "article.html"}), ("open", {"id": "1"}, "digits in quotes")])
    yield await run("what the reference doesn't catch", [
        ("search", {}), ("find", {}), ("open", {"id": SITE + "lists.html"}), ("open", {"loc": 1.5}), ("open", {"loc": "3"}),
        ("open", {"num_lines": "x"}), ("open", {"id": {}}), ("open", {"cursor": 0.5}), ("open", {"id": None}), ("open", {"unknown": 1}),
    ])
    rng = random.Random(SEED)
    for number in range(24):
        yield await run(f"walk {number}", walk(rng), 192)


def citations():
    tool = SimpleBrowserTool(backend=LocalExa(source="web"))
    tool.tool_state.page_stack = ["", "https://site.example.com/a b", "https://other.example.org/x%20y", "odd", "https://site.example.com/huge.html/find?pattern=x"]
    texts = [
        "Plain.", "", "Built in 1871【1†L9-L11】.", "【2†L3】", "Two【1†L1】【2†L2-L4】 in a row", "Unknown【9†L3】 and 【0†L1】", "Odd【3†L1】",
        "【1†L1†site.example.com】 with a domain", "【1†any text】", "open 【", "open 【1", "open 【1†", "open 【1†L3", "open 【1†L3†dom", "【†L1】", "【x†L1】",
        "【01†L1】", "【1†】", "【1†a†b†c】", "【1†【2†L1】", "】【1†L1】【", "【4†L2】 line\nbreak【1†L1\nL2】", "é【1†L2】日本【2†L1-L2】",
    ]
    for text in texts:
        cited, annotations, partial = tool.normalize_citations(text)
        hidden = tool.normalize_citations(text, hide_partial_citations=True)[0]
        yield {"text": text, "cited": cited, "annotations": annotations, "partial": partial, "hidden": hidden, "urls": tool.tool_state.page_stack}


def wrapping():
    rng = random.Random(SEED + 1)
    pieces = ["word", "a", "-", "--", " ", "  ", "\t", "long-hyphenated-word", "é", "字", "𠮷", "1-2", "x" * 30, "…", "'t", ",", "\r", "\x0b", "\x0c", "\u00a0", "\u2003", "_", "²", "non-", "-x"]
    for _ in range(150):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(20, 60)))
        yield {"text": text, "lines": wrap_lines(text)}
    for text in ["x" * 200, "-" * 200, "a" + "-" * 100, " " * 170, "ab-" * 60, "字" * 161, "\n\n", ""]:
        yield {"text": text, "lines": wrap_lines(text)}


def links():
    bases = ["https://e.com/a/b/c?q#f", "https://e.com", "https://e.com/a/b/", "http://e.com:80/x", ""]
    refs = ["", "g", "./g", "g/", "/g", "//h", "//h/x", "?y", "g?y", "#s", "g#s", "g?y#s", ";x", "g;x", ".", "./", "..", "../", "../g", "../..", "../../g", "../../../g", "/./g", "/../g", "g.", "g..", "./../g", "./g/.", "g/./h", "g/../h", "http:g", "https:g", "HTTPS://X.y/Z", "https://h?q", "https://h#f", "mailto:x", "tel:1", "data:text/html,x", "x:y", "1x:y", " g ", "\tg\n", "a b", "g//h", "//", "///", "https:///p", "é", "a/b/../../../c", "javascript:x"]
    for base in bases:
        for ref in refs:
            joined = urljoin(base, ref)
            yield {"base": base, "link": ref, "joined": joined, "domain": page_contents.get_domain(joined)}


TAGS = """a b p div span ul ol li table thead tbody tfoot tr td th caption col h1 h2 h3 h6 pre code kbd blockquote br hr dl dt dd i s
del q abbr img sup sub script style title form section center font em strong u small select option textarea noscript iframe nav main
header footer article meta link svg button label fieldset legend details summary address menu dir tt big strike wbr source input""".split()
ATTRIBUTES = ["", "", " href='/l0'", " href='/l1'", " title='T'", " alt=A", " href=#x", " href=http://o.org/", " start=4"]
TEXTS = ["word", "two words", " x", "y ", "\n", "&amp;", "1", "é", ".", " - ", "  ", "+ ", "3. ", "~", "\\*", "&nbsp;", "&#65;",
         "<!--c-->", "&lt;b&gt;", "†", "字", "\t", "~~ ", "!", "\u2003", "_"]


def random_pages():
    """Tags and texts at random, badly nested; `head`, `body` and `math` only where they belong."""
    rng = random.Random(SEED + 2)
    for _ in range(300):
        html = rng.choice(["<html><body>", "<!doctype html><html><head><title>t</title></head><body>", "<html><body><p>"])
        opened = []
        for _ in range(rng.randrange(1, 40)):
            kind = rng.random()
            if kind < 0.4:
                html += rng.choice(TEXTS)
            elif kind < 0.75:
                opened.append(rng.choice(TAGS))
                html += f"<{opened[-1]}{rng.choice(ATTRIBUTES)}{rng.choice(['>', '>', '>', ' />'])}"
            elif opened:
                html += f"</{opened.pop() if rng.random() < 0.8 else rng.choice(TAGS)}>"
        page = page_contents.process_html(html=html, url=SITE + "dir/page", title=None, display_urls=True)
        yield {"html": html, "title": page.title, "text": page.text, "links": list(page.urls.values())}


def write(name, rows):
    text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    (OUT / name).write_text(text, encoding="utf-8", newline="")


async def main():
    write("sequences.jsonl", [sequence async for sequence in sequences()])
    write("citations.jsonl", citations())
    write("wrapping.jsonl", wrapping())
    write("links.jsonl", links())
    write("random.jsonl", random_pages())
    told = SimpleBrowserTool(backend=LocalExa(source="web")).tool_config.model_dump()
    (OUT / "namespace.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    quoted = ["a b", "é/日本", "~_.-", "!'()*", "%", "\n", "a+b&c=d"]
    unquoted = ["%41", "%e2%82%ac", "%E2%82", "%zz", "%", "a%20b%2", "%F0%9F%98%80", "%ff%41", "é%20"]
    write("quoting.jsonl", [{"text": t, "quoted": quote(t)} for t in quoted] + [{"text": t, "unquoted": unquote(t)} for t in unquoted])
    packages = ["gpt-oss", "html2text", "lxml", "openai-harmony", "tiktoken"]
    files = sorted(p for p in OUT.rglob("*") if p.is_file() and p.name != "manifest.json")
    manifest = {
        "maker": "scripts/golden-browser/make.py",
        "sources": {**{name: version(name) for name in packages}, "python": sys.version.split()[0]},
        "seed": SEED,
        "site": SITE,
        "pages": URLS,
        "titles": TITLES,
        "hits": [dict(zip(("url", "title", "summary"), hit)) for hit in HITS],
        "files": {str(p.relative_to(OUT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


asyncio.run(main())
