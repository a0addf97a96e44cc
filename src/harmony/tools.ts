/** JSON Schema, in any draft: what Harmony shows of it to the model is decided in rendering. */
export type JsonSchema = { readonly [keyword: string]: unknown } | boolean;

/** A function that the model may call, as it is told of it. */
export interface ToolDescription {
  readonly name: string;
  readonly description: string;
  readonly parameters?: JsonSchema | null;
}

/** Functions under one name: the model calls `namespace.name`. Without tools, as `python`, the namespace itself is called. */
export interface ToolNamespace {
  readonly name: string;
  readonly description?: string | null;
  readonly tools: readonly ToolDescription[];
}
