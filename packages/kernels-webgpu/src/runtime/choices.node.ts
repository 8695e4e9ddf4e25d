/** Where the tuner's choices outlast a program: a file in the user's cache folder. Pages get choices.ts instead, as `#choices`. */

interface Files {
  mkdir(path: string, options: { recursive: true }): Promise<unknown>;
  readFile(path: string, encoding: "utf8"): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  writeFile(path: string, text: string): Promise<void>;
}

interface NodeProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  getBuiltinModule(name: string): unknown;
}

function node(): { readonly process: NodeProcess; readonly files: Files; readonly folder: string } {
  // Libraries compile without the types of Node.
  const { process } = globalThis as unknown as { process: NodeProcess };
  const files = process.getBuiltinModule("node:fs/promises") as Files;
  const os = process.getBuiltinModule("node:os") as { homedir(): string };
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const caches = XDG_CACHE_HOME ?? LOCALAPPDATA ?? `${os.homedir()}/.cache`;
  return { process, files, folder: `${caches}/x-kernels-webgpu` };
}

/** What was kept, if anything. */
export async function loadChoices(): Promise<string | null> {
  const { files, folder } = node();
  return files.readFile(`${folder}/choices.json`, "utf8").catch(() => null);
}

/** Keeps it. */
export async function saveChoices(text: string): Promise<void> {
  const { process, files, folder } = node();
  await files.mkdir(folder, { recursive: true });
  // Other programs see the old file or the new one, and never half of it.
  const beside = `${folder}/choices.${process.pid}.json`;
  await files.writeFile(beside, text);
  await files.rename(beside, `${folder}/choices.json`);
}
