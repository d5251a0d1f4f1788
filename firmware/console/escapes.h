/* Escape sequences, told from typed text: what arrow and function keys send, keys with Alt, and replies of terminals.
   Their forms: ECMA-48 5.3 to 5.6 and ECMA-35 13.2; what keys send: xterm's "Control Sequences". Bytes of 80 to 9F are
   UTF-8 here, so an 8-bit C1 control begins nothing. */
#ifndef TL_ESCAPES_H
#define TL_ESCAPES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a byte belongs to an escape sequence. Any control character that a sequence has no place for ends it and does
   not belong to it: so does a line end, always. */
bool tl_escape_take(uint8_t byte);

/* Whether an ESC has come whose next byte tells what it is: of these only '[' always begins a sequence, any other
   may be typed after the Esc key. */
bool tl_escape_undecided(void);

/* Forgets the sequence under way. */
void tl_escape_drop(void);

#ifdef __cplusplus
}
#endif

#endif
