/* People: any bytes at a serial monitor.
 *
 *     pace, bytes     pace: bit 7 echo, bits 5 and 6 polls after each arrival, the rest how many bytes arrive at once
 *
 * What the board says of its own is UTF-8, and after two Ctrl-C it takes a command.
 */
#include <string.h>

#include "board.h"
#include "promise.h"
#include "text_options.h"

static void say(const char *text, uint32_t n) {
    board_receive((const uint8_t *)text, n, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const uint8_t pace = take_u8(&input);
    const uint32_t at_once = 1u + (pace & 31u), polls = pace >> 5 & 3u;
    tl_text_set_echo((pace & 0x80u) != 0);
    board_start(false);
    while (input.left > 0) {
        const uint32_t n = at_once < input.left ? at_once : (uint32_t)input.left;
        board_receive(input.bytes, n, polls);
        input.bytes += n;
        input.left -= n;
    }
    say("\0\r/text\r\x03\x03", 10); /* out of a frame, out of the program voice, out of a line */
    say("/echo off\r", 10);
    board_end();
    say("/seed 271828\r", 13);
    board_end();
    PROMISE(strcmp(board_heard.text, "seed 271828\r\n") == 0);
    return 0;
}
