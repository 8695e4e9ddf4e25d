/**
 * The driver: the WASM functions that run launches and share them out over threads.
 *
 * The main thread walks through a plan's launches. A launch with more than one grain of work is
 * published through a ticket, a 64-bit word of (serial number, next item): threads claim items by
 * compare-and-exchange. The main thread works too and goes on when all items are done, so a thread
 * that the system has put to sleep without an item delays nobody; for one with an item the main
 * thread sleeps too, where it may, and leaves it the processor. Descriptions of launches alternate
 * between two slots; a claim made from an outdated description fails because the serial number has
 * moved on.
 */

import {
  i32,
  i64,
  kernelSignature,
  ModuleBuilder,
  type I32,
  type MemoryImport,
} from "../assembler/index.js";
import type { FunctionBuilder, Local } from "../assembler/index.js";

/** Byte offsets in the control block; words that different threads write have their own cache line. */
export const control = {
  ticket: 0,
  done: 64,
  wake: 128,
  parked: 132,
  waiting: 136,
  serial: 192,
  moduleCount: 256,
  modules: 260,
  scratch: 264,
  scratchStride: 268,
  slots: 320,
  bytes: 448,
} as const;

/** Bytes between the two launch descriptions. */
const slotBytes = 64;

/** A launch in memory: function, arguments, items, grain. */
export const launchBytes = 16;

/** How often a thread looks, for work or for the end of it, before it goes to sleep: some 100 µs. */
const idleTurns = 60_000;

/** What `work` returns. */
export const workResult = { idle: 0, needsCode: 1 } as const;

/** The driver's module, for a main thread that may sleep or one that may not. */
export function driverModule(memory: MemoryImport, maySleep: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder({ memory, importTable: true });
  const kernel = (
    f: FunctionBuilder,
    target: I32,
    args: I32,
    begin: I32,
    end: I32,
    scratch: I32,
  ): void => {
    f.callIndirect(kernelSignature, target, args, begin, end, scratch);
  };

  /** Claims and does one grain of the published launch; leaves `open` 0 if none is left. */
  const claim = (
    f: FunctionBuilder,
    block: Local<I32>,
    thread: I32,
    open: Local<I32>,
    known: I32 | null,
    needsCode: () => void,
  ): void => {
    const ticket = f.let(i64.atomicLoad(block, control.ticket));
    const serial = f.let(ticket.shiftRightUnsigned(i64.const(32)).wrap());
    const slot = f.let(block.add(serial.and(1).multiply(slotBytes)));
    const next = f.let(ticket.wrap());
    const items = f.let(i32.load(slot, control.slots + 8));
    f.set(open, next.lessUnsigned(items));
    f.if(open, () => {
      const target = f.let(i32.load(slot, control.slots));
      if (known !== null) f.if(target.greaterEqualUnsigned(known), needsCode);
      const args = f.let(i32.load(slot, control.slots + 4));
      const wanted = f.let(next.add(i32.load(slot, control.slots + 12)));
      const end = f.let(wanted.lessUnsigned(items).select(wanted, items));
      const claimed = i64.extendUnsigned(end).or(ticket.and(i64.const(-4294967296n)));
      const before = i64.atomicCompareExchange(block, ticket, claimed, control.ticket);
      f.if(before.equal(ticket), () => {
        const stride = i32.load(block, control.scratchStride);
        const scratch = i32.load(block, control.scratch).add(thread.multiply(stride));
        kernel(f, target, args, next, end, scratch);
        f.drop(i32.atomicAdd(block, end.subtract(next), control.done));
        if (known !== null && maySleep) {
          f.if(i32.atomicLoad(block, control.waiting), () => {
            f.drop(i32.atomicNotify(block, 1, control.done));
          });
        }
      });
    });
  };

  /** Waits until all items are done. */
  const awaitOthers = (f: FunctionBuilder, block: Local<I32>, items: I32): void => {
    const turns = f.let(i32.const(0));
    f.loop((again) => {
      const done = f.let(i32.atomicLoad(block, control.done));
      f.if(done.notEqual(items), () => {
        if (maySleep) {
          f.set(turns, turns.add(1));
          f.if(turns.greater(idleTurns), () => {
            // Who finishes an item after this word was written wakes this thread; who did before has
            // changed what it waits for. So it never sleeps for nothing.
            f.atomicStoreI32(block, 1, control.waiting);
            f.drop(i32.atomicWait(block, done, i64.const(-1), control.done));
            f.atomicStoreI32(block, 0, control.waiting);
          });
        }
        f.branch(again);
      });
    });
  };

  module.function(
    "run",
    { parameters: [i32, i32, i32], result: null },
    (f, block, launches, count) => {
      const last = f.let(launches.add(count.multiply(launchBytes)));
      const launch = f.local(i32);
      const open = f.local(i32);
      f.forAddress(launch, launches, last, launchBytes, () => {
        const target = f.let(i32.load(launch));
        const args = f.let(i32.load(launch, 4));
        const items = f.let(i32.load(launch, 8));
        const grain = f.let(i32.load(launch, 12));
        f.if(
          items.lessEqualUnsigned(grain),
          () => {
            kernel(f, target, args, i32.const(0), items, i32.load(block, control.scratch));
          },
          () => {
            const serial = f.let(i32.load(block, control.serial).add(1));
            f.storeI32(block, serial, control.serial);
            const slot = f.let(block.add(serial.and(1).multiply(slotBytes)));
            f.storeI32(slot, target, control.slots);
            f.storeI32(slot, args, control.slots + 4);
            f.storeI32(slot, items, control.slots + 8);
            f.storeI32(slot, grain, control.slots + 12);
            f.atomicStoreI32(block, 0, control.done);
            f.atomicStoreI64(
              block,
              i64.extendUnsigned(serial).shiftLeft(i64.const(32)),
              control.ticket,
            );
            f.if(i32.atomicLoad(block, control.parked), () => {
              f.atomicStoreI32(block, 0, control.parked);
              f.drop(i32.atomicAdd(block, 1, control.wake));
              f.drop(i32.atomicNotify(block, -1, control.wake));
            });
            f.doWhile(() => {
              claim(f, block, i32.const(0), open, null, () => undefined);
            }, open);
            awaitOthers(f, block, items);
          },
        );
      });
    },
  );

  module.function(
    "work",
    { parameters: [i32, i32, i32], result: i32 },
    (f, block, thread, known) => {
      const open = f.local(i32);
      const idle = f.local(i32);
      const result = f.local(i32);
      f.block((exit) => {
        f.loop((again) => {
          claim(f, block, thread, open, known, () => {
            f.set(result, i32.const(workResult.needsCode));
            f.branch(exit);
          });
          f.set(idle, open.select(i32.const(0), idle.add(1)));
          f.branch(again, idle.less(idleTurns));
        });
      });
      return result;
    },
  );
  return module.toBytes();
}
