// JSON lines over stdin and stdout: `{"id", "do", "with"}` in, `{"id", "answer"}` or `{"id", "error"}` out. What is said
// unasked has no id. The end of stdin is the end of the process: nothing outlives the test that started it.
import { createInterface } from 'node:readline';

// What a library remarks is no part of the conversation; what it calls an error still goes to stderr.
console.log = console.info = console.warn = console.debug = () => {};

export const options = JSON.parse(process.argv[2] ?? '{}');

export function tell(what) {
  process.stdout.write(JSON.stringify(what) + '\n');
}

// Each of `commands` takes what it is asked `with` and returns the answer; several may be under way at once.
export function serve(commands, close) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', async (line) => {
    const { id, do: name, with: given } = JSON.parse(line);
    try {
      if (!Object.hasOwn(commands, name)) throw new Error(`nobody knows how to ${name}`);
      tell({ id, answer: (await commands[name](given)) ?? null });
    } catch (error) {
      tell({ id, error: error.message });
    }
  });
  lines.on('close', async () => {
    await close();
    process.exit(0);
  });
}
