/** What the host sends to the sandbox; bytes go beside the message. */
export type ToSandbox =
  | { readonly type: "file"; readonly name: "asm" | "loader" | "wasm" | "stdlib" | "lock" }
  | { readonly type: "boot"; readonly fileBytes: number }
  | { readonly type: "install" }
  | { readonly type: "missing"; readonly code: string }
  | { readonly type: "run"; readonly code: string; readonly seconds: number; readonly outputLimit: number };

/** What the sandbox answers, each as one line of JSON; hostile, as Python may have broken out that far. */
export type FromSandbox =
  | { readonly type: "ready" }
  | { readonly type: "output"; readonly text: string }
  | { readonly type: "missing"; readonly names: string }
  | { readonly type: "done"; readonly reply: string; readonly cut: number }
  | { readonly type: "failed"; readonly reason: string };
