/**
 * The flags of WebGPU, whose numbers are fixed by its standard. Browsers have them as globals, but
 * Node with the package `webgpu` has not.
 */

/** What a buffer is used for: `GPUBufferUsage`. */
export const bufferUsage = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  INDIRECT: 0x0100,
  QUERY_RESOLVE: 0x0200,
} as const;

/** How a buffer is mapped: `GPUMapMode`. */
export const mapMode = { READ: 0x0001, WRITE: 0x0002 } as const;

/** The stages that a binding is visible in: `GPUShaderStage`. */
export const shaderStage = { COMPUTE: 0x0004 } as const;
