/** From the names of properties to the names that PyTorch gives them. */

const boundaries: readonly RegExp[] = [/([a-z0-9])([A-Z])/g, /([A-Z])([A-Z][a-z])/g];

// Every walk over a module asks for the same few names.
const known = new Map<string, string>();

/**
 * A property's name in a state dictionary: camelCase becomes snake_case, and nothing else changes,
 * e.g. `inProjWeight` → `in_proj_weight`, `linear1` → `linear1`.
 */
export function stateName(property: string): string {
  let name = known.get(property);
  if (name === undefined) known.set(property, (name = converted(property)));
  return name;
}

function converted(property: string): string {
  let name = property;
  for (const boundary of boundaries) name = name.replace(boundary, "$1_$2");
  return name.toLowerCase();
}

/** A name within what has the name `prefix`. */
export function joinNames(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}.${name}`;
}
