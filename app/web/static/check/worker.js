// Checks one file off the page's thread: asks for the schema, reads the file, posts progress and the verdict.

import { cellsOf, check, sameFile, schemaOf } from "./checking.js";
import { Sha256 } from "./digests.js";
import { rulesOf } from "./rules.js";
import { streamed } from "./unpacking.js";

const MOST_PUBLIC_BYTES = 30_000_000; // of a public file that is loaded; beyond, ids are compared by their digest
const PAUSE = 80; // milliseconds between two reports of progress

// The server's words, for the page to show.
class Refusal extends Error {}

const load = async (address) => {
  const answer = await fetch(address, { headers: { Accept: "application/json, */*;q=0.1" } });
  if (!answer.ok) throw new Refusal((await answer.json()).detail);
  return answer;
};

// The schema, with the ids and the cells that the public files hold.
const schemaFrom = async ({ schema, sample, ids }) => {
  if (!schema.ids || !schema.columns) return schemaOf(schema);
  const found = async (file, columns) => {
    if (!file || file.size_bytes > MOST_PUBLIC_BYTES) return { ids: null, sample: {} };
    return cellsOf(await (await load(file.address)).blob(), schema.ids.columns, columns);
  };
  const ofSample = await found(sample, schema.columns.map((column) => column.name));
  const areListed = Boolean(schema.ids.values);
  const isSame = ids?.address === sample?.address;
  const listed = areListed ? null : (isSame ? ofSample : await found(ids, [])).ids;
  return schemaOf(schema, { sample: ofSample.sample, ids: ids ? listed : null });
};

// The submission of the team that has the same bytes.
const earlierOf = async (file, earlier) => {
  const alike = earlier.filter((one) => one.size_bytes === file.size);
  if (!alike.length) return undefined;
  const digest = new Sha256();
  for await (const block of streamed(file.stream())) digest.update(block);
  const sha256 = digest.hex();
  return alike.find((one) => one.sha256 === sha256);
};

addEventListener("message", async ({ data: { file, address } }) => {
  try {
    const form = await (await load(address)).json();
    const schema = await schemaFrom(form);
    let nRead = 0;
    let shownAt = 0;
    const onRead = (nBytes) => {
      nRead += nBytes;
      if (performance.now() - shownAt < PAUSE) return;
      shownAt = performance.now();
      postMessage({ read: Math.min(1, nRead / file.size) });
    };
    const verdict = await check(file, schema, onRead);
    const earlier = verdict.ok ? await earlierOf(file, form.earlier) : undefined;
    if (earlier) verdict.warnings.push(sameFile(earlier.id));
    postMessage({ verdict, rules: rulesOf(verdict, schema) });
  } catch (wrong) {
    if (!(wrong instanceof Refusal)) console.error(wrong);
    postMessage({ failed: wrong instanceof Refusal ? wrong.message : "" });
  }
});
