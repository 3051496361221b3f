import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The same sources always give the same bytes: names by hash, no source maps, no dates.
export default defineConfig({
  plugins: [react()],
  build: {
    assetsDir: "static",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    target: "es2022",
  },
  server: { proxy: { "/api": "http://127.0.0.1:3000" } },
});
