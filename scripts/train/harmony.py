"""Harmony rendering of the training conversations, token by token.

Each text part is tokenised on its own and special tokens are inserted by id, as openai-harmony does, so that text can
never turn into structure. Run it to compare with openai-harmony itself, as text:

    python harmony.py
"""

import random
from pathlib import Path

from tokenizers import Tokenizer

from skills import Conversation, conversation

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "small"


def system_text(effort: str, date: str | None) -> str:
    lines = ["You are ChatGPT, a large language model trained by OpenAI.", "Knowledge cutoff: 2024-06"]
    if date:
        lines.append(f"Current date: {date}")
    channels = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
    return "\n\n".join(["\n".join(lines), f"Reasoning: {effort}", channels])


def random_date(rng: random.Random) -> str | None:
    if rng.random() < 0.15:
        return None
    return f"{rng.randint(2024, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


class Harmony:
    def __init__(self, folder: Path = GOLDEN):
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        special = lambda name: self.tokenizer.token_to_id(f"<|{name}|>")
        self.start, self.message, self.channel = special("start"), special("message"), special("channel")
        self.end, self.return_, self.call = special("end"), special("return"), special("call")
        self.endoftext = special("endoftext")
        self.roles: dict[str, list[int]] = {}

    def text(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def word(self, word: str) -> list[int]:
        """Role and channel names, which recur."""
        if word not in self.roles:
            self.roles[word] = self.text(word)
        return self.roles[word]

    def decode(self, ids: list[int], skip_special: bool = False) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special)

    def render(self, role: str, content: str, channel: str | None = None) -> list[int]:
        header = [self.start, *self.word(role)]
        if channel:
            header += [self.channel, *self.word(channel)]
        return [*header, self.message, *self.text(content), self.end]

    def system(self, effort: str, date: str | None) -> list[int]:
        """The prefix that all examples of a step share."""
        return self.render("system", system_text(effort, date))

    def prompt(self, c: Conversation) -> list[int]:
        """All between the system message and what the assistant is to write."""
        ids = []
        if c.instructions:
            ids += self.render("developer", f"# Instructions\n\n{c.instructions}")
        for question, answer in c.history:
            ids += self.render("user", question) + self.render("assistant", answer, "final")
        return ids + self.render("user", c.last.prompt) + [self.start, *self.word("assistant")]

    def completion(self, analysis: str, final: str) -> list[int]:
        thought = self.render("assistant", analysis, "analysis")
        answer = self.render("assistant", final, "final")
        head = 1 + len(self.word("assistant"))  # these the prompt has already
        return thought[head:] + answer[:-1] + [self.return_]

    def parse(self, ids: list[int]) -> tuple[str, str]:
        """Analysis and final of a completion; a part that is missing or malformed is an empty string."""
        between = [self.end, self.start, *self.word("assistant"), self.channel, *self.word("final"), self.message]
        opening = [self.channel, *self.word("analysis"), self.message]
        if ids[: len(opening)] != opening:
            return "", ""
        for i in range(len(opening), len(ids)):
            if ids[i : i + len(between)] == between:
                final = [t for t in ids[i + len(between) :] if t != self.return_]
                return self.decode(ids[len(opening) : i]), self.decode(final)
        return self.decode(ids[len(opening) :]), ""


def verify(count: int = 50):
    import openai_harmony as oh

    library = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)
    ours = Harmony()
    rng = random.Random(0)
    for _ in range(count):
        c, date = conversation(rng), random_date(rng)
        effort = rng.choice(["low", "medium", "high"])
        system = oh.SystemContent.new().with_reasoning_effort(oh.ReasoningEffort(effort.capitalize()))
        if date:
            system = system.with_conversation_start_date(date)
        message = oh.Message.from_role_and_content
        messages = [message(oh.Role.SYSTEM, system)]
        if c.instructions:
            messages.append(
                message(oh.Role.DEVELOPER, oh.DeveloperContent.new().with_instructions(c.instructions))
            )
        for question, answer in c.history:
            messages.append(message(oh.Role.USER, question))
            messages.append(message(oh.Role.ASSISTANT, answer).with_channel("final"))
        messages.append(message(oh.Role.USER, c.last.prompt))
        theirs = library.decode_utf8(
            library.render_conversation_for_completion(oh.Conversation.from_messages(messages), oh.Role.ASSISTANT)
        )
        # The library drops the analysis of turns before the first final; so do we, by not having it.
        assert ours.decode(ours.system(effort, date) + ours.prompt(c)) == theirs, theirs
        turn = [
            message(oh.Role.USER, c.last.prompt),
            message(oh.Role.ASSISTANT, c.last.analysis[effort]).with_channel("analysis"),
            message(oh.Role.ASSISTANT, c.last.final).with_channel("final"),
        ]
        config = oh.RenderConversationConfig(auto_drop_analysis=False)
        theirs = library.decode_utf8(
            library.render_conversation_for_training(oh.Conversation.from_messages(turn), config)
        )
        mine = ours.render("user", c.last.prompt) + [ours.start, *ours.word("assistant")]
        mine += ours.completion(c.last.analysis[effort], c.last.final)
        assert ours.decode(mine) == theirs, theirs
    print(f"{count} conversations render as openai-harmony renders them")


if __name__ == "__main__":
    verify()
