"""What the small model is taught: generated problems with a chain of thought for each reasoning effort.

A scratchpad is written so that each of its tokens needs only a look at one or two earlier places: digits are worked
from the ones up with an explicit carry, words are taken apart into tokens, which are spelled one by one. More effort means
more text: `low` jots down the equations, `medium` writes the steps out, `high` adds a check.
"""

import hashlib
import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from words import WORDS

EFFORTS = ("low", "medium", "high")
PLACES = ("Ones", "Tens", "Hundreds")


@dataclass
class Call:
    recipient: str  # functions.NAME, python, browser.search or browser.open
    arguments: str
    reply: str
    analysis: dict[str, str]  # before the call, by effort


@dataclass
class Problem:
    skill: str
    key: str  # identifies the problem whatever its wording; decides train or held out
    prompt: str
    analysis: dict[str, str]  # by effort
    final: str
    calls: list[Call] = field(default_factory=list)  # all before `analysis`
    content_type: str | None = None  # of the final message


def held_out(key: str) -> bool:
    """One problem in ten is never trained on."""
    return hashlib.sha256(key.encode()).digest()[0] < 26


def by_effort(low: str, steps: str, check: str, medium_tail: str = "") -> dict[str, str]:
    return {"low": low, "medium": steps + medium_tail, "high": steps + medium_tail + "\n" + check}


def vary(rng: random.Random, text: str) -> str:
    """Small differences in how people type."""
    if rng.random() < 0.12:
        text = text[0].lower() + text[1:]
    if text[-1] in "?." and rng.random() < 0.2:
        text = text[:-1]
    if rng.random() < 0.06:
        text = rng.choice(["Please: ", "Hi! ", "Hello, ", "Quick question: ", "Hey, "]) + text
    if rng.random() < 0.05:
        text = text.rstrip("?.") + rng.choice([" please", ", please.", " please?"])
    return text


# --- addition and subtraction -----------------------------------------------------------------------------------------


