/** Finding elements that the page is known to have. */

/** The element below `parent` that a selector means. */
export function find<E extends Element>(
  parent: ParentNode,
  selector: string,
  kind: new () => E,
): E {
  const found = parent.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`The page must have ${selector}.`);
  return found;
}
