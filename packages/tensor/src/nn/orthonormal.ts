/** Orthonormal vectors. */

/**
 * The rows of a matrix made orthonormal one after the other, by the method of Gram and Schmidt with
 * every projection done twice. Rows that are normally distributed give a uniformly distributed
 * result.
 *
 * @param matrix `rows × columns`, row by row, with at most as many rows as columns
 */
export function orthonormalRows(
  matrix: ArrayLike<number>,
  rows: number,
  columns: number,
): Float64Array {
  const result = Float64Array.from(matrix);
  for (let i = 0; i < rows; i++) {
    const row = result.subarray(i * columns, (i + 1) * columns);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = result.subarray(j * columns, (j + 1) * columns);
        let product = 0;
        for (let k = 0; k < columns; k++) product += row[k]! * other[k]!;
        for (let k = 0; k < columns; k++) row[k]! -= product * other[k]!;
      }
    }
    let square = 0;
    for (let k = 0; k < columns; k++) square += row[k]! ** 2;
    const scale = 1 / Math.sqrt(square);
    for (let k = 0; k < columns; k++) row[k]! *= scale;
  }
  return result;
}
