import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import globals from "globals";
import typescript from "typescript-eslint";

const tests = ["**/*.test.ts", "{packages,apps}/*/test/**/*.ts"];

export default defineConfig([
  globalIgnores(
    ["**/dist/", "**/.turbo/", "**/.cache/", "**/coverage/", "scripts/check/consumer/project/"],
    "generated files",
  ),
  {
    name: "every file",
    linterOptions: { reportUnusedDisableDirectives: "error" },
    extends: [js.configs.recommended],
    rules: {
      eqeqeq: "error",
      "no-implicit-coercion": ["error", { boolean: false }],
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  {
    name: "plain JavaScript",
    files: ["**/*.{js,mjs}"],
    languageOptions: { globals: globals.node },
  },
  {
    name: "TypeScript",
    files: ["**/*.ts"],
    extends: [typescript.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-deprecated": "error",
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/no-unnecessary-boolean-literal-compare": "error",
      "@typescript-eslint/no-unnecessary-template-expression": "error",
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrorsIgnorePattern: "^_" },
      ],
      "@typescript-eslint/prefer-nullish-coalescing": "error",
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "@typescript-eslint/return-await": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/use-unknown-in-catch-callback-variable": "error",
      // Interfaces with asynchronous methods have synchronous implementations too.
      "@typescript-eslint/require-await": "off",
      // `!` stays allowed: with noUncheckedIndexedAccess, numeric loops need it.
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
  {
    name: "library source",
    files: ["packages/*/src/**/*.ts"],
    // A command is a program: it runs in Node.
    ignores: [...tests, "packages/*/src/cli/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              group: ["node:*"],
              message:
                "A library runs in browsers too: reach Node through globalThis.process?.getBuiltinModule or a dynamic import.",
            },
          ],
        },
      ],
    },
  },
  {
    name: "tests",
    files: tests,
    rules: {
      // `expect(object.method)` is how a spy is asserted.
      "@typescript-eslint/unbound-method": "off",
    },
  },
]);
