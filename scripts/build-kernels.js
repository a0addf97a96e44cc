/** Compiles assembly/ into dist/engine/simd: baseline and relaxed SIMD, each for shared and for plain memory. */
import { mkdir } from "node:fs/promises";
import asc from "assemblyscript/asc";

const COMMON = "-O3 --noAssert --runtime stub --importMemory --initialMemory 1 --maximumMemory 65536 --enable simd";
await mkdir("dist/engine/simd", { recursive: true });

for (const variant of ["baseline", "relaxed"]) {
  for (const shared of [true, false]) {
    const out = `dist/engine/simd/kernels-${variant}${shared ? "" : "-unshared"}.wasm`;
    const options = `${COMMON} ${shared ? "--enable threads --sharedMemory" : ""} ${variant === "relaxed" ? "--enable relaxed-simd" : ""}`;
    const { error, stderr } = await asc.main([
      `assembly/${variant}.ts`,
      "--outFile",
      out,
      "--disableWarning",
      "AS112", // vectors cross functions of the module, never its border
      ...options.split(" ").filter(Boolean),
    ]);
    if (error) {
      console.error(stderr.toString());
      process.exit(1);
    }
  }
}
