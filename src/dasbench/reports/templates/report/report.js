"use strict";
// The page holds all numbers and pictures. This draws the charts, fills the explorer, and adds sorting,
// filters and downloads to the tables. Without it, the page shows every table and the figures for print.
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const save = (name, href) => {
    const link = make("a", { href, download: name });
    document.body.append(link);
    link.click();
    link.remove();
  };
  const file = (name, text, type) => {
    const href = URL.createObjectURL(new Blob([text], { type }));
    save(name, href);
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };

  // ---- charts -----------------------------------------------------------------------------------
  const drawn = new Map();
  const signals = { measure: "loss", most: data.most, chosen: null };
  const dark = () => root.dataset.theme === "dark";

  function painted(value) {
    if (value === "families") return data.palette[dark() ? "dark" : "light"];
    if (Array.isArray(value)) return value.map(painted);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) =>
        [key, key === "values" ? inner : key === "range" ? painted(inner) : typeof inner === "object" ? painted(inner) : inner]));
    }
    return value;
  }

  function colours() {
    const ink = dark() ? "#e6e9ec" : "#1d232b";
    const muted = dark() ? "#a4aeb8" : "#59636d";
    const line = dark() ? "#2e363f" : "#e6e9ec";
    return {
      background: "transparent",
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: muted, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontWeight: "normal" },
    };
  }

  async function draw(element) {
    const name = element.dataset.chart;
    const spec = painted(data.charts[name]);
    spec.width = "container";
    const alts = JSON.parse(element.dataset.alts);
    spec.description = alts[signals.measure] ?? alts.loss;
    for (const param of spec.params) if (signals[param.name] !== null) param.value = signals[param.name];
    drawn.get(name)?.finalize();
    const result = await vegaEmbed(element, spec, {
      ast: true, logLevel: vega.Error, mode: "vega-lite", renderer: "svg", config: colours(), downloadFileName: `${data.experiment}-${name}`,
      actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    });
    drawn.set(name, result);
    find("summary", element)?.setAttribute("aria-label", `save the chart ${name}`);
  }

  function set(name, value) {
    signals[name] = value;
    all("[data-chart]").forEach((element) => {
      if (data.charts[element.dataset.chart].params.some((param) => param.name === name)) draw(element);
    });
  }

  function swatches() {
    all(".legend i").forEach((mark) => {
      mark.style.background = data.palette[dark() ? "dark" : "light"][+mark.dataset.family];
    });
  }

  function theme(name) {
    root.dataset.theme = name;
    find(".theme").setAttribute("aria-pressed", String(name === "dark"));
    swatches();
    return Promise.all(all("[data-chart]").map(draw));
  }

  // ---- tables -----------------------------------------------------------------------------------
  const cells = (row) => [...row.cells].flatMap((cell) => [cell, ...Array(cell.colSpan - 1).fill(null)]);
  // a cell with a number has it in full for sorting, and an interval has both ends for the file
  const text = (cell) => cell === null ? "" : (cell.dataset.csv ?? cell.dataset.sort ?? cell.textContent).trim().replace(/\s+/g, " ");

  function csv(table) {
    // spreadsheets take some first characters for a formula
    const plain = (value) => { const shown = value.replaceAll("\u2212", "-"); return /^[=@+-]/.test(shown) && isNaN(shown) ? `'${shown}` : shown; };
    const quote = (value) => /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
    const heads = [...table.tHead.rows].map(cells);
    const groups = heads.length > 1 ? heads[0].map((cell, i, row) => cell ?? row.slice(0, i).findLast(Boolean)) : [];
    const names = heads.at(-1).map((cell, i) => [groups[i] ? text(groups[i]) : "", text(cell)].filter(Boolean).join(": "));
    const rows = all("tbody tr, tfoot tr", table).map((row) => cells(row).map(text));
    return [names, ...rows].map((row) => row.map(plain).map(quote).join(",")).join("\n") + "\n";
  }

  function equip(table) {
    if (!table.tHead) return;
    const sorts = table.classList.contains("sortable");
    if (sorts) {
      all("th", table.tHead.rows[table.tHead.rows.length - 1]).forEach((head) => {
        const button = make("button", { type: "button" });
        button.append(...head.childNodes);
        head.append(button);
      });
    }
    const bar = make("div", { class: "row scripted-only" });
    if (sorts && table.tBodies[0].rows.length > 8) {
      const input = make("input", { type: "search", placeholder: "filter", "aria-label": `filter the rows of the table ${table.id}` });
      input.addEventListener("input", () => {
        const wanted = input.value.toLowerCase().split(/\s+/);
        all("tbody tr", table).forEach((row) => { row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word)); });
      });
      bar.append(input);
    }
    const button = make("button", { type: "button", "aria-label": `save the table ${table.id} as CSV` }, "CSV");
    button.addEventListener("click", () => file(`${data.experiment}-${table.id}.csv`, csv(table), "text/csv"));
    bar.append(button);
    table.parentElement.before(bar);
  }

  function savable(figure) {
    const image = find("img", figure);
    const name = `${data.experiment}-${figure.id.replace("figure-", "")}`;
    const bar = make("div", { class: "row" });
    const vector = image.src.startsWith("data:image/svg");
    const whole = make("button", { type: "button", "aria-label": `save ${name} as ${vector ? "SVG" : "PNG"}` }, vector ? "SVG" : "PNG");
    whole.addEventListener("click", () => save(`${name}.${vector ? "svg" : "png"}`, image.src));
    bar.append(whole);
    if (vector) {
      const pixels = make("button", { type: "button", "aria-label": `save ${name} as PNG` }, "PNG");
      pixels.addEventListener("click", () => {
        const canvas = make("canvas", { width: 2 * image.naturalWidth, height: 2 * image.naturalHeight });
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        save(`${name}.png`, canvas.toDataURL());
      });
      bar.append(pixels);
    }
    figure.append(bar);
  }

  // ---- explorer ---------------------------------------------------------------------------------
  const shown = data.explorer;
  const state = {};
  const kinds = shown ? Object.keys(data.kinds).filter((kind) => kind in shown.kinds) : [];
  const className = (label) => label === null || label === undefined ? "" : data.classes[label] ?? `class ${label}`;
  const picture = (src, alt) => make("img", { src, alt });

  function fromAddress() {
    const wanted = new URLSearchParams(location.hash.replace(/^#explore\??/, ""));
    state.kind = kinds.includes(wanted.get("kind")) ? wanted.get("kind") : kinds[0];
    const queries = shown.kinds[state.kind].queries;
    state.at = wanted.has("query") ? Math.max(queries.indexOf(Number(wanted.get("query"))), 0) : 0;
    state.image = null;
    const methods = listed();
    state.first = methods.includes(wanted.get("a")) ? wanted.get("a") : methods[0];
    const others = methods.filter((name) => name !== state.first);
    const other = others.find((name) => name === data.floor) ?? others[0] ?? "";
    state.second = wanted.has("b") && (wanted.get("b") === "" || methods.includes(wanted.get("b"))) ? wanted.get("b") : other;
  }

  const listed = () => data.order.filter((name) => name in shown.kinds[state.kind].lists);

  function remember() {
    const { kind, at, first, second } = state;
    const words = new URLSearchParams({ kind, query: shown.kinds[kind].queries[at], a: first, b: second });
    history.replaceState(null, "", `#explore?${words}`);
  }

  function choose(changes) {
    const focus = document.activeElement?.dataset.focus;
    Object.assign(state, changes);
    const methods = listed();
    if (!methods.includes(state.first)) state.first = methods[0];
    if (state.second && !methods.includes(state.second)) state.second = "";
    state.image = changes.image ?? null;
    fill();
    remember();
    if (focus) (find(`[data-focus="${focus}"]`) ?? find("#queries [aria-pressed=true]")).focus();
  }

  function card(method, place, best, sharedWith) {
    const kind = shown.kinds[state.kind];
    const list = kind.lists[method];
    const position = list.rows[state.at][place];
    const score = list.scores[state.at][place];
    const { ids, labels, pictures } = shown.training;
    const label = className(labels[position]);
    const own = kind.labels[state.at];
    const width = best > 0 ? Math.max(0, Math.min(1, score / best)) : 0;
    const both = sharedWith.has(position) ? ", in both lists" : "";
    const words = `training image ${ids[position]}${label && `, ${label}`}, score ${score}${both}`;
    const bar = make("b");
    bar.style.width = `${100 * width}%`;
    const button = make("button", { type: "button", class: both ? "shared" : null, title: words, "data-focus": `${method} ${place}`, "aria-pressed": String(state.image === position) },
      picture(pictures[position], words), make("span", { class: "bar", "aria-hidden": "true" }, bar),
      make("span", { class: labels[position] !== own ? "other" : null }, label || `image ${ids[position]}`));
    button.addEventListener("click", () => choose({ image: state.image === position ? null : position }));
    return make("li", {}, button);
  }

  function lists(method, other) {
    const kind = shown.kinds[state.kind];
    const list = kind.lists[method];
    const rows = list.rows[state.at];
    const best = list.scores[state.at][0];
    const taken = new Set(other ? kind.lists[other].rows[state.at].slice(0, shown.highest) : []);
    const top = make("ol", { class: "list" });
    const low = make("ol", { class: "list" });
    rows.forEach((position, place) => {
      (place < shown.highest ? top : low).append(card(method, place, best, place < shown.highest ? taken : new Set()));
    });
    const value = kind.lds[method]?.[state.at];
    const judged = value === undefined ? "" : value === null
      ? "Its rank correlation with the retrained models is undefined for this query."
      : `Its rank correlation with the retrained models, times 100, is ${value.toFixed(1)} for this query.`;
    const common = [...taken].filter((position) => rows.slice(0, shown.highest).includes(position)).length;
    const agree = other ? ` ${common} of its ${Math.min(shown.highest, rows.length)} highest images are among the highest of ${other}, too (outlined).` : "";
    const name = make("h3", {}, make("span", { class: "name" }, method));
    const title = data.definitions[method]?.title;
    if (title) name.append(`, ${title}`);
    return make("div", {}, name, make("p", { class: "note" }, judged + agree), make("h4", {}, "Highest scores"), top,
      ...(low.children.length ? [make("h4", {}, "Lowest scores"), low] : []));
  }

  function removal() {
    const kind = shown.kinds[state.kind];
    const rows = kind.removal[kind.queries[state.at]];
    if (!rows) return [];
    const body = make("tbody");
    rows.forEach((row) => {
      const line = make("tr", {}, make("th", { class: "l name" }, row.method), make("td", {}, row.k));
      for (const measure of ["loss_change", "image_l2"]) {
        const [value, chance] = row[measure] ?? ["–", "–"];
        line.append(make("td", { class: "main" }, value), make("td", { class: "dim" }, chance));
      }
      body.append(line);
    });
    const heads = ["removed by", "images removed", "loss change", "with random images", "image change (L2)", "with random images"];
    return [make("h3", {}, "What retraining without these images did"),
      make("p", { class: "note" }, "One model was retrained for each row. “With random images” is the mean over models without as many random images."),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "what retraining did" }, make("table", { class: "narrow" },
        make("thead", {}, make("tr", {}, ...heads.map((head, i) => make("th", { class: i ? null : "l" }, head)))), body))];
  }

  function appearances() {
    if (state.image === null) return [];
    const { ids, labels, pictures } = shown.training;
    const kind = shown.kinds[state.kind];
    const places = kind.lists[state.first].rows
      .map((rows, at) => ({ at, place: rows.slice(0, shown.highest).indexOf(state.image) }))
      .filter((one) => one.place >= 0).sort((a, b) => a.place - b.place);
    const label = className(labels[state.image]);
    const strip = make("div", { class: "strip" });
    places.forEach(({ at, place }) => {
      const button = make("button", { type: "button", "data-focus": `place ${at}` }, picture(kind.pictures[at], `query ${kind.queries[at]}, place ${place + 1}`));
      button.addEventListener("click", () => choose({ at }));
      strip.append(button);
    });
    return [make("div", { class: "asking" },
      picture(pictures[state.image], ""), ` Training image ${ids[state.image]}${label && `, ${label}`}, is among the ${shown.highest} highest of `,
      make("span", { class: "name" }, state.first), ` for ${places.length} of these ${kind.queries.length} queries.`, strip)];
  }

  function fill() {
    const kind = shown.kinds[state.kind];
    all("button[data-kind]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.kind === state.kind)));
    const strip = find("#queries");
    const old = strip.dataset.shown === state.kind;
    if (!old) {
      strip.dataset.shown = state.kind;
      strip.replaceChildren(...kind.queries.map((number, at) => {
        const label = className(kind.labels[at]);
        const button = make("button", { type: "button", "data-focus": `query ${at}`, class: kind.removal[number] ? "removed" : null },
          picture(kind.pictures[at], `query ${number}${label && `, ${label}`}${kind.removal[number] ? ", with removal" : ""}`));
        button.addEventListener("click", () => choose({ at }));
        return button;
      }));
      for (const [id, none] of [["first", false], ["second", true]]) {
        const options = listed().map((name) => make("option", { value: name }, name));
        find(`#${id}`).replaceChildren(...(none ? [make("option", { value: "" }, "none")] : []), ...options);
      }
    }
    all("button", strip).forEach((button, at) => {
      button.setAttribute("aria-pressed", String(at === state.at));
      button.tabIndex = at === state.at ? 0 : -1;
    });
    const button = strip.children[state.at];
    strip.scrollLeft = button.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
    find("#first").value = state.first;
    find("#second").value = state.second;
    const label = className(kind.labels[state.at]);
    find("#asked").replaceChildren(
      picture(kind.pictures[state.at], `query ${kind.queries[state.at]}${label && `, ${label}`}`),
      make("p", {}, make("b", {}, `Query ${kind.queries[state.at]}`), label && `, ${label}`),
      make("p", { class: "note" }, `A ${data.kinds[state.kind].replace("images", "image")}.`));
    find("#appearances").replaceChildren(...appearances());
    find("#told").textContent = `Query ${kind.queries[state.at]}${label && `, ${label}`}`;
    find("#lists").replaceChildren(lists(state.first, state.second), ...(state.second ? [lists(state.second, state.first)] : []));
    find("#removed").replaceChildren(...removal());
  }

  // ---- start ------------------------------------------------------------------------------------
  root.classList.add("scripted");
  all("table").forEach(equip);
  all("figure[id]").forEach(savable);
  if (find("#explore")) {
    fromAddress();
    fill();
    find("#queries").addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const count = shown.kinds[state.kind].queries.length;
      if (by) { event.preventDefault(); choose({ at: (state.at + by + count) % count }); find("#queries [aria-pressed=true]").focus(); }
    });
    all("button[data-kind]").forEach((button) => button.addEventListener("click", () => choose({ kind: button.dataset.kind, at: 0 })));
    for (const id of ["first", "second"]) find(`#${id}`).addEventListener("change", (event) => choose({ [id]: event.target.value }));
    addEventListener("hashchange", () => { if (location.hash.startsWith("#explore?")) { fromAddress(); fill(); } });
  }
  const measure = find("#measure");
  measure?.addEventListener("change", () => set("measure", measure.value));
  const most = find("#most");
  most?.addEventListener("click", () => {
    const every = most.getAttribute("aria-pressed") !== "true";
    most.setAttribute("aria-pressed", String(every));
    set("most", every ? 1e6 : data.most);
  });
  all("#chosen input").forEach((box) => box.addEventListener("change", () =>
    set("chosen", all("#chosen input:checked").map((one) => one.value))));
  find(".theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light").then(() => {
    if (location.hash.startsWith("#explore?")) find("#explore")?.scrollIntoView();
    root.classList.add("drawn");
  });
})();
