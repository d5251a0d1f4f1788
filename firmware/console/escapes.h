/* Tells escape sequences from typed text: those of arrow and function keys, of keys with Alt, and replies of terminals.
   Sources: ECMA-48 5.3 to 5.6 and ECMA-35 13.2 for their forms, xterm's "Control Sequences" for the keys. Bytes 80 to
   9F are UTF-8 here, so an 8-bit C1 control begins no sequence. */
#ifndef TL_ESCAPES_H
#define TL_ESCAPES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the next byte; returns whether it belongs to an escape sequence. A control character that is not allowed in a
   sequence ends it and does not belong to it. A line end always does so. */
bool tl_escape_take(uint8_t byte);

/* Whether the last byte was an ESC, so that the next byte decides. '[' always begins a sequence; any other byte may
   also be typed after the Esc key. */
bool tl_escape_undecided(void);

/* Forgets the sequence under way. */
void tl_escape_drop(void);

#ifdef __cplusplus
}
#endif

#endif
