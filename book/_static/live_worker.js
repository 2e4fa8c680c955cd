// Python, beside the page: loads Pyodide and the library from the book's own folder and answers with what panels show.
const SHOW = `
import json
from functools import cache
from importlib import import_module

@cache
def panel(name, start):
    module, function = name.split(":")
    return getattr(import_module("resnet_lib." + module), function)(**json.loads(start))

def answer(name, start, values, step):
    found, values = panel(name, start), json.loads(values)
    if not step:
        return found.show(**values)
    try:
        return json.dumps(found.steps[step](**values))
    except ValueError as error:
        return json.dumps({"refused": str(error)})

answer
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
self.onmessage = async ({ data: { id, name, start, values, step } }) => {
  try {
    postMessage({ id, page: (await started)(name, start, values, step) });
  } catch (error) {
    postMessage({ id, error: String(error.message || error) });
  }
};
