const PERIOD_MS = (12 * 60 + 25) * 60 * 1000;
const next = new Date(Math.ceil(Date.now() / PERIOD_MS) * PERIOD_MS);
document.getElementById('high').textContent = next.toLocaleTimeString();
