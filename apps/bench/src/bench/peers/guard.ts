/**
 * A process that does nothing until the bench is gone, however it ended, and then ends the processes
 * of libraries that are left: they may be standing still and would never notice.
 */

/** A library's process began or ended. */
export interface Notice {
  readonly pid: number;
  readonly isLiving: boolean;
}

const living = new Set<number>();

process.on("message", ({ pid, isLiving }: Notice) => {
  if (isLiving) living.add(pid);
  else living.delete(pid);
});

process.on("disconnect", () => {
  for (const pid of living) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
});
