"""What openai-harmony makes of conversations and streams. Messages are in the shape of src/harmony/messages.ts."""

import json

FIELDS = {
    "identity": "model_identity",
    "knowledgeCutoff": "knowledge_cutoff",
    "conversationStartDate": "conversation_start_date",
}
DEFAULTS = {
    "model_identity": "You are ChatGPT, a large language model trained by OpenAI.",
    "reasoning_effort": "Medium",
    "knowledge_cutoff": "2024-06",
    "channel_config": {"valid_channels": ["analysis", "commentary", "final"], "channel_required": True},
}
START_OF_ANSWER = [200006, 173781]


class Library:
    """The library's own JSON interface, below its Python classes: those would read a schema and write it anew."""

    def __init__(self):
        import openai_harmony

        self.oh = openai_harmony
        self.encoding = openai_harmony.load_harmony_encoding("HarmonyGptOss")
        self.inner = self.encoding._inner

    def encode(self, text: str) -> list[int]:
        return self.encoding.encode(text, allowed_special="all")

    def render(self, name: str, messages: list[dict]) -> dict:
        conversation = self.conversation(messages)
        drop, keep = {"auto_drop_analysis": True}, {"auto_drop_analysis": False}
        ids = self.inner.render_conversation(conversation_json=conversation, config=drop)
        case = {"name": name, "messages": messages, "ids": ids}
        for key, value in {
            "kept": self.inner.render_conversation(conversation_json=conversation, config=keep),
            "training": self.inner.render_conversation_for_training(conversation_json=conversation, config=drop),
        }.items():
            if value != ids:
                case[key] = value
        completion = self.inner.render_conversation_for_completion(
            conversation_json=conversation, next_turn_role="assistant", config=drop)
        if completion != ids + START_OF_ANSWER:
            raise SystemExit(f"{name}: the completion prompt isn't the conversation and a start")
        return case

    def parse(self, name: str, role: str | None, ids: list[int]) -> dict:
        hint = None if role is None else self.oh.Role(role)
        case = {"name": name, "role": role, "ids": ids}
        for strict, key in (True, "strict"), (False, "lenient"):
            parser = self.oh.StreamableParser(self.encoding, hint, strict=strict)
            deltas = []
            try:
                for i in ids:
                    parser.process(i)
                    deltas.append(parser.last_content_delta or "")
                parser.process_eos()
                case[key] = {"messages": [from_library(m) for m in parser.messages], "deltas": deltas}
            except self.oh.HarmonyError as error:
                case[key] = {"error": str(error)}
        if case["lenient"] == case["strict"]:
            del case["lenient"]
        return case

    def conversation(self, messages: list[dict]) -> str:
        """The conversation as the library's JSON, schemas in it spelt as they are."""
        schemas: list[str] = []
        fields = [self.message(m, schemas) for m in messages]
        contents = [c for m in messages if not isinstance(m["content"], str) for c in m["content"]]
        if any(c.get("responseFormats") for c in contents):
            # There the developer message is text, and the library doesn't see its functions. So is then the system message.
            functions = any(n["tools"] for c in contents if c["type"] == "developer" for n in c.get("tools", []) if n["name"] == "functions")
            for message in fields:
                if message["role"] == "system":
                    message["content"] = [{"type": "text", "text": self.content_text(spelt(message, schemas), functions)}]
        return spelt({"messages": fields}, schemas)

    def message(self, message: dict, schemas: list[str]) -> dict:
        contents = message["content"]
        if isinstance(contents, str):
            contents = [{"type": "text", "text": contents}]
        fields = {"role": message["role"], "content": [self.content(c, schemas) for c in contents]}
        for key, theirs in {"name": "name", "channel": "channel", "recipient": "recipient", "contentType": "content_type"}.items():
            if key in message:
                fields[theirs] = message[key]
        return fields

    def content(self, content: dict, schemas: list[str]) -> dict:
        if content["type"] == "text":
            # As the library does for text that isn't valid Unicode.
            return {"type": "text", "text": content["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")}
        fields: dict = {}
        if "tools" in content:
            fields["tools"] = {n["name"]: self.namespace(n, schemas) for n in content["tools"]}
        if content["type"] == "developer":
            if content.get("instructions") is not None:
                fields["instructions"] = content["instructions"]
            if content.get("responseFormats"):
                return {"type": "text", "text": self.with_formats(fields, schemas, content["responseFormats"])}
            return {"type": "developer_content", **fields}
        fields = DEFAULTS | fields | {FIELDS[k]: v for k, v in content.items() if k in FIELDS}
        if "reasoningEffort" in content:
            effort = content["reasoningEffort"]
            fields["reasoning_effort"] = None if effort is None else effort.capitalize()
        if "channels" in content:
            channels = {"valid_channels": content["channels"], "channel_required": content.get("channelRequired", True)}
            fields["channel_config"] = None if content["channels"] is None else channels
        return {"type": "system_content", **{k: v for k, v in fields.items() if v is not None}}

    def namespace(self, fields: dict, schemas: list[str]) -> dict:
        if fields["tools"] is None:  # browser or python, as the library has them
            return getattr(self.oh.ToolNamespaceConfig, fields["name"])().model_dump()
        tools = []
        for each in fields["tools"]:
            described = {"name": each["name"], "description": each["description"]}
            parameters = each.get("parameters")
            if parameters is not None:
                described["parameters"] = f"schema {len(schemas)} goes here"
                schemas.append(parameters if isinstance(parameters, str) else json.dumps(parameters))
            tools.append(described)
        return {"name": fields["name"], "description": fields.get("description"), "tools": tools}

    def with_formats(self, fields: dict, schemas: list[str], formats: list[dict]) -> str:
        """The text of a developer message that ends in response formats, which the library doesn't have but its
        documentation describes (docs/format.md, Structured output): from the library come the rest and the JSON."""
        bare = spelt({"role": "developer", "content": [{"type": "developer_content", **fields}]}, schemas)
        sections = [text for text in [self.content_text(bare)] if text] + ["# Response Formats"]
        for each in formats:
            lines = (each.get("description") or "").replace("\r\n", "\n").removesuffix("\n")
            comment = "".join(f"// {line}\n" for line in lines.split("\n")) if each.get("description") else ""
            sections.append(f"## {each['name']}\n\n{comment}{self.compact(each['schema'])}")
        return "\n\n".join(sections)

    def compact(self, schema) -> str:
        """A value as the library writes it: as the default of a variant, which it spells as JSON."""
        variant = '{"enum":[1],"default":' + (schema if isinstance(schema, str) else json.dumps(schema)) + "}"
        tools = '{"f":{"name":"f","tools":[{"name":"f","description":"","parameters":{"oneOf":[' + variant + "]}}]}}"
        text = self.content_text('{"role":"developer","content":[{"type":"developer_content","tools":' + tools + "}]}")
        return text.split("// default: ", 1)[1].removesuffix(") => any;\n\n} // namespace f")

    def content_text(self, message: str, functions: bool = False) -> str:
        ids = self.inner.render(message_json=message, render_options={"conversation_has_function_tools": functions})
        return self.encoding.decode_utf8(ids[ids.index(200008) + 1 : -1])


def spelt(fields: dict, schemas: list[str]) -> str:
    text = json.dumps(fields)
    for index, schema in enumerate(schemas):
        text = text.replace(f'"schema {index} goes here"', schema)
    return text


def from_library(message) -> dict:
    fields = {"role": message.author.role.value, "name": message.author.name, "recipient": message.recipient}
    fields |= {"channel": message.channel, "contentType": message.content_type}
    return {k: v for k, v in fields.items() if v is not None} | {"content": "".join(c.text for c in message.content)}
