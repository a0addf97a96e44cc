"""Harmony rendering of the training conversations, token by token.

Each text part is tokenised on its own and special tokens are inserted by id, as openai-harmony does, so that text can
never turn into structure. Run it to compare with openai-harmony itself, as text:

    python harmony.py
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from conversations import KINDS, Conversation, conversation, setting_of
from records import compact
from skills import EFFORTS, Problem
from tools import Function, Setting

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "small"
TEXTS = Path(__file__).parent / "tool_texts.json"  # openai-harmony's own sections
TOOL_TEXTS = json.loads(TEXTS.read_text())


@dataclass
class Message:
    author: str
    content: str
    channel: str | None = None
    recipient: str | None = None
    content_type: str | None = None


def system_text(effort: str, date: str | None, setting: Setting = Setting()) -> str:
    lines = ["You are ChatGPT, a large language model trained by OpenAI.", "Knowledge cutoff: 2024-06"]
    if date:
        lines.append(f"Current date: {date}")
    parts = ["\n".join(lines), f"Reasoning: {effort}"]
    if setting.browser or setting.python:
        parts.append("# Tools")
    if setting.browser:
        text = TOOL_TEXTS["browser"]
        parts.append(text if setting.source is None else text.replace("sources=web (default: web)", f"sources={setting.source}"))
    if setting.python:
        parts.append(TOOL_TEXTS["python"])
    channels = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
    if setting.functions:
        channels += "\nCalls to these tools must go to the commentary channel: 'functions'."
    return "\n\n".join([*parts, channels])


def typescript(schema: dict) -> str:
    """openai-harmony's rendering of the schemas that `records` makes."""
    kind = schema["type"]
    if "enum" in schema:
        return " | ".join(f'"{v}"' for v in schema["enum"])
    if kind == "array":
        return typescript(schema["items"]) + "[]"
    if kind == "object":
        lines = ["{"]
        for name, value in schema.get("properties", {}).items():
            if "description" in value:
                lines.append(f"// {value['description']}")
            optional = "" if name in schema.get("required", []) else "?"
            lines.append(f"{name}{optional}: {typescript(value)},{default_text(value)}")
        return "\n".join([*lines, "}"])
    return "number" if kind == "integer" else kind


def default_text(schema: dict) -> str:
    if "default" not in schema:
        return ""
    value = schema["default"]
    return f" // default: {value if 'enum' in schema else compact(value)}"


def function_text(f: Function) -> str:
    arguments = "()" if f.schema is None else f"(_: {typescript(f.schema)})"
    description = f"// {f.description}\n" if f.description else ""
    return f"{description}type {f.name} = {arguments} => any;"


def developer_text(setting: Setting) -> str:
    parts = []
    if setting.instructions:
        parts.append(f"# Instructions\n\n{setting.instructions}")
    if setting.functions:
        functions = "\n\n".join(map(function_text, setting.functions))
        parts.append(f"# Tools\n\n## functions\n\nnamespace functions {{\n\n{functions}\n\n}} // namespace functions")
    if setting.format:
        f = setting.format
        description = f"// {f.description}\n" if f.description else ""
        parts.append(f"# Response Formats\n\n## {f.name}\n\n{description}{compact(f.schema)}")
    return "\n\n".join(parts)


def tool_channel(recipient: str) -> str:
    return "commentary" if recipient.startswith("functions.") else "analysis"


def turn(p: Problem, effort: str) -> list[Message]:
    """All that follows the user's message: analysis, calls, replies, the answer."""
    out = []
    for call in p.calls:
        channel = tool_channel(call.recipient)
        kind = "<|constrain|>json" if channel == "commentary" else "code"
        out.append(Message("assistant", call.analysis[effort], "analysis"))
        out.append(Message("assistant", call.arguments, channel, call.recipient, kind))
        author = "python" if call.recipient == "python" else call.recipient
        out.append(Message(author, call.reply, channel, "assistant"))
    out.append(Message("assistant", p.analysis[effort], "analysis"))
    out.append(Message("assistant", p.final, "final", None, p.content_type))
    return out


def history(c: Conversation) -> list[Message]:
    """Earlier turns, as openai-harmony keeps them when the user speaks: the analysis channel of all up to the first final
    message is gone."""
    out = []
    for i, p in enumerate(c.history):
        messages = turn(p, c.effort)
        if i == 0 or not c.keep:
            messages = [m for m in messages if m.channel != "analysis"]
        out += [Message("user", p.prompt), *messages]
    return out


