"""The texts that the tokenizer is checked with: written ones here, and random ones made of all of Unicode."""

import random
import sys
import unicodedata

# One sentence in each of many scripts, some with their own digits, marks and punctuation.
SENTENCES = [
    "The quick brown fox didn't jump over 13 lazy dogs; they'd moved on by 7:45 a.m.",
    "Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis — « n'est-ce pas ? »",
    "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg. STRASSE, Straße, GROẞ.",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; ¿qué añoraba? ¡Nada!",
    "Pchnąć w tę łódź jeża lub ośm skrzyń fig.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Árvíztűrő tükörfúrógép, ÁRVÍZTŰRŐ TÜKÖRFÚRÓGÉP.",
    "Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul'dan ISPARTA'ya, ıssız.",
    "Tôi có thể ăn thủy tinh mà không hại gì; Việt Nam năm 1975.",
    "Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. МОСКВА, 1147 год.",
    "Щастям б'єш жук їх глицю в фон й ґедзь пріч.",
    "Ζαφείρι δέξου πάγκαλο, βαθῶν ψυχῆς τὸ σῆμα. ΟΔΥΣΣΕΥΣ, Ὀδυσσεύς.",
    "Բել դղյակի ձախ ժամն օֆ ազգությանը ցպահանջ չճշտած վնաս էր եւ փառք։",
    "ქართული ენა და მხედრული დამწერლობა: ჰაერი, წყალი, ცეცხლი. ᲥᲐᲠᲗᲣᲚᲘ",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה. בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق. ١٢٣٤٥ بِسْمِ ٱللَّهِ",
    "هر کسی که می‌خواهد بداند، باید بپرسد؛ ۱۳۵۷/۱۱/۲۲",
    "ٹھنڈ میں، ایک قحط زدہ گاؤں سے گزرتے وقت ایک چڑچڑے، باأثر و فارغ شخص کو بعض جل پری نما اژدہے نظر آئے۔",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश हुआ। १२३४५ क्ष्म ज्ञान",
    "বিষণ্ণ ঔদাসীন্যে ঊষাবৌদি বাংলাভাষায় প্রচলিত নিখুঁত গল্পটি পড়লেন। ১৯৭১",
    "ਪੰਜਾਬੀ ਭਾਸ਼ਾ ਗੁਰਮੁਖੀ ਲਿਪੀ ਵਿੱਚ ਲਿਖੀ ਜਾਂਦੀ ਹੈ। ੧੨੩",
    "ગુજરાતી લિપિમાં શિરોરેખા નથી હોતી. ૧૨૩૪",
    "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம். ௧௨௩",
    "తెలుగు లిపి గుండ్రని అక్షరాలతో ఉంటుంది. ౧౨౩",
    "ಕನ್ನಡ ಲಿಪಿಯಲ್ಲಿ ನಲವತ್ತೊಂಬತ್ತು ಅಕ್ಷರಗಳಿವೆ. ೧೨೩",
    "അജവും ആനയും ഐരാവതവും ഗരുഡനും കഠോര സ്വരം പൊഴിക്കെ. ൧൨൩ ൽ ൾ",
    "සිංහල අකුරු වටකුරු හැඩයක් ගනී. ශ්‍රී ලංකාව",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๒๕๖๗ น้ำ",
    "ພາສາລາວ ມີ ວັນນະຍຸດ ໑໒໓",
    "ភាសាខ្មែរ មាន អក្សរ ច្រើន ១២៣",
    "မြန်မာဘာသာစကား ၁၂၃ သီဟိုဠ်မှ ဉာဏ်ကြီးရှင်",
    "བོད་ཡིག་ནི་དབྱངས་བཞི་དང་གསལ་བྱེད་སུམ་ཅུ་ཡིན། ༡༢༣",
    "ሰማይ አይታረስ ንጉሥ አይከሰስ። ፩፪፫",
    "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꮳꮃꭹ",
    "ᐃᓄᒃᑎᑐᑦ ᓄᓇᕗᑦ",
    "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ᠌ ᠊ᠠ",
    "いろはにほへと ちりぬるを。ﾊﾝｶｸｶﾅ、カタカナー々〆ヶ月 2024年１２月２４日",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。第㊿回 ①②③ ㍿ 𠮷野家 𪚥",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ㄱㄴㄷ 각",
    "ꯃꯤꯇꯩ ꯃꯌꯦꯛ ꯱꯲꯳ ߒߞߏ ߁߂߃ ⴰⵣⵓⵍ ꓡꓲꓢꓳ",
    "𐌰𐌽𐌰𐍃𐍄𐍉𐌳𐌴𐌹𐌽𐍃 𒀭𒈹 𓀀𓁐 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𝒳² 𐐔𐐯𐑅𐐨𐑉𐐯𐐻",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β ≡ ¬(¬α ∨ β), ∮E·da = Q/ε₀, xⁿ+yⁿ≠zⁿ, ½ ¼ Ⅷ ⅸ",
    "Z̵̡̛̗a̸̢͗l̶̛͔g̷̨̀o̴̧͝ t̸e̵x̷t̶ and combining áéíóú å ﬁ ﬀ ǅ ǆ Ǆ ŉ ſ ẛ̣",
]

