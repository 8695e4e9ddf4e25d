// What a user's first program does: it runs in plain Node against the packed packages.
import * as tensor from "@x/tensor";

console.log(Object.keys(tensor).length);
