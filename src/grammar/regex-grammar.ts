import { fromRegex } from "./automaton.ts";
import { RulesBuilder } from "./builder.ts";
import type { Grammar } from "./constraint.ts";
import { embed } from "./embed.ts";
import { parseRegex } from "./regex.ts";

/**
 * Texts that a regular expression matches as a whole, as if it stood between `^(?:` and `)$`.
 *
 * @param source in the syntax of ECMA-262 with the flag `u`, without backreferences, lookaround and `\b`
 * @throws GrammarError
 */
export function regexGrammar(source: string): Grammar {
  const automaton = fromRegex(parseRegex(source));
  const builder = new RulesBuilder();
  const root = builder.rule("root");
  embed(builder, automaton, builder.start(root), builder.end(root), "plain");
  return { kind: "regex", rules: builder.finish(root, source), distinctKeys: false };
}
