/**
 * Counts what shaders load and store: every access to an element adds to a counter on the GPU. The
 * numbers do not depend on how fast the GPU is, so that one which a processor computes will do.
 */

const usage = { STORAGE: 0x80, COPY_SRC: 0x04, COPY_DST: 0x08, MAP_READ: 0x01 };
const readMode = 1;

/** Bytes between the counters of two dispatches: what offsets of bindings are multiples of. */
const slotBytes = 256;
const mostDispatches = 4096;

/** One dispatch, and the bytes that its invocations asked memory for. */
export interface Traffic {
  readonly kernel: string;
  readonly workgroups: number;
  readonly loaded: number;
  readonly stored: number;
}

interface Counted {
  readonly kernel: string;
  /** Bytes of one access, by binding. */
  readonly bytes: ReadonlyMap<number, number>;
}

interface Dispatch extends Counted {
  workgroups: number;
}

/** The same shader with counters, which lie in a bind group of their own. */
function withCounters(code: string): { code: string; bytes: Map<number, number> } {
  const bytes = new Map<number, number>();
  const binding = /@binding\((\d+)\) var<storage, read_write> \w+: array<(.+)>;/g;
  for (const [, number, type] of code.matchAll(binding)) {
    const scalarBytes = type!.includes("f16") ? 2 : 4;
    bytes.set(Number(number), scalarBytes * (type!.startsWith("vec4") ? 4 : 1));
  }
  const counted = code.replace(
    /(fn (load|store)(\d+)\([^)]*\)[^{]*\{)/g,
    (head, _all, kind: string, number: string) =>
      `${head} atomicAdd(&traffic[${2 * Number(number) + (kind === "load" ? 0 : 1)}], 1u);`,
  );
  // Extensions come first in a shader.
  const extensions = /^(enable [^;]+;\s*)*/.exec(counted)![0];
  const declaration = `@group(1) @binding(0) var<storage, read_write> traffic: array<atomic<u32>, ${slotBytes / 4}>;\n`;
  return { code: extensions + declaration + counted.slice(extensions.length), bytes };
}

/** Counts the traffic of everything that a `GPUDevice` computes from now on. */
export class TrafficCounter {
  readonly #gpu: GPUDevice;
  readonly #counters: GPUBuffer;
  readonly #counted = new WeakMap<GPUComputePipeline, Counted>();
  readonly #bytes = new WeakMap<GPUShaderModule, Map<number, number>>();
  #dispatches: Dispatch[] = [];

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.#counters = gpu.createBuffer({
      size: slotBytes * mostDispatches,
      usage: usage.STORAGE | usage.COPY_SRC | usage.COPY_DST,
    });
    this.#keepOneBinding();
    this.#countInShaders();
    this.#countInPasses();
  }

  /** Shaders that bind as many buffers as they may would have none left for the counters. */
  #keepOneBinding(): void {
    const limits: Record<string, number> = {};
    // Its properties are those of its prototype.
    for (const name in this.#gpu.limits) {
      limits[name] = this.#gpu.limits[name as keyof GPUSupportedLimits] as number;
    }
    limits.maxStorageBuffersPerShaderStage! -= 1;
    Object.defineProperty(this.#gpu, "limits", { value: limits });
  }

  #countInShaders(): void {
    const gpu = this.#gpu;
    const createModule = gpu.createShaderModule.bind(gpu);
    gpu.createShaderModule = (descriptor) => {
      const { code, bytes } = withCounters(descriptor.code);
      const module = createModule({ ...descriptor, code });
      this.#bytes.set(module, bytes);
      return module;
    };
    const createPipeline = gpu.createComputePipelineAsync.bind(gpu);
    gpu.createComputePipelineAsync = async (descriptor) => {
      const pipeline = await createPipeline(descriptor);
      const { label = "", compute } = descriptor;
      this.#counted.set(pipeline, { kernel: label, bytes: this.#bytes.get(compute.module)! });
      return pipeline;
    };
  }

  #countInPasses(): void {
    const gpu = this.#gpu;
    const createEncoder = gpu.createCommandEncoder.bind(gpu);
    gpu.createCommandEncoder = (...encoderOptions) => {
      const encoder = createEncoder(...encoderOptions);
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (...passOptions) => {
        const pass = begin(...passOptions);
        let current: GPUComputePipeline;
        const setPipeline = pass.setPipeline.bind(pass);
        pass.setPipeline = (pipeline) => {
          current = pipeline;
          setPipeline(pipeline);
        };
        const dispatch = pass.dispatchWorkgroups.bind(pass);
        pass.dispatchWorkgroups = (x, y = 1, z = 1) => {
          const offset = slotBytes * (this.#dispatches.length % mostDispatches);
          const counters = { buffer: this.#counters, offset, size: slotBytes };
          pass.setBindGroup(
            1,
            gpu.createBindGroup({
              layout: current.getBindGroupLayout(1),
              entries: [{ binding: 0, resource: counters }],
            }),
          );
          this.#dispatches.push({ ...this.#counted.get(current)!, workgroups: x * y * z });
          dispatch(x, y, z);
        };
        return pass;
      };
      return encoder;
    };
  }

  /** Starts anew. */
  reset(): void {
    const encoder = this.#gpu.createCommandEncoder();
    encoder.clearBuffer(this.#counters);
    this.#gpu.queue.submit([encoder.finish()]);
    this.#dispatches = [];
  }

  /** What was dispatched since the last call, in order. */
  async take(): Promise<Traffic[]> {
    if (this.#dispatches.length > mostDispatches) {
      throw new Error(`Only ${mostDispatches} dispatches can be counted at once.`);
    }
    const gpu = this.#gpu;
    const { size } = this.#counters;
    const staging = gpu.createBuffer({ size, usage: usage.MAP_READ | usage.COPY_DST });
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#counters, 0, staging, 0, size);
    gpu.queue.submit([encoder.finish()]);
    await staging.mapAsync(readMode);
    const words = new Uint32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    const dispatches = this.#dispatches;
    this.reset();
    return dispatches.map(({ kernel, workgroups, bytes }, i) => {
      const counts = words.subarray((i * slotBytes) / 4);
      let [loaded, stored] = [0, 0];
      for (const [binding, each] of bytes) {
        loaded += each * counts[2 * binding]!;
        stored += each * counts[2 * binding + 1]!;
      }
      return { kernel, workgroups, loaded, stored };
    });
  }
}