CODE = [
    "def fib(n: int) -> int:\n    \"\"\"n-th number\"\"\"\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n\n\nif __name__ == '__main__':\n    print(fib(10))\n",
    "#include <stdio.h>\n\nint main(int argc, char **argv) {\n\tfor (int i = 0; i < argc; ++i)\n\t\tprintf(\"%s\\n\", argv[i]); // don't\n\treturn 0;\n}\n",
    "fn main() {\r\n    let xs: Vec<&'static str> = vec![\"a\", \"b\"];\r\n    println!(\"{:?} {}\", xs, 1_000_000u64);\r\n}\r\n",
    "export const f = async ({ a, ...rest }: P): Promise<void> => {\n  await Promise.all(rest.map((x) => x?.y ?? `${a}/${x}`));\n};\n",
    "{\"id\":200006,\"name\":\"get_weather\",\"args\":{\"city\":\"Zürich\",\"days\":[1,2,3.5e-7],\"ok\":true,\"x\":null}}",
    "<!DOCTYPE html>\n<html lang=\"en\"><body class='a b'>\n\t<p>It&rsquo;s &lt;b&gt; <!-- x --></p>\n</body></html>\n",
    "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE u.name LIKE '%O''Brien%' GROUP BY 1;",
    "curl -sS https://example.com/a//b/?q=1&r=%20#frag | jq '.[] | {x: .y}' > /dev/null 2>&1\n",
    "\\begin{equation}\n  \\mathbb{E}[X] = \\int_{-\\infty}^{\\infty} x\\,f(x)\\,dx\n\\end{equation}\n",
    "| a | b |\n|---|:-:|\n| 1 | `x` |\n\n* item\n  - sub\n\n```sh\n$ ls -la\n```\n---\n",
    "^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+)@(?:\\d{1,3}\\.){3}\\d{1,3}$",
    "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n-\told\n+\tnew\n \n",
    "public class FooBarBAZ extends HTTPServer2XMLParser { int iOSVersion = 0xDEADbeef; }",
    "//////////\n/* ===== */\n#######\n\t\t\t\t}\n\t\t\t}\n\t\t}\n",
]

CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'x", "'", "'ſ", "'l", "'r", "'Kelvin", "’s"]
STEMS = ["I", "it", "They", "WE", "Ǆ", "日本", "é", "x\u0301", "1", " don", "ª", "²", ""]
SPECIALS = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>",
            "<|startoftext|>", "<|endofprompt|>", "<|reserved_200000|>", "<|reserved_201088|>", "<|im_start|>", "<|", "|>"]
