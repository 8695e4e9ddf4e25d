/** The page. */

import { showAttention } from "./attention-panel.js";
import { showDevices } from "./devices-form.js";
import { showTraining } from "./training-panel.js";

const device = showDevices();
showTraining(device);
showAttention(device);
