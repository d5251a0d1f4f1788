// What each function takes while a token is made: the profile that host/virtual/profile.py describes, for core 0.

import { openSync, readFileSync, writeSync } from 'node:fs';

const MEMORIES = [
  [0x10000000, 2 * 1024 * 1024], // flash
  [0x20000000, 264 * 1024], // SRAM
];

/** The profile in a folder, whose file `functions` is there. */
export function openProfile(folder) {
  const [head, ...lines] = readFileSync(`${folder}/functions`, 'utf8').trimEnd().split('\n');
  const [n, parts] = head.split(' ').map(Number);
  const functions = lines.map((line) => line.split(' ', 4).map(Number));
  const partOf = functions.map(([, , part]) => part);
  const at = MEMORIES.map(([, size]) => new Uint16Array(size / 2));
  const roots = new Set();
  functions.forEach(([address, size, , root], number) => {
    const memory = MEMORIES.findIndex(([start, length]) => address >= start && address < start + length);
    if (number > 0 && memory >= 0) {
      const first = (address - MEMORIES[memory][0]) / 2;
      at[memory].fill(number, first, first + Math.ceil(size / 2));
    }
    if (root) {
      roots.add(address);
    }
  });
  const counts = new Float64Array(parts * n);
  const file = openSync(`${folder}/counts`, 'r+');
  let back = 0; // where the root under way returns to; 0: none runs
  let part = 0;
  let cell = -1; // of counts, that the instruction under way counts for

  return {
    /** Before an instruction is executed. */
    enter(pc, lr) {
      if (back === pc) {
        back = 0;
      } else if (back === 0 && roots.has(pc)) {
        back = lr & ~1;
      }
      if (back === 0) {
        cell = -1;
        return;
      }
      const memory = pc < MEMORIES[1][0] ? 0 : 1;
      const number = at[memory][(pc - MEMORIES[memory][0]) >> 1] ?? 0;
      part = partOf[number] || part;
      cell = part * n + number;
    },
    /** After it: the cycles that it took. */
    add(cycles) {
      if (cell >= 0) {
        counts[cell] += cycles;
      }
    },
    write() {
      writeSync(file, new Uint8Array(BigUint64Array.from(counts, BigInt).buffer), 0, undefined, 0);
    },
  };
}
