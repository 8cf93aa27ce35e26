// An origin that says on stdout what it read: its port first, then one JSON object per request.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const said = {
      port: String(request.socket.remotePort),
      method: request.method,
      target: request.url,
      host: request.headers.host ?? '',
      content: Buffer.concat(chunks).toString('hex'),
    };
    process.stdout.write(JSON.stringify(said) + '\n');
    response.end('ok');
  });
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
