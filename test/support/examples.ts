/** What the files in examples/ print with the small checkpoint, each in order. Sums and quoted numbers are true ones. */
export const EXAMPLES: Readonly<Record<string, readonly RegExp[]>> = {
  "ablation.ts": [
    ...[0, 1, 2, 3].map(
      (n) => new RegExp(`layer ${n}, without expert 0, 1, …:  7\\+8 =(?=.*  15)(  ..){8}\\n`),
    ),
    /\d+ of 32 experts are missed/,
  ],
  "abort.ts": [
    /read 100 of 281 tokens\nread 200 of 281 tokens\nread 281 of 281 tokens/,
    /stopped after 100 tokens/,
  ],
  "attention.ts": [
    /layer 0 head 0 {2}sink +\d+ % \(mean +\d+ %\) {3}reads ".+" behind ".+", +\d+ %/,
    /layer \d head \d .*reads "8" behind ".*7\+"/,
    /layer 3 head 7 /,
  ],
  "chat.ts": [
    /> Who are you\?\nI am a very small gpt-oss model/,
    /read \d+ tokens, 0 of them known/,
    /47 \+ 38 = 85\./,
    /read \d+ tokens, [1-9]\d+ of them known/,
  ],
  "experts.ts": [
    /47 \+ 38 = 85\./,
    ...[0, 1, 2, 3].map((n) => new RegExp(`layer ${n}  [▁-█]{8}  \\d+ % go to expert [0-7]`)),
  ],
  "logit-lens.ts": [/7\+8= …/, /embedding +(?!"15")"/, /layers\.3\.moe\.residual +"15" (9\d|100) %/],
  "logprobs.ts": [
    /…".*" +"[^"]+" \d+\.\d %; or "[^"]+" \d+\.\d %, /,
    /probability of the whole: e\^-\d+\.\d\d/,
  ],
  "patching.ts": [/ 7 +\+ +8 +=\n/, /embedding +0 +0 +100 +0\n/, /layers\.3\.moe\.residual +0 +0 +0 +100\n/],
  "router.ts": [0, 1, 2, 3].map(
    (n) =>
      new RegExp(
        `layer ${n}  digits [▁-█]{8}  the rest [▁-█]{8}  entropy [12]\\.\\d\\d bits; expert \\d gets`,
      ),
  ),
  "sampler.ts": [
    /plain, at temperature 3:\n(?!.*analysis)/,
    /top-nσ, at temperature 3:\n[\s\S]*final<\|message\|>47 \+ 38 = 85\.<\|return\|>/,
  ],
  "streaming.ts": [/\[2mH\S*\[0m/, /\[end of analysis\]\n3\d\d.*\n\[end of final\]/, /why it ended: stop/],
  "structured.ts": [/\{"name":"Ann","age":31\}\nAnn will be 32 next year\./],
  "tools.ts": [
    /functions\.get_weather ← \{"city":"Paris"\}/,
    /functions\.get_weather → \{"temperature":15,"sky":"sunny"\}/,
    /The temperature is 15/,
    /python ← print\(47\*38\)/,
    /python → 1786/,
    /1786\./,
  ],
};

/** The first pattern that an example's output doesn't have behind those before it; undefined if all is there. */
export function missing(name: string, output: string): RegExp | undefined {
  let from = 0;
  return EXAMPLES[name]!.find((pattern) => {
    const match = pattern.exec(output.slice(from));
    if (match) from += match.index + match[0].length;
    return !match;
  });
}
