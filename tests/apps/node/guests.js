const entries = [];
const ENTRIES_MAX = 100;

const escape = (text) => String(text || '').slice(0, 200).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

exports.add = (name, line) => {
  entries.unshift({ name: escape(name), line: escape(line), at: new Date().toISOString() });
  entries.length = Math.min(entries.length, ENTRIES_MAX);
};

exports.page = (greeting) => `<!doctype html>
<title>Guest book</title>
<h1>${escape(greeting)}</h1>
<form method="post" action="/sign"><input name="name" placeholder="Name"> <input name="line" placeholder="A line"> <button>Sign</button></form>
<ul>${entries.map((entry) => `<li><b>${entry.name}</b> ${entry.line} <small>${entry.at}</small></li>`).join('\n')}</ul>`;
