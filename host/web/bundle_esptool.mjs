// Makes page/vendor/esptool.js anew: esptool-js and what it needs in one module, without the chips that no board of
// ours has. In an empty folder: npm install esptool-js@0.7.0 esbuild@0.28.2, then node THIS/bundle_esptool.mjs OUTPUT.

import { createRequire } from "node:module";
import { join } from "node:path";

const { build } = createRequire(join(process.cwd(), "package.json"))("esbuild");

const OTHER_CHIPS = [
  "esp8266",
  "esp32c2",
  "esp32c5",
  "esp32c61",
  "esp32e22",
  "esp32h2",
  "esp32h21",
  "esp32h4",
  "esp32s31",
];
const THEIR_FILES = new RegExp(`/(${OTHER_CHIPS.join("|")})\\.js(on)?$`);
const BANNER =
  "/* esptool-js 0.7.0, Apache-2.0, without the chips that tinyllm has no board of; pako 2.2.0, MIT and Zlib; " +
  "atob-lite 2.0.0, MIT. LICENSES.txt has their texts. */";

const withoutOtherChips = {
  name: "without other chips",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: THEIR_FILES }, ({ path, resolveDir }) =>
      `${resolveDir}/${path}`.includes("/targets/")
        ? { path: path.match(THEIR_FILES)[1], namespace: "other-chip" }
        : null,
    );
    onLoad({ filter: /.*/, namespace: "other-chip" }, ({ path }) => ({
      contents: `export class ${path.toUpperCase()}ROM {}`,
    }));
  },
};

await build({
  stdin: { contents: 'export { ESPLoader, Transport } from "esptool-js";', resolveDir: process.cwd() },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  banner: { js: BANNER },
  plugins: [withoutOtherChips],
  outfile: process.argv[2],
});
