export { Constraint, compile, type Grammar, Matcher } from "./constraint.ts";
export { GrammarError } from "./errors.ts";
export { gbnfGrammar } from "./gbnf.ts";
export { jsonSchemaGrammar } from "./json-schema.ts";
export { regexGrammar } from "./regex-grammar.ts";
export { idsWithoutText } from "./trie.ts";
