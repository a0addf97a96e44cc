import type { Judged } from "./judged.ts";

export function htmlReport({ conclusion }: Judged): string {
  return conclusion;
}
