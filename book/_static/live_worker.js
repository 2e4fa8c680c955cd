// Python, beside the page: loads Pyodide and the library from the book's own folder and answers with what panels show.
const SHOW = `
import json
from functools import cache
from importlib import import_module

@cache
def panel(name, start):
    module, function = name.split(":")
    return getattr(import_module("resnet_lib." + module), function)(**json.loads(start))

lambda name, start, values: panel(name, start).show(**json.loads(values))
`;
const files = new URL("./live/", import.meta.url).href;

async function start() {
  const { loadPyodide } = await import(`${files}pyodide.mjs`);
  const library = fetch(`${files}resnet_lib.zip`);
  const python = await loadPyodide({ indexURL: files });
  python.unpackArchive(await (await library).arrayBuffer(), "zip");
  return python.runPython(SHOW);
}

const started = start();
self.onmessage = async ({ data: { id, name, start, values } }) => {
  try {
    postMessage({ id, page: (await started)(name, start, values) });
  } catch (error) {
    postMessage({ id, error: String(error.message || error) });
  }
};
