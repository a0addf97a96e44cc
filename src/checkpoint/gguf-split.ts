import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";
import { type Gguf, OLLAMA_HINT, readGguf } from "./gguf.ts";
import { mergeTensors } from "./tensors.ts";

export { GgufMetadata } from "./gguf.ts";

/** As llama.cpp's gguf-split names the parts, counting from 1. */
const SPLIT_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** More parts than a published model has. */
const MAX_PARTS = 1000;

/**
 * Reads the headers of a model in one file, or in several if the name is one of theirs.
 * The first part's metadata are the model's; the others only say which part they are.
 *
 * @param names of the files in the folder
 */
export async function readGgufFiles(
  name: string,
  names: readonly string[],
  open: (name: string) => Promise<RandomAccessFile>,
): Promise<Gguf> {
  const [, stem, , of] = SPLIT_NAME.exec(name) ?? [];
  const count = of === undefined ? 1 : Number(of);
  const fail = (what: string, where: string, expected: string | number, found?: string | number): never => {
    throw new CheckpointError(what, { where, expected, ...(found === undefined ? {} : { found }) });
  };
  if (count < 1 || count > MAX_PARTS) fail("an impossible number of parts", name, `1 to ${MAX_PARTS}`, count);
  const parts: Gguf[] = [];
  for (let i = 0; i < count; i++) {
    const part = of === undefined ? name : `${stem}-${String(i + 1).padStart(5, "0")}-of-${of}.gguf`;
    if (!names.includes(part)) fail("a part of the model is missing", name, part);
    const gguf = await readGguf(await open(part));
    const declared = gguf.metadata.integer("split.count") ?? 1;
    const number = gguf.metadata.integer("split.no") ?? 0;
    if (declared !== count || number !== i) {
      fail(
        "the file's name contradicts its metadata",
        part,
        `part ${number + 1} of ${declared}`,
        `${i + 1} of ${count}`,
      );
    }
    if (i === 0) checkArchitecture(gguf, part);
    parts.push(gguf);
  }
  const tensors = mergeTensors(parts.map((part) => part.tensors));
  const { metadata } = parts[0]!;
  const total = metadata.integer("split.tensors.count");
  if (total !== undefined && total !== tensors.size) {
    fail("the parts don't hold as many tensors as the first one says", name, total, tensors.size);
  }
  return { metadata, tensors };
}

function checkArchitecture({ metadata }: Gguf, where: string): void {
  const architecture = metadata.string("general.architecture");
  if (architecture === "gpt-oss") return;
  throw new CheckpointError("not a gpt-oss model", {
    where: `${where}, general.architecture`,
    expected: "gpt-oss",
    found: architecture ?? "nothing",
    ...(architecture === "gptoss" ? { hint: OLLAMA_HINT } : {}),
  });
}
