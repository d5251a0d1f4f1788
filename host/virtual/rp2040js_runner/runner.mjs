// A Pico in rp2040js: its flash from a file, UART0 on stdin and stdout, time counted in cycles of 125 MHz.
// --count: a cycle is a microsecond of the board's clock. --profile FOLDER: what each function takes is noted there.
//
// Whatever rp2040js complains about stops the board: a line that says why and a line with the registers go to stderr.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { RP2040 } from 'rp2040js';
import { openProfile } from './profile.mjs';

const FLASH_START = 0x10000000;
const STACK_OF_BOOT_ROM = 0x20042000; // RP2040 datasheet, section 2.8.1: boot2 runs on the last bank of SRAM
const NANOSECONDS = 8; // of a cycle
const SLICE = 50_000; // instructions between two looks at stdin
const MOST_PENDING = 65536; // bytes of input that wait here

const { values: options, positionals } = parseArgs({
  options: { count: { type: 'boolean' }, profile: { type: 'string' } },
  allowPositionals: true,
});
const profile = options.profile === undefined ? null : openProfile(options.profile);
const mcu = new RP2040();
const { core, clock } = mcu;
const uart = mcu.uart[0];

// --- What stops the board ---

const NAMES = ['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8', 'r9', 'r10', 'r11', 'r12', 'sp', 'lr', 'pc'];

function stop(component, message) {
  flush();
  const values = NAMES.map((name, i) => ` ${name.padEnd(4)} ${core.registers[i].toString(16).padStart(8, '0')}`);
  process.stderr.write(`rp2040js, ${component}: ${message}\ntinyllm: fault${values.join('')}\n`);
  process.exit(1);
}

mcu.logger = { debug() {}, info() {}, warn: stop, error: stop };
mcu.onBreak = (code) => stop('core', `undefined instruction or breakpoint ${code}`);

// --- UART0 ---

let pending = Buffer.alloc(0);
let sleeping = false;
let sent = [];

uart.onByte = (byte) => sent.push(byte);

function flush() {
  if (sent.length > 0) {
    // Before the reply that tells of it.
    profile?.write();
    process.stdout.write(Buffer.from(sent));
    sent = [];
  }
}

/** Fill the UART's FIFO. */
function feed() {
  let n = 0;
  while (n < pending.length && !uart.rxFIFO.full) {
    uart.feedByte(pending[n++]);
  }
  pending = pending.subarray(n);
  if (pending.length < MOST_PENDING) {
    process.stdin.resume();
  }
}

process.stdin.on('data', (data) => {
  pending = Buffer.concat([pending, data]);
  if (pending.length >= MOST_PENDING) {
    process.stdin.pause();
  }
  if (sleeping) {
    sleeping = false;
    run();
  }
});
process.stdin.on('end', () => process.exit(0));

// --- The FIFOs to core 1 ---

// rp2040js has one core and no FIFOs (RP2040 datasheet, section 2.3.1.4): words are taken until they are full, and nobody
// answers, so that the firmware goes on alone.
const FIFO_STATUS = 0x50;
const FIFO_WRITE = 0x54;
const FIFO_ROOM = 1 << 1;
const FIFO_WORDS = 8;
let words = 0;

const readSio = mcu.sio.readUint32.bind(mcu.sio);
const writeSio = mcu.sio.writeUint32.bind(mcu.sio);
mcu.sio.readUint32 = (offset) => (offset === FIFO_STATUS ? (words < FIFO_WORDS ? FIFO_ROOM : 0) : readSio(offset));
mcu.sio.writeUint32 = (offset, value) => (offset === FIFO_WRITE ? words++ : writeSio(offset, value));

// --- Time ---

// RP2040 datasheet, section 4.6: microseconds, read without latching.
const TIMER = 0x40054;
const TIMER_HIGH = 0x24;
const TIMER_LOW = 0x28;

if (options.count) {
  const timer = mcu.peripherals[TIMER];
  const readTimer = timer.readUint32.bind(timer);
  timer.readUint32 = (offset) => {
    const cycles = clock.nanos / NANOSECONDS;
    return offset === TIMER_HIGH ? Math.floor(cycles / 2 ** 32) : offset === TIMER_LOW ? cycles >>> 0 : readTimer(offset);
  };
}

function run() {
  for (let i = 0; i < SLICE; i++) {
    if (core.waiting && pending.length === 0 && uart.rxFIFO.empty) {
      sleeping = true;
      flush();
      return;
    }
    // Before a byte comes: rp2040js gives a waiting core even an interrupt that PRIMASK holds back.
    core.waiting = false;
    if (pending.length > 0 && uart.rxFIFO.empty) {
      feed();
    }
    profile?.enter(core.PC, core.LR);
    const cycles = core.executeInstruction();
    profile?.add(cycles);
    clock.tick(cycles * NANOSECONDS);
  }
  flush();
  setImmediate(run);
}

mcu.flash.set(readFileSync(positionals[0]));
core.SP = STACK_OF_BOOT_ROM;
core.LR = 0;
core.PC = FLASH_START;
run();
