#include "escapes.h"

#define BEL 0x07
#define BACKSPACE 0x08
#define CANCEL 0x18
#define SUBSTITUTE 0x1A
#define ESC 0x1B

static enum {
    NONE,
    ESCAPE,        /* ESC */
    INTERMEDIATE,  /* ESC and intermediate bytes: a final byte follows */
    CONTROL,       /* ESC [: parameters, intermediate bytes, a final byte */
    PARAMETERS,    /* the same after its first byte */
    CONSOLE_KEY,   /* ESC [ [: A to E on Linux's own console, which ECMA-48 has no form for */
    SINGLE_SHIFT,  /* ESC O: parameters, then one character */
    STRING,        /* ESC and one of P ] X ^ _: anything up to BEL or ESC \ */
    STRING_ESCAPE, /* ESC within a STRING */
    CHARACTER      /* ESC and the first byte of a character in UTF-8 */
} state;

static bool is_between(uint8_t byte, uint8_t first, uint8_t last) {
    return byte >= first && byte <= last;
}

static bool is_line_end(uint8_t byte) {
    return byte == '\r' || byte == '\n';
}

/* The byte after an ESC. */
static bool begin(uint8_t byte) {
    switch (byte) {
    case '[':
        state = CONTROL;
        return true;
    case 'O':
        state = SINGLE_SHIFT;
        return true;
    case 'P':
    case ']':
    case 'X':
    case '^':
    case '_':
        state = STRING;
        return true;
    case ESC: /* Alt and an arrow key, on some terminals */
        state = ESCAPE;
        return true;
    default:
        break;
    }
    if (is_between(byte, ' ', '/')) {
        state = INTERMEDIATE;
        return true;
    }
    state = byte >= 0xC0 ? CHARACTER : NONE;
    return byte >= ' ' || byte == BACKSPACE; /* a key with Alt */
}

bool tl_escape_take(uint8_t byte) {
    if (byte == ESC) {
        state = state == STRING ? STRING_ESCAPE : ESCAPE;
        return true;
    }
    switch (state) {
    case NONE:
        return false;
    case ESCAPE:
        return begin(byte);
    case STRING_ESCAPE:
        if (byte == '\\') {
            state = NONE;
            return true;
        }
        return begin(byte);
    case STRING:
        if (byte == BEL || byte == CANCEL || byte == SUBSTITUTE || is_line_end(byte)) {
            state = NONE;
        }
        return !is_line_end(byte);
    case INTERMEDIATE:
        if (is_between(byte, ' ', '/')) {
            return true;
        }
        state = NONE;
        return is_between(byte, '0', '~');
    case CONTROL:
    case PARAMETERS:
        if (is_between(byte, ' ', '?')) {
            state = PARAMETERS;
            return true;
        }
        state = byte == '[' && state == CONTROL ? CONSOLE_KEY : NONE;
        return is_between(byte, '@', '~');
    case CONSOLE_KEY:
        state = NONE;
        return is_between(byte, 'A', 'E');
    case SINGLE_SHIFT:
        if (is_between(byte, '0', '?')) {
            return true;
        }
        state = NONE;
        return is_between(byte, ' ', '~');
    case CHARACTER:
        if (is_between(byte, 0x80, 0xBF)) {
            return true;
        }
        state = NONE;
        return false;
    }
    return false;
}

bool tl_escape_undecided(void) {
    return state == ESCAPE;
}

void tl_escape_drop(void) {
    state = NONE;
}
