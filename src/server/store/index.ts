export { openStore, type StoreOptions } from "./sqlite.ts";
export type { ItemKind, ResponseStore, StoredItem, StoredResponse } from "./store.ts";
