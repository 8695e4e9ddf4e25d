/** Where the tuner's choices outlast a program: in pages, the storage of their origin. Node gets choices.node.ts instead, as `#choices`. */

const key = "@x/kernels-webgpu choices";

function storage(): Storage | undefined {
  // Workers have none.
  return (globalThis as { localStorage?: Storage }).localStorage;
}

/** What was kept, if anything. */
export async function loadChoices(): Promise<string | null> {
  return storage()?.getItem(key) ?? null;
}

/** Keeps it. */
export async function saveChoices(text: string): Promise<void> {
  storage()?.setItem(key, text);
}
