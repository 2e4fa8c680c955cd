// Panels that come alive. live.py writes each as <div class="live" data-panel data-start data-controls>, with the page that it
// begins with; here a button starts Python in a worker, and controls ask it for the page of their values. No package is needed.
(() => {
  const script = document.currentScript;
  const WORDS = {
    button: "Make it live",
    size: "Python comes from this book's own folder, 15 MB, once.",
    file: "Here in a file this page stays as it is. Served, it answers: type `make read` in the folder of the repository.",
    missing: "This book was built without Python for browsers, so this page stays as it is. With npm installed, `make read` brings it.",
    loading: "Python is starting ...",
    failed: "Python did not start here: ",
    own: "(your own)",
    png: "save the picture as PNG",
  };

  // One worker serves all panels of a page. ask() promises the page of a panel for these values.
  let worker;
  const asked = new Map();
  function ask(panel, values, step = null) {
    if (!worker) {
      worker = new Worker(new URL("live_worker.js", script.src), { type: "module" });
      worker.onmessage = ({ data }) => {
        const { resolve, reject } = asked.get(data.id);
        asked.delete(data.id);
        data.error === undefined ? resolve(data.page) : reject(new Error(data.error));
      };
      worker.onerror = (event) => {
        for (const { reject } of asked.values()) reject(new Error(event.message || "its files are not there"));
        asked.clear();
      };
    }
    return new Promise((resolve, reject) => {
      const id = ask.last = (ask.last || 0) + 1;
      asked.set(id, { resolve, reject });
      worker.postMessage({ id, name: panel.panel, start: panel.start, values: JSON.stringify(values), step });
    });
  }

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const option = (value, text = value) => element("option", { value, textContent: text });
  const clamped = ({ low, high }, value) => Math.min(high, Math.max(low, Math.round(Number(value)) || low));

  // Each makes a control of its description: what stands on the page, `get` and `set`; `changed` is called when a reader moves it.
  const CONTROLS = {
    slider(control, id, changed) {
      const range = element("input", { type: "range", id, min: control.low, max: control.high });
      const number = element("input", { type: "number", min: control.low, max: control.high });
      number.setAttribute("aria-label", `${control.label}, as a number`);
      number.title = `${control.low} to ${control.high}`;
      const set = (value) => (range.value = number.value = clamped(control, value));
      range.oninput = () => changed((number.value = range.value));
      number.oninput = () => number.checkValidity() && number.value && changed((range.value = number.value));
      number.onchange = () => (number.value = range.value);
      return { parts: [range, number], set, get: () => Number(range.value) };
    },
    choice(control, id, changed) {
      const select = element("select", { id, onchange: changed }, ...control.options.map((value) => option(value)));
      const set = (value) => control.options.includes(value) && (select.value = value);
      return { parts: [select], set, get: () => select.value };
    },
    text(control, id, changed) {
      const box = element("textarea", { id, rows: control.rows, spellcheck: false, oninput: changed, autocapitalize: "off" });
      return { parts: [box], set: (value) => (box.value = value), get: () => box.value };
    },
    preset(control, id, changed, panel) {
      const { presets } = control;
      const names = Object.keys(Object.values(presets)[0]);
      let own = {}; // what stood there before a preset was chosen; who chooses "(your own)" has it back
      const select = element("select", { id }, option("", WORDS.own), ...Object.keys(presets).map((name) => option(name)));
      select.onchange = () => {
        panel.set(presets[select.value] || own);
        changed();
      };
      const made_up = ([, values]) => Object.entries(values).every(([name, value]) => panel.controls[name].get() === value);
      const follow = () => {
        select.value = (Object.entries(presets).find(made_up) || [""])[0];
        if (!select.value) own = Object.fromEntries(names.map((name) => [name, panel.controls[name].get()]));
      };
      return { parts: [select], set: () => {}, follow };
    },
    pin(control, id, changed, panel) {
      const button = element("button", { id, type: "button", textContent: control.label });
      let kept = "";
      const set = (value) => {
        kept = value;
        button.setAttribute("aria-pressed", String(kept !== ""));
      };
      button.onclick = () => {
        const { [control.name]: own, ...others } = panel.values();
        set(kept ? "" : JSON.stringify(others));
        changed();
      };
      return { parts: [button], set, get: () => kept };
    },
    step(control, id, changed, panel) {
      const button = element("button", { id, type: "button", textContent: control.label });
      button.onclick = async () => {
        const { refused, ...values } = JSON.parse(await ask(panel, panel.values(), control.name));
        panel.set(values);
        refused ? panel.status.classList.remove("live-heard") : changed();
        if (refused) panel.say(refused);
      };
      const follow = () => (button.disabled = !panel.controls[control.needs].get());
      return { parts: [button], set: () => {}, follow };
    },
  };

  const BUTTONS = ["pin", "step"];
  const WITHOUT_VALUE = ["preset", "step"];

  class Panel {
    constructor(box, number) {
      Object.assign(this, { box, number, panel: box.dataset.panel, start: box.dataset.start, controls: {} });
      this.page = box.querySelector(".live-page");
      this.described = JSON.parse(box.dataset.controls);
      this.status = element("p", { className: "live-status" });
      this.status.setAttribute("role", "status");
      this.page.before(this.status);
      if (location.protocol === "file:") this.say(WORDS.file);
      else if (script.dataset.python !== "there") this.say(WORDS.missing);
      else this.offer();
    }

    say(text) {
      this.status.textContent = text;
    }

    offer() {
      this.say(WORDS.size);
      this.button = element("button", { type: "button", className: "live-button", textContent: WORDS.button });
      this.button.onclick = () => this.live();
      this.status.before(this.button);
      const shared = () => this.shared() && (this.form ? this.restore() : this.live());
      if ("share" in this.box.dataset) {
        addEventListener("hashchange", shared);
        shared();
      }
    }

    live() {
      if (this.form) return;
      this.say(WORDS.loading);
      this.form = element("div", { className: "live-controls" });
      this.form.setAttribute("role", "group");
      this.form.setAttribute("aria-label", "Controls");
      for (const control of this.described) {
        const id = `live-${this.number}-${control.name}`;
        const made = CONTROLS[control.kind](control, id, () => this.changed(), this);
        this.controls[control.name] = made;
        if (control.value !== undefined) made.set(control.value);
        const label = BUTTONS.includes(control.kind) ? [] : [element("label", { htmlFor: id, textContent: control.label })];
        this.form.append(element("div", { className: `live-${control.kind}` }, ...label, ...made.parts));
      }
      this.begun = this.values();
      this.set(this.shared() || {});
      if ("share" in this.box.dataset) {
        const save = element("button", { type: "button", textContent: WORDS.png, onclick: () => this.save() });
        this.form.append(element("div", { className: "live-step" }, save));
      }
      this.button.replaceWith(this.form);
      this.form.querySelector("input, select, textarea").focus({ preventScroll: true });
      this.changed();
    }

    values() {
      const kept = this.described.filter(({ kind }) => !WITHOUT_VALUE.includes(kind));
      return Object.fromEntries(kept.map(({ name }) => [name, this.controls[name].get()]));
    }

    set(values) {
      for (const [name, value] of Object.entries(values)) this.controls[name].set(value);
      for (const control of Object.values(this.controls)) control.follow?.();
    }

    // Asks for the page of what the controls say now; while an answer is awaited, only the newest question is kept.
    async changed() {
      for (const control of Object.values(this.controls)) control.follow?.();
      this.waiting = true;
      this.page.setAttribute("aria-busy", "true");
      if (this.asking) return;
      this.asking = true;
      try {
        while (this.waiting) {
          this.waiting = false;
          const values = this.values();
          this.put(await ask(this, values), values);
        }
        this.page.setAttribute("aria-busy", "false");
      } catch (error) {
        this.say(WORDS.failed + error.message);
      }
      this.asking = false;
    }

    put(page, values) {
      const open = [...this.page.querySelectorAll("details")].map((details) => details.open);
      this.page.innerHTML = page;
      this.page.querySelectorAll("details").forEach((details, i) => (details.open = open[i]));
      this.status.classList.add("live-heard"); // the page says it to those who see
      clearTimeout(this.resting);
      this.resting = setTimeout(() => {
        this.say(this.page.querySelector("p")?.textContent || "");
        this.share(values);
      }, 500); // a slider that is drawn passes many values, and a browser counts how often an address changes
    }

    // The address holds what differs from the beginning, each control by its name.
    share(values) {
      if (!("share" in this.box.dataset)) return;
      const differs = Object.entries(values).filter(([name, value]) => value !== this.begun[name]);
      const address = differs.length ? `#${new URLSearchParams(differs)}` : location.pathname + location.search;
      if (address !== location.hash) history.replaceState(null, "", address);
    }

    // The first picture of the page as a file of pixels, twice as many as it has on the screen.
    save() {
      const picture = this.page.querySelector("img");
      if (!picture) return;
      const [width, height] = [2 * picture.width, 2 * picture.height];
      const canvas = element("canvas", { width, height });
      const context = canvas.getContext("2d");
      context.fillStyle = "white";
      context.fillRect(0, 0, width, height);
      context.drawImage(picture, 0, 0, width, height);
      element("a", { download: "design.png", href: canvas.toDataURL() }).click();
    }

    shared() {
      const values = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
      const known = this.described.filter(({ name, kind }) => !WITHOUT_VALUE.includes(kind) && name in values);
      return known.length ? Object.fromEntries(known.map(({ name }) => [name, values[name]])) : null;
    }

    restore() {
      this.set({ ...this.begun, ...this.shared() });
      this.changed();
    }
  }

  document.querySelectorAll(".live").forEach((box, number) => new Panel(box, number));
})();