SPACES = ["\t", "\n", "\v", "\f", "\r", "\r\n", " ", "\x1c", "\x85", "\xa0", "\u1680", "\u180e", "\u2000", "\u2003",
          "\u200a", "\u200b", "\u200d", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff"]
EMOJI = ["💖", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇨🇭", "🇨", "1️⃣", "❤️", "☺︎", "🧑🏿‍🚀", "🫠", "\U0001f3f4\U000e0067\U000e0062\U000e0073"
         "\U000e0063\U000e0074\U000e007f", "©", "™", "⌘", "�"]
SURROGATES = ["\ud800", "\udbff", "\udc00", "\udfff", "\udc00\ud800", "a\ud83d", "\ude00b", "\ud83d \ude00", "\ud800\ud800\ud800"]

# Strings that are repeated into long runs.
RUNS = ["a", "A", " ", "\n", "\r\n", "\t", "1", ".", "/", "'s", "ab", " A", "aA", "Aa", "é", "日", "日A", "💖", "👩‍👩‍👧‍👦", "\u0301",
        " \n", "\u3000", "\x85", "\ufeff", "ſ", "<|start|>", "=-", "\0", "\ud800", "x\u0301", "١", "Ǆ"]
# Of these, runs of 100,000 characters too.
LONG_RUNS = ["a", "A", " ", "\n", "1", ".", "日", "💖", "\u0301", "ab"]


def written() -> list[str]:
    """Texts written on purpose, each aimed at something."""
    texts = ["", *SENTENCES, *CODE]
    for tail in CONTRACTIONS:
        for form in {tail: 0, tail.upper(): 0, tail[:1] + tail[1:].capitalize(): 0}:  # a dict keeps the order
            texts.append("".join(f"{stem}{form}{after}" for stem in STEMS for after in ("", " ", "y", "\n")))
    texts += [f"{special}{tail}" for special in SPECIALS for tail in ("", "assistant<|message|>hi")]
    for space in SPACES:
        texts.append("".join(f"a{space * n}b {space * n}1{space * n} .{space * n}\n{space}" for n in (1, 2, 3, 7)))
        texts.append(f"{space}x{space}")
    texts.append("".join(a + b + "x" for a in SPACES for b in SPACES))
    texts += [a + b for a in EMOJI for b in ("", " ", "a")] + ["".join(EMOJI), " ".join(EMOJI)]
    texts += SURROGATES + ["".join(SURROGATES), " ".join(f"x{s}" for s in SURROGATES)]
    texts += ["1" * n for n in range(1, 12)] + ["3.14159e-10", "1,234,567.89", "١٢٣٤٥٦", "²³¹½Ⅷ①", "0x7fffffff", "12ab34CD56"]
    texts += ["AbcDEFghi", "HTTPServer", "iPhone15Pro", "ABCdef'sGHI'LL", "日本AB日cd", "\u0301AB", "\u0301ab", "ǅabc", "aǅ", "ªº",
              "x/y//z\n/\r\n", "://\n\n", " !\n", "  !", "   a", "   1", "\n\n  \n a", " \r\n \r a", "\u2028\n\u2029x"]
    texts += ["a" * 63 + "b", " " * 129, "=" * 65, "\n" * 17, "-" * 100 + "\n", "ha" * 40, "😂" * 9, "0" * 50]
    return texts


def assigned() -> list[str]:
    """All characters of the Unicode version that Python knows; engines and libraries may know newer ones, and differ."""
    return [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def made_up(rng: random.Random, count: int) -> list[str]:
    """Random texts: characters of all of Unicode or of some blocks, among spaces, letters and pieces of the above."""
    characters = assigned()
    parts = fragments()
    texts = []
    for _ in range(count):
        style = rng.randrange(4)
        start = rng.randrange(len(characters))
        block = characters[start : start + 200]
        pieces = []
        for _ in range(rng.randint(1, 30)):
            if style == 0:
                pieces.append(rng.choice(characters))
            elif style == 1:
                pieces.append(rng.choice(block) if rng.random() < 0.8 else rng.choice(" Aa1'\n"))
            elif style == 2:
                pieces.append(rng.choice(parts))
            else:
                pieces.append(chr(rng.randrange(128)) if rng.random() < 0.9 else rng.choice("ſéΩ\x85\ufeff\u0301"))
        texts.append("".join(pieces))
    return texts


def fragments() -> list[str]:
    """Short pieces to mix at random."""
    words = [word for text in SENTENCES + CODE for word in text.split()]
    return list(dict.fromkeys(words[::3] + CONTRACTIONS + STEMS + SPECIALS + 3 * SPACES + EMOJI + SURROGATES + [" ", "  ", "\n\n"]))
