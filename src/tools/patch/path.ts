import { PatchError } from "./error.ts";

/** Names of devices on Windows, whatever follows a dot. */
const DEVICE = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i;

/**
 * A path of a patch, as parts below the root. Refuses whatever could lead elsewhere or deceive the eye: absolute paths,
 * `..`, backslashes, drive letters and streams, control and invisible characters, dots and spaces at a name's end, device
 * names, and all that belongs to git, whose hooks and configuration are programs.
 *
 * @throws PatchError
 */
export function partsOf(path: string): string[] {
  const refuse = (why: string): never => {
    throw new PatchError(`Path not allowed, ${why}: ${JSON.stringify(path.slice(0, 200))}`);
  };
  if (path.length > 1024) refuse("it is too long");
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(path)) refuse("it holds invisible characters");
  if (/[\\:]/.test(path)) refuse("it holds a backslash or colon");
  if (path.startsWith("/") || path.startsWith("~")) refuse("it must lie below the root");
  const parts = path.split("/").filter((part) => part !== ".");
  if (parts.length === 0) refuse("it names no file");
  for (const part of parts) {
    if (part === "..") refuse("it must lie below the root");
    if (part === "") refuse("a name is empty");
    if (/[. ]$/.test(part) || part.startsWith(" "))
      refuse("a name begins or ends with a space, or ends with a dot");
    if (DEVICE.test(part)) refuse("a name is a device's");
    if (/^\.git$|^git~\d+$/i.test(part)) refuse("it belongs to git");
    if (new TextEncoder().encode(part).length > 255) refuse("a name is too long");
  }
  return parts;
}

/** Equal for paths that some file system takes for one. */
export function foldedPath(parts: readonly string[]): string {
  return parts.join("/").normalize("NFKC").toUpperCase().toLowerCase();
}
