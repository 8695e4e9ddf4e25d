// Placeholder of the main job: it will train a byte-level language model on real text.
console.log("The main job is not written yet.");
