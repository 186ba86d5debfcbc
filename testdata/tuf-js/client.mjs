// Reads a repository as a TUF client that is not ours:
//
//	node client.mjs URL FOLDER TARGET...
//
// FOLDER holds the first root as root.json, and then what the client trusts. For
// each target it prints one line: the content's SHA-256, or "-" when there is no such target.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Updater } from "tuf-js";

const [url, folder, ...targets] = process.argv.slice(2);
const updater = new Updater({
  metadataDir: folder,
  metadataBaseUrl: url + "/metadata",
  targetBaseUrl: url + "/targets",
  config: { fetchRetries: 0, fetchRetry: 0 },
});
try {
  await updater.refresh();
  for (const name of targets) {
    const info = await updater.getTargetInfo(name);
    const path = join(folder, "target");
    const content = info && readFileSync(await updater.downloadTarget(info, path));
    console.log(content ? createHash("sha256").update(content).digest("hex") : "-");
  }
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
