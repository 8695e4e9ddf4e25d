/**
 * Which part may import which: the arrows of docs/architecture.md, checked by `pnpm check arrows`.
 *
 * `packageArrows` is between packages, `tensorLayers` and `miniformerLayers` between the folders of
 * packages/tensor/src and packages/miniformer/src.
 */

/** Each package, and the packages that it may import besides itself. Apps may import everything. */
const packageArrows = {
  tensor: [],
  "kernels-webgpu": ["tensor"],
  trim: ["tensor"],
  thinformer: ["tensor"],
  "linear-attn": ["tensor"],
  srf: ["tensor"],
  miniformer: ["tensor"],
};

/** Files of `tensor/` about numbers and shapes, below everything. */
const facts = [
  "error.ts",
  ...["dtype", "shape", "arguments", "data", "half"].map((name) => `tensor/${name}.ts`),
];

/**
 * Each folder of packages/tensor/src, and what it may import besides itself: folders, or files
 * written with their `.ts`. A folder that is not listed may import everything.
 */
const tensorLayers = {
  // current.ts names the built-in device, index.ts what devices are built with; the interface
  // itself knows only graphs.
  device: [...facts, "graph", "ops", "plan", "wasm/device.ts"],
  graph: [...facts, "device/device.ts"],
  ops: [...facts, "graph", "device/device.ts"],
  autograd: [...facts, "graph", "ops"],
  plan: [...facts, "graph", "ops", "device"],
  reference: [...facts, "graph", "device/device.ts", "plan/expand.ts", "ops/kernel-halving.ts"],
  wasm: [...facts, "graph", "ops", "device/device.ts", "plan"],
  tensor: ["error.ts", "graph", "device", "ops", "autograd", "plan", "random"],
  random: [...facts, "graph", "ops", "tensor", "reference"],
  safetensors: ["error.ts", "graph", "ops", "device", "plan", "tensor"],
  nn: ["error.ts", "graph", "device", "random", "tensor"],
  optim: ["error.ts", "graph", "device", "ops", "plan", "tensor", "nn"],
};

/** Each folder of packages/miniformer/src, and what it may import besides itself, in the same way. */
const miniformerLayers = {
  runtime: [],
  config: [],
  tokenizers: ["runtime"],
  model: ["config"],
  generation: ["config", "model", "tokenizers"],
  pretrained: ["runtime", "config", "model", "tokenizers", "generation"],
  adaptation: ["config", "model"],
  data: ["runtime"],
  training: ["runtime", "data"],
};

const tests = "\\.test\\.ts$";

/** A pattern that matches any of the names, and nothing when there is none. */
const anyOf = (names) => `(${names.map((name) => name.replaceAll(".", "\\.")).join("|")})`;

const packageRules = Object.entries(packageArrows).map(([name, allowed]) => ({
  name: `package-${name}`,
  comment: `packages/${name} may import only itself${allowed.map((other) => ` and ${other}`).join("")}.`,
  severity: "error",
  from: { path: `^packages/${name}/` },
  to: { path: "^(packages|apps|scripts)/", pathNot: `^packages/${anyOf([name, ...allowed])}/` },
}));

/** Rules for the folders of a package. */
const layerRules = (packageName, layers) =>
  Object.entries(layers).map(([folder, allowed]) => {
    const source = `packages/${packageName}/src`;
    const targets = [folder, ...allowed].map((name) =>
      name.endsWith(".ts") ? `${name}$` : `${name}/`,
    );
    return {
      name: `layer-${packageName}-${folder}`,
      comment: `${source}/${folder} may import only itself${allowed.map((other) => `, ${other}`).join("")}.`,
      severity: "error",
      from: { path: `^${source}/${folder}/`, pathNot: tests },
      to: { path: `^${source}/`, pathNot: `^${source}/${anyOf(targets)}` },
    };
  });

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...packageRules,
    {
      name: "package-unknown",
      comment: "A package must be listed in packageArrows of .dependency-cruiser.mjs.",
      severity: "error",
      from: { path: "^packages/", pathNot: `^packages/${anyOf(Object.keys(packageArrows))}/` },
      to: {},
    },
    ...layerRules("tensor", tensorLayers),
    ...layerRules("miniformer", miniformerLayers),
    {
      name: "circular",
      comment: "Modules must not import each other in a circle (type-only imports may).",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "unresolvable",
      comment: "An import must lead to a file or an installed package.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "library-uses-development-dependency",
      comment: "Published source must not import what its users do not get.",
      severity: "error",
      from: { path: "^packages/[^/]+/src/", pathNot: tests },
      // An optional peer is a development dependency too, for the tests.
      to: {
        dependencyTypes: ["npm-dev"],
        dependencyTypesNot: ["npm-peer"],
        pathNot: "^packages/[^/]+/src/",
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(packages|apps)/[^/]+/dist/" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@x/source", "import", "node", "default", "types"],
    },
  },
};
