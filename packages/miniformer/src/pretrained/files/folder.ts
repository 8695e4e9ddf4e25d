/** Checkpoints in a folder on disk. */

import { openSafetensorsFile } from "@x/tensor/safetensors";
import type { CheckpointFiles } from "./checkpoint-files.js";
import { fileSystem, isMissing, joinPath } from "../../runtime/node.js";
import { reasonOf } from "../../runtime/reason.js";
import { unloadable, withoutFolders } from "./failure.js";

/** The files of a folder. */
export async function folderFiles(folder: string): Promise<CheckpointFiles> {
  const system = fileSystem("fromPretrained", withoutFolders);
  const isFolder = await system.stat(folder).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    throw unloadable(
      `the source must be a folder that exists, got ${JSON.stringify(folder)}. Check the path.`,
    );
  }
  const exists = async (path: string): Promise<boolean> =>
    system.stat(path).then(
      () => true,
      (error: unknown) => !isMissing(error),
    );
  return {
    place: folder,
    opensCheaply: true,
    async text(name) {
      try {
        return await system.readFile(joinPath(folder, name), "utf8");
      } catch (error) {
        if (isMissing(error)) return null;
        throw unloadable(
          `${name} in ${JSON.stringify(folder)} could not be read, got ${JSON.stringify(reasonOf(error))}. Check the permissions.`,
          error,
        );
      }
    },
    async open(name) {
      const path = joinPath(folder, name);
      return (await exists(path)) ? openSafetensorsFile(path) : null;
    },
  };
}