class Harmony:
    def __init__(self, folder: Path = GOLDEN):
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        special = lambda name: self.tokenizer.token_to_id(f"<|{name}|>")
        self.start, self.message, self.channel = special("start"), special("message"), special("channel")
        self.end, self.return_, self.call = special("end"), special("return"), special("call")
        self.constrain, self.endoftext = special("constrain"), special("endoftext")
        self.stop = {self.return_, self.call, self.endoftext}
        self.words: dict[str, list[int]] = {}

    def text(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def word(self, word: str) -> list[int]:
        """Parts of headers, which recur."""
        if word not in self.words:
            if len(self.words) > 10000:
                self.words.clear()
            self.words[word] = self.text(word)
        return self.words[word]

    def decode(self, ids: list[int], skip_special: bool = False) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special)

    def kind(self, content_type: str | None) -> list[int]:
        if content_type is None:
            return []
        if content_type.startswith("<|constrain|>"):
            return [*self.word(" "), self.constrain, *self.word(content_type.removeprefix("<|constrain|>"))]
        return self.word(f" {content_type}")

    def render(self, m: Message, generated: bool = False) -> list[int]:
        """As openai-harmony writes a message; `generated`: as gpt-oss does, with the recipient behind the channel."""
        to = self.word(f" to={m.recipient}") if m.recipient else []
        ids = [self.start, *self.word(m.author)]
        if not generated:
            ids += to
        if m.channel:
            ids += [self.channel, *self.word(m.channel)]
        if generated:
            ids += to
        last = self.call if m.author == "assistant" and m.recipient else self.end
        return [*ids, *self.kind(m.content_type), self.message, *self.text(m.content), last]

    def system(self, effort: str, date: str | None, setting: Setting = Setting()) -> list[int]:
        return self.render(Message("system", system_text(effort, date, setting)))

    def developer(self, setting: Setting) -> list[int]:
        text = developer_text(setting)
        return self.render(Message("developer", text)) if text else []

    def prompt(self, c: Conversation) -> list[int]:
        """All between the developer message and what the assistant is to write."""
        ids = []
        for m in [*history(c), Message("user", c.last.prompt)]:
            ids += self.render(m)
        return ids + [self.start, *self.word("assistant")]

    def completion(self, c: Conversation, effort: str) -> tuple[list[int], list[bool]]:
        """What follows the prompt, and whether each token is the assistant's to learn: all of its messages with their
        `<|start|>assistant`, but where a tool's reply precedes. Calls that are rendered again are not: the assistant
        writes them the other way."""
        ids, learn, given = [], [], True
        head = [self.start, *self.word("assistant")]
        for m in turn(c.last, effort):
            again = c.again and m.recipient is not None
            part = self.render(m, generated=not again)
            if m.channel == "final":
                part[-1] = self.return_
            mine = m.author == "assistant" and not again
            learn += [mine and not (given and i < len(head)) for i in range(len(part))]
            given = m.author != "assistant"
            ids += part
        return ids[len(head) :], learn[len(head) :]

    def parse(self, ids: list[int]) -> list[tuple[str, str]]:
        """(header, content) of each message that the assistant wrote after "<|start|>assistant", stop token left out; the
        header as text, without the author. Something malformed is a message with the header "?"."""
        head = [self.start, *self.word("assistant")]
        out, ids = [], head + ids
        while ids:
            if ids[: len(head)] != head or self.message not in ids:
                return [*out, ("?", self.decode(ids))]
            begin = ids.index(self.message)
            end = ids.index(self.end) if self.end in ids else len(ids)
            if end < begin:
                return [*out, ("?", self.decode(ids))]
            out.append((self.decode(ids[len(head) : begin]), self.decode(ids[begin + 1 : end])))
            ids = ids[end + 1 :]
        return out


