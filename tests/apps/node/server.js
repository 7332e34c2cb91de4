const express = require('express');

const guests = require('./guests');

const app = express();
const port = Number(process.env.PORT || 3000);

app.use(express.urlencoded({ extended: false, limit: '16kb' }));

app.get('/healthz', (request, response) => response.json({ status: 'ok' }));

app.get('/', (request, response) => {
  response.type('html').send(guests.page(process.env.GREETING || 'Welcome'));
});

app.post('/sign', (request, response) => {
  guests.add(request.body.name, request.body.line);
  response.redirect(303, '/');
});

app.get('/version', (request, response) => {
  response.json({ app: 'guestbook', version: require('./package.json').version, greeting: process.env.GREETING || null });
});

const server = app.listen(port, '0.0.0.0', () => console.log(`guestbook listens on ${port}`));

process.on('SIGTERM', () => {
  console.log('guestbook stops');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
