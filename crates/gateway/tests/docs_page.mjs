// Opens the documentation page in a headless Chromium, logs in and tries a method.
//
//   node docs_page.mjs http://127.0.0.1:8080 demo demo-demo-demo DEMO authentication_code 99021047380 screenshot.png
//
// The access token that is named must exist. Exits with 0 only if the page renders without an error, every method of the
// description is on it, and the try shows an answer.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [base, username, password, organisation, name, value, screenshot] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "docs-page-"));
const flags = ["--headless=new", "--disable-gpu", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--window-size=1300,1600"];
// It is to talk to the demo and to nobody else.
flags.push("--disable-background-networking", "--no-first-run");
// Chromium refuses to run as root with its sandbox.
if (process.getuid() === 0) flags.push("--no-sandbox");
const chromium = spawn(process.env.CHROMIUM ?? "chromium", [...flags, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
chromium.on("error", (error) => fail(`Chromium does not start: ${error.message}`));
const errors = [];
const deadline = setTimeout(() => fail("the page did not get ready in time"), 60_000);

function fail(why) {
  console.error(why);
  finish(1);
}

function finish(code) {
  clearTimeout(deadline);
  chromium.once("exit", () => {
    try {
      rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    } catch {
      // Its helpers may still write there. What the page did is known.
    }
    process.exit(code);
  });
  if (!chromium.kill()) process.exit(code);
}

// The protocol: JSON messages with a zero byte behind each, in by descriptor 3, out by descriptor 4.
const waiting = new Map();
let last = 0;
let rest = "";
chromium.stdio[4].on("data", (data) => {
  const messages = (rest + data).split("\0");
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    waiting.get(message.id)?.(message);
    if (message.method === "Runtime.exceptionThrown") errors.push(message.params.exceptionDetails.exception?.description);
    // A refused request is in the log, too; it is not an error of the page.
    if (message.method === "Log.entryAdded" && message.params.entry.source !== "network") errors.push(message.params.entry.text);
  }
});

function send(method, params = {}, sessionId = undefined) {
  const id = (last += 1);
  chromium.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => {
    waiting.set(id, (message) => (message.error ? reject(new Error(message.error.message)) : resolve(message.result)));
  });
}

try {
  const { targetInfos } = await send("Target.getTargets");
  const { targetId } = targetInfos.find((target) => target.type === "page");
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const run = async (body) => {
    const expression = `(async () => { const until = async (what) => { while (!what()) await new Promise((r) => setTimeout(r, 20)); }; ${body} })()`;
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
    return result.value;
  };
  for (const domain of ["Runtime", "Log", "Page"]) await send(`${domain}.enable`, {}, sessionId);
  await send("Page.navigate", { url: `${base}/docs` }, sessionId);
  while (!(await run(`return document.body?.dataset.ready === "true"`).catch(() => false))) await new Promise((r) => setTimeout(r, 50));

  const shown = await run(`return [...document.querySelectorAll(".method .path")].map((path) => path.lastChild.textContent)`);
  const described = Object.keys((await (await fetch(`${base}/openapi.json`)).json()).paths).filter((path) => path.startsWith("/v1/"));
  if (described.length === 0 || described.some((path) => !shown.includes(path))) throw new Error(`methods are missing: ${shown}`);

  const who = await run(`
    const form = document.querySelector("#session");
    Object.entries(${JSON.stringify({ username, password, organisation })}).forEach(([name, value]) => { form.elements[name].value = value; });
    form.requestSubmit();
    await until(() => document.querySelector("#who").className !== "");
    return document.querySelector("#who").textContent;`);
  if (who !== `logged in as ${username}`) throw new Error(`the login failed: ${who}`);

  const result = await run(`
    const section = document.querySelector("#ShowAccessToken");
    section.querySelector(".attempt").open = true;
    await until(() => section.querySelector("form.try"));
    const select = section.querySelector("form.try select");
    select.value = [...select.options].find((option) => option.textContent === ${JSON.stringify(name)}).value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    const input = section.querySelector("form.try .input .input input");
    input.value = ${JSON.stringify(value)};
    input.dispatchEvent(new Event("input", { bubbles: true }));
    section.querySelector("form.try").requestSubmit();
    await until(() => section.querySelector(".result"));
    section.querySelector(".attempt").scrollIntoView();
    return section.querySelector(".result").textContent;`);
  if (screenshot) {
    const { data } = await send("Page.captureScreenshot", { format: "png" }, sessionId);
    writeFileSync(screenshot, Buffer.from(data, "base64"));
  }
  if (!result.startsWith("OK")) throw new Error(`the try failed: ${result}`);
  if (errors.length > 0) throw new Error(`errors on the page: ${errors.join("; ")}`);
  console.log(`${shown.length} methods on the page, the try was answered`);
  finish(0);
} catch (error) {
  fail(error.message);
}
