import { openStore, serve } from "../../src/server/index.ts";
import { scriptedServer } from "./api-client.ts";

/*
 * A server in a process of its own, to be killed: `storing-server.ts FILE` keeps responses in FILE, and prints where it
 * listens.
 */
const completion = `<|channel|>analysis<|message|>${"Thinking. ".repeat(4)}<|end|><|start|>assistant<|channel|>final<|message|>${"Answer. ".repeat(40)}<|return|>`;
const store = await openStore({ file: process.argv[2]! });
const { server } = scriptedServer([completion], { store });
const { url } = await serve(server, { port: 0 });
console.log(url);
