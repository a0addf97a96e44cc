import type { ItemKind, ResponseStore, StoredItem, StoredResponse } from "./store.ts";

/** Responses that are remembered at most; of others it is told once the server has been started again. */
const MOST = 4096;

/**
 * A store that knows of responses whose end couldn't be written, as on a full disk: they have failed. That is written as soon
 * as somebody asks for them and it is possible.
 */
export class RememberEnds implements ResponseStore {
  readonly #store: ResponseStore;
  readonly #unwritten: Map<string, StoredResponse> = new Map();

  constructor(store: ResponseStore) {
    this.#store = store;
  }

  async update(response: StoredResponse, output: readonly StoredItem[]): Promise<void> {
    try {
      await this.#store.update(response, output);
    } catch (error) {
      if (response.status !== "queued" && response.status !== "in_progress") this.#remember(response);
      throw error;
    }
  }

  #remember(response: StoredResponse): void {
    const error = { code: "server_error", message: "The server couldn't store the response." };
    this.#unwritten.set(response.id, { ...response, status: "failed", completed_at: null, error });
    if (this.#unwritten.size > MOST) this.#unwritten.delete(this.#unwritten.keys().next().value!);
  }

  async get(id: string, owner?: string): Promise<StoredResponse | undefined> {
    const found = await this.#store.get(id, owner);
    const end = this.#unwritten.get(id);
    if (!found || !end) return found;
    await this.#store.update(end, []).then(
      () => this.#unwritten.delete(id),
      () => {}, // next time, perhaps
    );
    return end;
  }

  async delete(id: string, owner?: string): Promise<boolean> {
    const isDeleted = await this.#store.delete(id, owner);
    if (isDeleted) this.#unwritten.delete(id);
    return isDeleted;
  }

  begin(response: StoredResponse, input: readonly StoredItem[], owner?: string): Promise<void> {
    return this.#store.begin(response, input, owner);
  }

  items(responseId: string, kind: ItemKind): Promise<readonly StoredItem[]> {
    return this.#store.items(responseId, kind);
  }

  item(id: string, owner?: string): Promise<StoredItem | undefined> {
    return this.#store.item(id, owner);
  }

  conversation(id: string, owner?: string): Promise<readonly StoredItem[] | undefined> {
    return this.#store.conversation(id, owner);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
