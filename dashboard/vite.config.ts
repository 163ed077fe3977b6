import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { documents } from "./markdown.ts";

/** The binary embeds the compressed bytes, so they are made once, here, and not on every request. */
function compressed(outDir: string): Plugin {
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        const plain = readFileSync(path);
        const small = gzipSync(plain, { level: 9 });
        // fonts and images are compressed already
        if (small.length < plain.length * 0.9) writeFileSync(`${path}.gz`, small);
      }
    },
  };
}

const mcptap = process.env.MCPTAP_URL ?? "http://127.0.0.1:6278";

export default defineConfig({
  // relative addresses, so that the pages also work below a path of a reverse proxy
  base: "./",
  plugins: [documents(), compressed("dist")],
  build: {
    target: "es2022",
    // the editor of GraphiQL is one large piece by nature
    chunkSizeWarningLimit: 4096,
    // images stay files: the policy of the start page allows no data: addresses
    assetsInlineLimit: 0,
    // the policy of the pages forbids inline scripts, which the polyfill would not be anyway
    modulePreload: { polyfill: false },
    // the words that the licences of the bundled packages ask to be passed on
    license: { fileName: "licenses.md" },
    rolldownOptions: {
      input: ["index.html", "graphiql.html"],
      // hundreds of files of dependencies say "use client", which means nothing to a bundle
      checks: { moduleLevelDirective: false },
    },
  },
  // workers that the pre-bundling of `npm run dev` cannot read
  optimizeDeps: { exclude: ["graphiql/setup-workers/vite", "@graphiql/react/setup-workers/vite"] },
  // `npm run dev` talks to a mcptap on this machine, or to the one that MCPTAP_URL names
  server: {
    // the documents lie beside this folder
    fs: { allow: [".."] },
    proxy: { "/graphql": { target: mcptap, ws: true }, "/metrics": mcptap },
  },
});
