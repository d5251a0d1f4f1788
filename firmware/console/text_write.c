#include "text_write.h"

#include <string.h>

#include "decimal.h"
#include "port.h"

void tl_write(const char *text) {
    tl_port_write((const uint8_t *)text, (uint32_t)strlen(text));
}

void tl_write_whole(uint32_t value) {
    tl_write_scaled(value, 0);
}

void tl_write_scaled(uint64_t value, uint32_t decimals) {
    char digits[TL_DECIMAL_MAX];
    tl_print_scaled(value, decimals, digits);
    tl_write(digits);
}

void tl_write_answer(const uint8_t *bytes, uint32_t n) {
    uint32_t start = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            tl_port_write(bytes + start, i - start);
            tl_write(TL_LINE_END);
            start = i + 1u;
        }
    }
    tl_port_write(bytes + start, n - start);
}
