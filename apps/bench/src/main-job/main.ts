/** The main job: what `npm start` runs. */

import { pathToFileURL } from "node:url";
import { commandFile, commandArguments } from "./start.js";

const file = commandFile();
process.argv = [process.execPath, file, ...(await commandArguments(process.argv.slice(2)))];
await import(pathToFileURL(file).href);
