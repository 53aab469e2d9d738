// Logits of crops in onnxruntime-web, on its wasm backend. See runtimes.py, which starts this under Node.js.
//
//     node runtime_parity.mjs ONNXRUNTIME_WEB MODEL CROPS LOGITS
//
// CROPS contains one crop after the other: height and width (uint32, little endian), then 3 x height x width bytes of RGB.
// The logits are written to LOGITS (float32) in the same order. Prints {"node": ..., "onnxruntime-web": ...}.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, model, crops, logits] = process.argv.slice(2);
const ort = await import(pathToFileURL(join(folder, "dist", "ort.wasm.bundle.min.mjs")));
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ["wasm"] });

const content = readFileSync(crops);
const rows = [];
for (let at = 0; at < content.length; ) {
  const [height, width] = [content.readUInt32LE(at), content.readUInt32LE(at + 4)];
  const pixels = new Uint8Array(content.subarray(at + 8, at + 8 + 3 * height * width));
  const input = new ort.Tensor("uint8", pixels, [1, 3, height, width]);
  rows.push((await session.run({ input }, ["logits"])).logits.data);
  at += 8 + pixels.length;
}
writeFileSync(logits, Buffer.concat(rows.map((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength))));
console.log(JSON.stringify({ node: process.version, "onnxruntime-web": ort.env.versions.web }));