def library_messages(c: Conversation, effort: str, date: str | None):
    import openai_harmony as oh

    role = oh.Message.from_role_and_content
    system = oh.SystemContent.new().with_reasoning_effort(oh.ReasoningEffort(effort.capitalize()))
    if date:
        system = system.with_conversation_start_date(date)
    s = c.setting
    if s.browser:
        system = system.with_browser_tool()
        if s.source is not None:
            config = oh.ToolNamespaceConfig.browser()
            config.description = config.description.replace("sources=web (default: web)", f"sources={s.source}")
            system = system.with_tools(config)
    if s.python:
        system = system.with_python_tool()
    out = [role(oh.Role.SYSTEM, system)]
    if s.instructions or s.functions:
        developer = oh.DeveloperContent.new()
        if s.instructions:
            developer = developer.with_instructions(s.instructions)
        if s.functions:
            describe = oh.ToolDescription.new
            developer = developer.with_function_tools(
                [describe(f.name, f.description, f.schema) if f.schema is not None else describe(f.name, f.description) for f in s.functions]
            )
        out.append(role(oh.Role.DEVELOPER, developer))

    def convert(m: Message):
        if m.author in ("user", "assistant"):
            message = role(oh.Role(m.author), m.content)
        else:
            message = oh.Message.from_author_and_content(oh.Author(role=oh.Role.TOOL, name=m.author), m.content)
        if m.channel:
            message = message.with_channel(m.channel)
        if m.recipient:
            message = message.with_recipient(m.recipient)
        return message.with_content_type(m.content_type) if m.content_type else message

    for i, p in enumerate(c.history):  # all of it, where it's kept at all: the library is to drop what goes
        messages = turn(p, c.effort)
        if not c.keep and i > 0:
            messages = [m for m in messages if m.channel != "analysis"]
        out += map(convert, [Message("user", p.prompt), *messages])
    return out, convert


def verify(count: int = 300):
    """Whole conversations, as text: the prompt of a turn, and the turn in the order in which the library writes it."""
    import openai_harmony as oh

    library = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)
    ours = Harmony()
    rng = random.Random(0)
    for i in range(count):
        kind = list(KINDS)[i % len(KINDS)]
        c, effort = conversation(rng, kind, setting_of(rng, kind)), rng.choice(EFFORTS)
        date = random_date(rng)
        if c.setting.format:  # the library has no response formats: the text goes where instructions would
            mine = ours.decode(ours.developer(c.setting))
            assert mine.endswith(f"{compact(c.setting.format.schema)}<|end|>")
            c.setting.format = None
        messages, convert = library_messages(c, effort, date)
        user = convert(Message("user", c.last.prompt))
        theirs = library.decode_utf8(
            library.render_conversation_for_completion(oh.Conversation.from_messages([*messages, user]), oh.Role.ASSISTANT)
        )
        mine = ours.system(effort, date, c.setting) + ours.developer(c.setting) + ours.prompt(c)
        assert ours.decode(mine) == theirs, f"{ours.decode(mine)}\n\n{theirs}"
        c.again = True
        config = oh.RenderConversationConfig(auto_drop_analysis=False)
        last = oh.Conversation.from_messages([user, *map(convert, turn(c.last, effort))])
        theirs = library.decode_utf8(library.render_conversation_for_training(last, config))
        mine = ours.render(Message("user", c.last.prompt)) + [ours.start, *ours.word("assistant")]
        mine += ours.completion(c, effort)[0]
        assert ours.decode(mine) == theirs, f"{ours.decode(mine)}\n\n{theirs}"
        # The generated order is one that the library's parser reads as the same messages.
        c.again = False
        words = ours.decode(ours.completion(c, effort)[0])
        if c.last.content_type is None and not c.last.calls:
            parsed = library.parse_messages_from_completion_tokens(library.encode(words, allowed_special="all"), oh.Role.ASSISTANT)
            assert [m.content[0].text for m in parsed] == [m.content for m in turn(c.last, effort)]
        for call in c.last.calls:
            m = Message("assistant", call.arguments, tool_channel(call.recipient), call.recipient, "<|constrain|>json")
            text = ours.decode(ours.render(m, generated=True)).removeprefix("<|start|>assistant")
            parsed = library.parse_messages_from_completion_tokens(library.encode(text, allowed_special="all"), oh.Role.ASSISTANT)
            assert parsed[0].recipient == call.recipient and parsed[0].content[0].text == call.arguments, text
    print(f"{count} conversations render as openai-harmony renders them")


def random_date(rng: random.Random) -> str | None:
    if rng.random() < 0.15:
        return None
    return f"{rng.randint(2024, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def write_tool_texts():
    """Takes the sections of the built-in tools out of openai-harmony."""
    import openai_harmony as oh

    library = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)
    texts = {}
    for name in ("browser", "python"):
        content = getattr(oh.SystemContent.new(), f"with_{name}_tool")()
        message = oh.Message.from_role_and_content(oh.Role.SYSTEM, content)
        text = library.decode_utf8(library.render_conversation(oh.Conversation.from_messages([message])))
        texts[name] = text.split("# Tools\n\n")[1].split("\n\n# Valid channels")[0]
    TEXTS.write_text(json.dumps(texts, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_tool_texts()
    verify()
