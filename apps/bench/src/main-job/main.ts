// Placeholder of the main job, until the tensor engine can train.
console.log(
  "The main job will train a byte-level language model with cumulative linear attention on real text, show its held-out loss falling, and generate a continuation.",
);
