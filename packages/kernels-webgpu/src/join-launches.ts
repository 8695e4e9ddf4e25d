/**
 * Launches that do more than one thing: small work that needs nothing of a launch is done beside it,
 * by workgroups of its own.
 */

import type { Launch } from "./launch.js";
import type { BufferAccess } from "./wgsl/shader.js";

/** Most items that are done beside something else: a fraction of what a device does at once. */
const mostItems = 2048;
/** Most workgroups of a launch that others join; larger ones do not notice a launch more or less. */
const mostGroups = 1024;

/** A launch, and those that are done beside it. */
interface Company {
  readonly host: Launch;
  readonly guests: Launch[];
  /** Of all of them. */
  readonly accesses: BufferAccess[];
}

/** The same work, where each small launch joins the first that it may run beside. */
export function joinLaunches(launches: readonly Launch[], mostBuffers: number): readonly Launch[] {
  const companies: Company[] = [];
  for (const launch of launches) {
    const accesses = accessesOf(launch);
    const from = companies.findLastIndex((other) => depend(other.accesses, accesses)) + 1;
    const company = canBeGuest(launch)
      ? companies.slice(from).find((other) => canJoin(other, accesses, mostBuffers))
      : undefined;
    if (company === undefined)
      companies.push({ host: launch, guests: [], accesses: [...accesses] });
    else {
      company.guests.push(launch);
      company.accesses.push(...accesses);
    }
  }
  return companies.map(launchOf);
}

/** What a launch reads and writes; everything may be written where that is not known. */
function accessesOf({ source, buffers }: Launch): readonly BufferAccess[] {
  return (
    source?.shader.accesses ??
    buffers.map((buffer, binding) => {
      return { buffer, binding, dtype: "float32", width: 1, isStored: true };
    })
  );
}

/** Whether something that one of two launches writes is used by the other. */
function depend(a: readonly BufferAccess[], b: readonly BufferAccess[]): boolean {
  return a.some((x) => b.some((y) => x.buffer === y.buffer && (x.isStored || y.isStored)));
}

function canBeGuest({ source }: Launch): boolean {
  const items = source?.guest?.items ?? 0;
  return items > 0 && items <= mostItems;
}

function canJoin(
  { host, accesses }: Company,
  own: readonly BufferAccess[],
  mostBuffers: number,
): boolean {
  const { source } = host;
  if (source === undefined || source.groups === 0 || source.groups > mostGroups) return false;
  const buffers = new Set([...accesses, ...own].map(({ buffer }) => buffer));
  const isSame = (a: BufferAccess, b: BufferAccess): boolean =>
    a.buffer !== b.buffer || (a.width === b.width && a.dtype === b.dtype);
  return buffers.size <= mostBuffers && own.every((a) => accesses.every((b) => isSame(a, b)));
}

function launchOf({ host, guests }: Company): Launch {
  if (guests.length === 0) return host;
  const { shader, groups, size, body } = host.source!;
  let end = groups;
  const lines = guests.map(({ source }, i) => {
    const { items, body: text } = source!.guest!;
    const start = end;
    end += Math.ceil(items / size);
    shader.declare(`fn guest${i}(item: i32) {\n${shader.adopt(source!.shader, text)}\n}`);
    return `if (group >= ${start} && group < ${end}) {
let item = (group - ${start}) * ${size} + lane;
if (item < ${items}) { guest${i}(item); }
return;
}`;
  });
  const name = [host, ...guests].map((launch) => launch.name).join(" | ");
  // Barriers may follow: all invocations of a workgroup return, or none.
  return shader.perGroup(name, end, size, `${lines.join("\n")}\n${body}`);
}