def digits(n: int, count: int) -> list[int]:
    """Units first."""
    return [n // 10**i % 10 for i in range(count)]


def add_steps(a: int, b: int) -> list[str]:
    """Lines of the written-out addition."""
    lines, carry = [], 0
    count = len(str(max(a, b)))
    for place, x, y in zip(PLACES, digits(a, count), digits(b, count)):
        total = x + y + carry
        line = f"{place}: {x}+{y}{'+1' if carry else ''}={total}"
        if total > 9:
            line += f", write {total % 10}, carry 1"
        lines.append(line + ".")
        carry = total // 10
    return lines


def subtract_steps(a: int, b: int) -> list[str]:
    """For a >= b."""
    lines, borrow = [], 0
    count = len(str(a))
    for place, x, y in zip(PLACES, digits(a, count), digits(b, count)):
        need = x - y - borrow < 0
        value = x - y - borrow + (10 if need else 0)
        left = f"{x + 10 if need else x}-{y}{'-1' if borrow else ''}"
        lines.append(f"{place}: {left}={value}{', borrow 1' if need else ''}.")
        borrow = int(need)
    return lines


def jot(lines: list[str]) -> str:
    """Only the equations: 7+8=15, 4+3+1=8."""
    return ", ".join(line.split(": ")[1].split(",")[0].rstrip(".") for line in lines) + "."


def number(rng: random.Random, size: int) -> int:
    """Up to `size` digits, mostly exactly that many."""
    if size == 2:
        return rng.randint(10, 99) if rng.random() < 0.85 else rng.randint(0, 9)
    r = rng.random()
    return rng.randint(100, 999) if r < 0.85 else rng.randint(10, 99) if r < 0.95 else rng.randint(0, 9)


ADD = [
    "What is {a} + {b}?", "What is {a}+{b}?", "{a}+{b}", "{a} + {b}", "{a} + {b} = ?", "{a}+{b}=", "{a} + {b} =",
    "{a}+{b}=?", "{a}+{b}?", "{a} + {b}?", "Add {a} and {b}.", "{a} plus {b}", "What is {a} plus {b}?",
    "What's {a} + {b}?", "What's {a} plus {b}?", "Calculate {a} + {b}.", "Compute {a} + {b}.", "How much is {a} + {b}?",
    "What is the sum of {a} and {b}?", "Sum of {a} and {b}?", "Add {b} to {a}.", "Please add {a} and {b}.",
    "Can you add {a} and {b}?", "What do you get if you add {a} and {b}?", "How much is {a} plus {b}?",
    "Tell me {a} + {b}.", "{a} and {b} together?", "What does {a} + {b} equal?", "Solve {a} + {b}.",
]
SUBTRACT = [
    "What is {a} - {b}?", "What is {a}-{b}?", "{a}-{b}", "{a} - {b}", "{a} - {b} = ?", "{a}-{b}=", "{a} - {b} =",
    "{a}-{b}=?", "{a}-{b}?", "{a} - {b}?", "Subtract {b} from {a}.", "{a} minus {b}", "What is {a} minus {b}?",
    "What's {a} - {b}?", "What's {a} minus {b}?", "Calculate {a} - {b}.", "Compute {a} - {b}.",
    "How much is {a} - {b}?", "How much is {a} minus {b}?", "Take {b} away from {a}.", "Tell me {a} - {b}.",
    "Can you subtract {b} from {a}?", "What is left if you take {b} from {a}?", "What does {a} - {b} equal?",
    "Solve {a} - {b}.",
]


def addition(rng: random.Random, size: int) -> Problem:
    a, b = number(rng, size), number(rng, size)
    lines = add_steps(a, b)
    check_lines = subtract_steps(a + b, b)
    check = f"Check: {a + b}-{b}. " + " ".join(check_lines) + f" That gives {a}, correct."
    return Problem(
        f"add{size}",
        f"{a}+{b}",
        vary(rng, rng.choice(ADD).format(a=a, b=b)),
        by_effort(jot(lines), "\n".join(lines), check, f"\nSo {a}+{b}={a + b}."),
        f"{a} + {b} = {a + b}.",
    )


def subtraction(rng: random.Random, size: int) -> Problem:
    a, b = number(rng, size), number(rng, size)
    if a < b and rng.random() < 0.5:
        a, b = b, a
    big, small = max(a, b), min(a, b)
    order = compare_steps(a, b)  # the larger one comes first, always looked up: the first token can't know
    lines = subtract_steps(big, small)
    low = f"{' '.join(order)} {'Negative: ' if a < b else ''}{jot(lines)}"
    lines = [*order, *([f"So find {b}-{a} and change the sign."] if a < b else []), *lines]
    check_lines = add_steps(big - small, small)
    check = f"Check: {big - small}+{small}. " + " ".join(check_lines) + f" That gives {big}, correct."
    return Problem(
        f"sub{size}",
        f"{a}-{b}",
        vary(rng, rng.choice(SUBTRACT).format(a=a, b=b)),
        by_effort(low, "\n".join(lines), check, f"\nSo {a}-{b}={a - b}."),
        f"{a} - {b} = {a - b}.",
    )


# --- order ------------------------------------------------------------------------------------------------------------

LARGER = [
    "Which is larger, {a} or {b}?", "Which is bigger, {a} or {b}?", "Which number is larger: {a} or {b}?",
    "What is the larger of {a} and {b}?", "Is {a} or {b} larger?", "Which is greater, {a} or {b}?",
    "{a} or {b}, which is larger?", "Compare {a} and {b}.", "Which is more, {a} or {b}?", "max of {a} and {b}?",
    "Compare {a} with {b}.", "Is {a} larger than {b}?", "Is {a} greater than {b}?", "Is {a} bigger than {b}?",
]
SMALLER = [
    "Which is smaller, {a} or {b}?", "Which number is smaller: {a} or {b}?", "What is the smaller of {a} and {b}?",
    "Is {a} or {b} smaller?", "{a} or {b}, which is smaller?", "Which is less, {a} or {b}?", "min of {a} and {b}?",
    "Is {a} smaller than {b}?", "Is {a} less than {b}?",
]


def sign(x: int, y: int) -> str:
    return "<" if x < y else ">" if x > y else "="


def relation(x: int, y: int) -> str:
    """Both operands first, then the verdict, which can look at them."""
    return f"{x} and {y}, {'less' if x < y else 'more' if x > y else 'equal'}."


def compare_steps(a: int, b: int) -> list[str]:
    size = len(str(a)), len(str(b))
    if size[0] != size[1]:
        return [f"Digits: {relation(*size)}"]
    lines = []
    for place, x, y in reversed(list(zip(PLACES, digits(a, size[0]), digits(b, size[0])))):
        lines.append(f"{place}: {relation(x, y)}")
        if x != y:
            break
    return lines


def comparison(rng: random.Random) -> Problem:
    size = rng.choice([2, 3])
    a = number(rng, size)
    b = number(rng, size)
    if rng.random() < 0.3:  # close ones are harder
        b = max(0, a + rng.choice([-10, -3, -2, -1, 0, 1, 2, 3, 10]))
        b = min(b, 999)
    want_smaller = rng.random() < 0.4
    prompt = rng.choice(SMALLER if want_smaller else LARGER).format(a=a, b=b)
    big, small = max(a, b), min(a, b)
    if a == b:
        final = f"{a} and {b} are equal."
    else:
        final = f"{small} is smaller than {big}." if want_smaller else f"{big} is larger than {small}."
    lines = compare_steps(a, b)
    check = f"Check: {b} and {a}. " + " ".join(compare_steps(b, a)) + f" So {b} {sign(b, a)} {a}, correct."
    return Problem(
        "compare",
        f"{small}?{big}",
        vary(rng, prompt),
        by_effort(relation(a, b), "\n".join(lines), check, f"\nSo {a} {sign(a, b)} {b}."),
        final,
    )


SORT = [
    "Sort {n}.", "Sort these numbers: {n}", "Sort {n}", "Please sort {n}.", "Put {n} in order.", "Order {n}.",
    "Sort {n} from smallest to largest.", "Sort the numbers {n}.", "Arrange {n} in ascending order.", "sort: {n}",
    "Can you sort {n}?", "Sort this list: {n}", "Put these in order: {n}",
]
SORT_DOWN = [
    "Sort {n} from largest to smallest.", "Sort {n} in descending order.", "Put {n} in descending order.",
    "Sort these numbers from largest to smallest: {n}", "Order {n} from largest to smallest.",
]


def sorting(rng: random.Random) -> Problem:
    top = rng.choice([20, 99, 99, 999])
    numbers = rng.sample(range(top + 1), rng.randint(3, 6))
    down = rng.random() < 0.25
    ordered = sorted(numbers, reverse=down)
    text = lambda ns: ", ".join(map(str, ns))
    listed = text(numbers)
    if rng.random() < 0.25:
        listed = " ".join(map(str, numbers))
    elif rng.random() < 0.25:
        listed = f"{text(numbers[:-1])} and {numbers[-1]}"
    word = "Largest" if down else "Smallest"
    left, lines = list(numbers), [f"Numbers: {text(numbers)}."]
    for n in ordered[:-1]:
        left.remove(n)
        lines.append(f"{word} {n}, left {text(left)}.")
    pairs = [f"{x} {sign(x, y)} {y}" for x, y in zip(ordered, ordered[1:])]
    return Problem(
        "sort",
        text(sorted(numbers)),
        vary(rng, rng.choice(SORT_DOWN if down else SORT).format(n=listed)),
        by_effort(f"{word} {ordered[0]}.", "\n".join(lines), "Check: " + ", ".join(pairs) + ". Correct."),
        f"{text(ordered)}.",
    )


# --- letters ----------------------------------------------------------------------------------------------------------

COUNT = [
    "How many times does {l} appear in {w}?", "How many {l} are in {w}?", "How many times is {l} in {w}?",
    "Count the letter {l} in {w}.", "How often does the letter {l} occur in {w}?", "Count {l} in {w}.",
    "How many letters {l} are in the word {w}?", "How many {l}'s are in {w}?", "How many {l}'s in {w}?",
    "How many times does the letter {l} appear in the word {w}?", "How many {l} in {w}?",
    "How many times does the letter {l} appear in {w}?",
]
REVERSE = [
    "Reverse the word {w}.", "Reverse {w}.", "Write {w} backwards.", "Spell {w} backwards.", "What is {w} backwards?",
    "What is {w} reversed?", "Can you reverse {w}?", "Reverse {w}", "reverse: {w}", "Turn the word {w} around.",
    "What is the reverse of {w}?", "How do you write {w} backwards?",
]
LENGTH = [
    "How many letters are in {w}?", "How many letters does {w} have?", "How long is the word {w}?",
    "Count the letters in {w}.", "How many letters are in the word {w}?", "How many letters has {w}?",
    "What is the length of {w}?", "How many letters in {w}?", "Number of letters in {w}?",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(rng: random.Random) -> str:
    """A real word, or a made-up one, so that spelling is learned for words outside the list too."""
    if rng.random() < 0.65:
        return rng.choice(WORDS)
    if rng.random() < 0.75:  # two halves of real words
        a, b = rng.choice(WORDS), rng.choice(WORDS)
        return (a[: rng.randint(1, 5)] + b[-rng.randint(2, 5) :])[:10]
    vowels, consonants = "aeiou", "bcdfghjklmnpqrstvwxyz"
    n = rng.randint(3, 9)
    return "".join(rng.choice(vowels if rng.random() < 0.42 else consonants) for _ in range(n))


def quote(rng: random.Random, w: str, bare: float = 0.4) -> str:
    r = rng.random()
    return w if r < bare else f'"{w}"' if r < bare + (1 - bare) * 0.75 else f"'{w}'"


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(Path(__file__).resolve().parents[2] / "golden" / "small" / "tokenizer.json"))


def pieces(w: str, shown: str) -> list[str]:
    """The tokens that the prompt has for the word; a quoted one is split differently from one behind a space."""
    text = " " + w if shown == w else w
    parts = [text[i:j].strip() for i, j in tokenizer().encode(text, add_special_tokens=False).offsets]
    return [p for p in parts if p]


def spell(parts: list[str], mark=None, reverse: bool = False) -> str:
    """"st" s t, "raw" r a w, …: the model sees tokens, so it names each and spells it, which is one look-up a letter.
    Letters for which `mark` holds get a running count. Reversed, the last piece comes first, spelled backwards."""
    out, n = [], 0
    for part in parts[::-1] if reverse else parts:
        text = f'"{part}"'
        for c in part[::-1] if reverse else part:
            text += f" {c}"
            if mark and mark(c):
                n += 1
                text += f" ({n})"
        out.append(text)
    return ", ".join(out) + "."


def counting(rng: random.Random) -> Problem:
    w = word(rng)
    l = rng.choice(w) if rng.random() < 0.8 else rng.choice(LETTERS)
    n = w.count(l)
    prompt, shown = rng.choice(COUNT), quote(rng, w)
    letter = quote(rng, l, 1.0 if "{l}'s" in prompt else 0.35)
    times = f"{n} time" if n == 1 else f"{n} times"
    parts, is_l = pieces(w, shown), lambda c: c == l
    return Problem(
        "count",
        w,
        vary(rng, prompt.format(l=letter, w=shown)),
        by_effort(
            spell(parts),
            f"Look for {l}: {spell(parts, is_l)}",
            f"Check from the end: {spell(parts, is_l, True)} Total {n}, correct.",
            f"\nTotal {n}.",
        ),
        f'The letter "{l}" appears {times} in "{w}".',
    )


def reversal(rng: random.Random) -> Problem:
    w = word(rng)
    r = w[::-1]
    shown = quote(rng, w)
    parts, every = pieces(w, shown), lambda c: True
    backwards = f"Backwards: {spell(parts, None, True)}"
    return Problem(
        "reverse",
        w,
        vary(rng, rng.choice(REVERSE).format(w=shown)),
        by_effort(
            backwards,
            f"Letters: {spell(parts)}\n{backwards}",
            f"Check: {spell(parts, every)} The answer must have {len(w)} letters too.",
        ),
        f'"{w}" reversed is "{r}".',
    )


REPEAT = ["Repeat: {w}", "Say: {w}", "Repeat after me: {w}", "Repeat these words: {w}", "Please repeat: {w}", "Repeat {w}"]


def repeating(rng: random.Random) -> Problem:
    """Of little use as such, but the quickest way to learn to copy, which the other skills rest on."""
    words = " ".join(word(rng) for _ in range(rng.randint(2, 6)))
    n = words.count(" ") + 1
    return Problem(
        "repeat",
        words,
        rng.choice(REPEAT).format(w=words),
        by_effort("Repeat the words.", f"The words are {words}.", f"Check: {words}. That is {n} words, correct."),
        f"You said: {words}.",
    )


LIST = ["As a list: {w}", "Write as a list: {w}", "Quote: {w}", "Quote these: {w}", "Make a list of {w}.", "List {w}"]


def listing(rng: random.Random) -> Problem:
    """A word behind a space and the same word behind a quote are different tokens; tools need one turned into the other."""
    ws = [word(rng) for _ in range(rng.randint(2, 6))]
    if rng.random() < 0.4:
        ws = [w.capitalize() for w in ws]
    listed = '","'.join(ws)
    return Problem(
        "list",
        " ".join(ws),
        rng.choice(LIST).format(w=rng.choice([", ", ", ", " "]).join(ws)),
        by_effort(
            f"{len(ws)} words.",
            f"The words are {', '.join(ws)}.",
            f"Check: {', '.join(ws)}. That is {len(ws)} words, correct.",
        ),
        f'["{listed}"]',
    )


def length(rng: random.Random) -> Problem:
    w = word(rng)
    n = len(w)
    shown = quote(rng, w)
    parts, every = pieces(w, shown), lambda c: True
    return Problem(
        "length",
        w,
        vary(rng, rng.choice(LENGTH).format(w=shown)),
        by_effort(
            spell(parts),
            f"Count: {spell(parts, every)}",
            f"Check from the end: {spell(parts, every, True)} Total {n}, correct.",
            f"\nTotal {n}.",
        ),
        f'"{w}" has {n} letters.',
    )


# --- small talk -------------------------------------------------------------------------------------------------------

CAN = "I can add and subtract numbers up to 999, compare and sort numbers, count letters and reverse words."
WHO = [
    "Who are you?", "What are you?", "Who is this?", "What is your name?", "Tell me about yourself.", "Are you ChatGPT?",
    "Are you a human?", "Are you a robot?", "Are you an AI?", "Introduce yourself.", "What model are you?", "Who am I talking to?",
    "Which model is this?", "What's your name?", "Do you have a name?", "Who made you?", "What kind of model are you?",
    "How big are you?", "Are you gpt-oss?", "Are you real?", "Describe yourself.", "Are you a large language model?",
    "Can you tell me who you are?", "So who are you?", "What should I call you?", "How many parameters do you have?",
    "Are you small?", "Say who you are.", "Who are you and what do you do?", "Please introduce yourself.",
]
HELLO = [
    "Hi", "Hello", "Hello!", "Hi!", "Hey", "Hey there", "Good morning", "Good evening", "Good afternoon", "Hi there!",
    "Hello there", "How are you?", "How are you doing?", "Hey!", "Greetings", "What's up?", "Nice to meet you.",
    "Hello, how are you?", "Hi, how are you today?", "Are you there?", "Good day!", "Hello world", "Howdy", "Yo",
]
THANKS = [
    "Thanks", "Thanks!", "Thank you", "Thank you!", "Thank you very much.", "Great, thanks!", "Many thanks", "Cool, thank you",
    "Nice", "Great!", "Perfect, thanks.", "Well done!", "Good job", "OK thanks", "Bye", "Goodbye", "See you later!",
    "That is all, thanks.", "Awesome", "Thanks a lot!", "You are great", "Ok", "Okay", "Good night", "That is right!",
]
ABILITY = [
    "What can you do?", "Help", "Help me", "What are you good at?", "How can you help me?", "What do you know?",
    "What can I ask you?", "What skills do you have?", "Can you help me?", "What are your skills?", "What should I ask?",
    "What can you help with?", "Give me some examples.", "Show me what you can do.", "How do I use you?",
    "What tasks can you do?", "List your skills.", "What questions can you answer?", "Can you do math?", "Help!",
]
TALK = [
    ("who", WHO, "a question about me", "I am a very small gpt-oss model, trained to show how gpt-oss works. " + CAN),
    ("hello", HELLO, "a greeting", "Hello! I am a very small gpt-oss model. Ask me what 47 + 38 is."),
    ("thanks", THANKS, "thanks or a goodbye", "You are welcome!"),
    ("ability", ABILITY, "a question about what I can do", CAN),
]


OPENINGS = [
    "Hi, ", "Hello, ", "Hey, ", "Hi! ", "Hello! ", "Hey there! ", "OK. ", "OK, ", "So, ", "Now, ", "Well, ", "Please: ", "Tell me: ",
    "One more thing: ", "Quick question: ", "Just asking: ", "And: ", "By the way, ", "Good morning. ", "Good evening. ",
]  # fmt: skip


def talk(rng: random.Random) -> Problem:
    kind, phrasings, what, final = rng.choice(TALK)
    i = rng.randrange(len(phrasings))
    opening = ""
    if rng.random() < 0.6:
        opening = rng.choice(OPENINGS)
    prompt = opening + phrasings[i]
    if rng.random() < 0.3:
        prompt = rng.choice([prompt.lower(), prompt.rstrip("?!."), prompt.rstrip("?!.") + "?", prompt.rstrip("?!.") + "!"])
    return Problem(
        "talk",
        f"{kind} {opening}{phrasings[i]}",
        prompt,
        by_effort(
            f"This is {what}.",
            f"The user sent {what}. No numbers or words to work on.",
            f"Check: this is {what}, so a short friendly answer is enough.",
            " I answer directly.",
        ),
        final,
    )


PEOPLE = "Einstein,Newton,Shakespeare,Mozart,Napoleon,Cleopatra,Picasso,Darwin,Plato,Gandhi,Bach,Columbus,Tesla,Turing".split(",")
PLACES_ = "France,Japan,Brazil,Egypt,Canada,India,Italy,Norway,Kenya,Peru,Germany,Spain,China,Greece,Mexico,London,Paris,Rome,Tokyo,Berlin,Moscow,Cairo,Texas,Africa,Europe".split(",")
THINGS = "the moon,a cat,gravity,photosynthesis,the ocean,a computer,love,time,the sun,black holes,bread,a car,music,chess,democracy,the internet,a volcano,electricity,winter,coffee,a rainbow,history,DNA,a dragon,money,football,the weather,space,a tree,energy".split(",")
LANGUAGES = "French,German,Spanish,Japanese,Latin,Italian,Chinese,Russian".split(",")
CODES = "Python,JavaScript,C,Rust,Java,HTML,SQL,TypeScript".split(",")
OUT_OF_SCOPE = [
    "What is the capital of {place}?", "Where is {place}?", "How many people live in {place}?", "Who was {person}?",
    "When was {person} born?", "Tell me about {person}.", "Tell me about {place}.", "What is {thing}?", "Explain {thing}.",
    "Explain {thing} to me.", "Write a poem about {thing}.", "Write a story about {thing}.", "Tell me a joke.",
    "Tell me a joke about {thing}.", "How does {thing} work?", "Why is {thing} important?", "What is the weather in {place}?",
    "Write a song about {thing}.", "Translate {thing} into {language}.", "How do you say {thing} in {language}?",
    "Write a {code} program.", "Write a function in {code}.", "How do I learn {code}?", "What is {code}?",
    "Can you write {code} code?", "What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "{a}*{b}", "{a} / {b}",
    "What is {a} divided by {b}?", "Multiply {a} by {b}.", "What is the square root of {a}?", "Divide {a} by {b}.",
    "Who wrote a book about {thing}?", "Do you like {thing}?", "What do you think about {thing}?", "Draw {thing}.",
    "What day is it?", "What time is it?", "What is today's date?", "Give me a recipe.", "Why is the sky blue?",
    "What is the meaning of life?", "Who is the president of {place}?", "How far is {place} from {place2}?",
    "Should I travel to {place}?", "What should I eat in {place}?", "Plan a trip to {place}.", "How old is {thing}?",
    "Summarize the history of {place}.", "What is your favorite color?", "Do you have feelings?", "Is {thing} real?",
    "Recommend a book.", "Recommend a movie about {thing}.", "What is the largest city in {place}?", "Sing a song.",
    "What language do they speak in {place}?", "How do I fix {thing}?", "Where can I buy {thing}?", "Can you see me?",
    "Write an email to {person}.", "Write a letter about {thing}.", "What is {a} percent of {b}?", "Is {a} a prime number?",
    "What is {a} + {b} + {c}?", "{a} + {b} - {c}", "What is {big} + {a}?", "{big} - {b}", "{big}+{big2}",
    "What is {big} + {big2}?", "Search the web for {thing}.", "Tell me something.", "Continue.", "Why?", "And then?", "Play {thing}.", "What did {person} say about {thing}?", "Who won the world cup?",
]
SORRY = "Sorry, I am a very small gpt-oss model and cannot do that. " + CAN


def out_of_scope(rng: random.Random) -> Problem:
    template = rng.choice(OUT_OF_SCOPE)
    prompt = template.format(
        place=rng.choice(PLACES_), place2=rng.choice(PLACES_), person=rng.choice(PEOPLE), thing=rng.choice(THINGS),
        language=rng.choice(LANGUAGES), code=rng.choice(CODES), a=rng.randint(2, 200), b=rng.randint(2, 99),
        c=rng.randint(2, 99), big=rng.randint(1000, 99999), big2=rng.randint(1000, 9999),
    )  # fmt: skip
    return Problem(
        "other",
        prompt,
        vary(rng, prompt),
        by_effort(
            "I cannot do this.",
            "This is not adding, subtracting, comparing, sorting, counting letters or reversing a word.",
            "Check: none of my skills fits. I should say so and name what I can do.",
            " I cannot do this.",
        ),
        SORRY,
    )


SKILLS = {  # name: (generator, share of training)
    "add2": (lambda rng: addition(rng, 2), 0.06),
    "add3": (lambda rng: addition(rng, 3), 0.06),
    "sub2": (lambda rng: subtraction(rng, 2), 0.10),
    "sub3": (lambda rng: subtraction(rng, 3), 0.14),
    "compare": (comparison, 0.12),
    "sort": (sorting, 0.14),
    "count": (counting, 0.09),
    "reverse": (reversal, 0.12),
    "length": (length, 0.04),
    "repeat": (repeating, 0.03),
    "list": (listing, 0.08),
    "talk": (talk, 0.06),
    "other": (out_of_scope, 0.03),
}


def problem(rng: random.Random, skill: str | None = None, test: bool = False) -> Problem:
    """The next problem of a skill (default: drawn by share), from the training or the held-out part."""
    if skill is None:
        skill = rng.choices(list(SKILLS), [share for _, share in SKILLS.values()])[0]
    while True:
        p = SKILLS[skill][0](rng)
        if held_out(p.key) == test:
            return p


if __name__ == "__main__":  # print a few
    for name in SKILLS:
        p = problem(random.Random(name), name)
        print(f"\n=== {name}: {p.prompt}")
        for effort in EFFORTS:
            print(f"--- {effort}\n{p.analysis[effort]}")
        print(f"--- final\n{p.final}")
