/** The devices that every test runs on, opened: name and device, for `describe.each`. */

export { devices } from "../../tensor/test/devices.js";
