import type { Message } from "../../harmony/index.ts";

/** An input or output item as the API shows it, and what it says to the model. */
export interface StoredItem {
  readonly item: { readonly id: string; readonly type: string; readonly [field: string]: unknown };
  /** Reasoning, calls and tools' replies as they were: the item itself doesn't show all of it. */
  readonly messages: readonly Message[];
}

/** The API's Response object; its output is kept apart, as items. */
export interface StoredResponse {
  readonly id: string;
  readonly created_at: number;
  readonly status: string;
  readonly previous_response_id: string | null;
  readonly [field: string]: unknown;
}

export type ItemKind = "input" | "output";

/**
 * Keeps responses. What a method has acknowledged outlives the process, where the store is a file.
 *
 * What an id finds is the owner's alone; `""` is one of its own, for all who share.
 */
export interface ResponseStore {
  /** Adds a response that begins, with its input. */
  begin(response: StoredResponse, input: readonly StoredItem[], owner?: string): Promise<void>;
  /** Replaces a response and its output; does nothing if it has been deleted meanwhile. */
  update(response: StoredResponse, output: readonly StoredItem[]): Promise<void>;
  /** The response, without its output. */
  get(id: string, owner?: string): Promise<StoredResponse | undefined>;
  /** The items of a response, in order, whosever it is. */
  items(responseId: string, kind: ItemKind): Promise<readonly StoredItem[]>;
  /** An item of any response, by its own id. */
  item(id: string, owner?: string): Promise<StoredItem | undefined>;
  /**
   * The items of a response and of all those that it goes on from, in order; undefined if one of them is gone.
   */
  conversation(id: string, owner?: string): Promise<readonly StoredItem[] | undefined>;
  /** Whether there was such a response. Those that go on from it can no longer be gone on with. */
  delete(id: string, owner?: string): Promise<boolean>;
  close(): Promise<void>;
}
