/** Which products are those of a matrix and a few vectors. */

/** Most vectors that a matrix is multiplied with. */
export const mostVectors = 4;
