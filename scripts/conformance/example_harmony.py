"""openai-harmony behind the conformance protocol: an example of levels 3 and 4.

    gpt-oss conformance --levels 3,4 --run 'python scripts/conformance/example_harmony.py'
    gpt-oss conformance --levels 3,4 --run 'python scripts/conformance/example_harmony.py --bug special-tokens'

Requirements: scripts/golden-text/requirements.txt, and `npm ci`, which brings the ranks.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden-text"))
import ranks  # noqa: E402
from harmony_library import Library  # noqa: E402


def unicode(text):
    """Lone surrogates, which JSON can spell, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def answer(library, request, bug):
    encoding = library.encoding
    if "encode" in request:
        special = {"allowed_special": "all"} if bug == "special-tokens" else {"disallowed_special": ()}
        return {"ids": encoding.encode(unicode(request["encode"]), **special)}
    if "decode" in request:
        return {"text": encoding.decode(request["decode"])}
    if "render" in request:
        drop = request["dropAnalysis"] and bug != "analysis-kept"
        conversation = library.conversation(request["render"])
        return {"ids": library.inner.render_conversation(conversation_json=conversation, config={"auto_drop_analysis": drop})}
    if "parse" in request:
        messages = library.parse("", request["role"], request["parse"])["strict"]["messages"]
        return {"messages": [m | {"channel": "final"} for m in messages] if bug == "channels" else messages}
    return {"unsupported": True}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ranks.cache_option(p)
    p.add_argument("--bug", choices=["special-tokens", "analysis-kept", "channels"], help="make this mistake on purpose")
    a = p.parse_args()
    ranks.install(a.cache)
    library = Library()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = answer(library, request, a.bug)
        except Exception as error:
            result = {"error": repr(error)}
        print(json.dumps({"id": request["id"], **result}), flush=True)


if __name__ == "__main__":
    main()
