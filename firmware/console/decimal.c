#include "decimal.h"

#define MAX_DECIMALS 6u

static const uint32_t powers_of_ten[MAX_DECIMALS + 1u] = {1, 10, 100, 1000, 10000, 100000, 1000000};

/* Reads the digits at *text as one number of at most `limit`. *text is left at the first other character. */
static bool parse_digits(const char **text, uint32_t limit, uint32_t *value) {
    uint64_t number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        number = number * 10u + (uint32_t)(**text - '0');
        if (number > limit) {
            return false;
        }
    }
    *value = (uint32_t)number;
    return true;
}

bool tl_parse_whole(const char *text, uint32_t *value) {
    const char *end = text;
    uint32_t number;
    if (!parse_digits(&end, UINT32_MAX, &number) || end == text || *end != '\0') {
        return false;
    }
    *value = number;
    return true;
}

bool tl_parse_q16(const char *text, uint32_t *value) {
    const char *end = text;
    uint32_t whole, fraction = 0, decimals = 0;
    if (!parse_digits(&end, UINT16_MAX, &whole)) {
        return false;
    }
    uint32_t digits = (uint32_t)(end - text);
    if (*end == '.') {
        const char *const first = ++end;
        if (!parse_digits(&end, UINT32_MAX, &fraction) || end - first > (int)MAX_DECIMALS) {
            return false;
        }
        decimals = (uint32_t)(end - first);
        digits += decimals;
    }
    if (digits == 0 || *end != '\0') {
        return false;
    }
    const uint32_t one = powers_of_ten[decimals];
    const uint64_t rounded = ((uint64_t)whole << 16) + (((uint64_t)fraction << 16) + one / 2u) / one;
    if (rounded > UINT32_MAX) {
        return false;
    }
    *value = (uint32_t)rounded;
    return true;
}

void tl_print_scaled(uint64_t value, uint32_t decimals, char *out) {
    char reversed[TL_DECIMAL_MAX];
    uint32_t n = 0;
    for (uint32_t digits = 0; value > 0 || digits <= decimals; digits++) {
        if (digits == decimals && decimals > 0) {
            reversed[n++] = '.';
        }
        reversed[n++] = (char)('0' + value % 10u);
        value /= 10u;
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i] = reversed[n - 1u - i];
    }
    out[n] = '\0';
}

void tl_print_whole(uint32_t value, char *out) {
    tl_print_scaled(value, 0, out);
}

void tl_print_q16(uint32_t value, char *out) {
    uint32_t decimals = 0;
    uint32_t read_back;
    do {
        const uint64_t scaled = ((uint64_t)value * powers_of_ten[decimals] + 32768u) >> 16;
        tl_print_scaled(scaled, decimals, out);
        decimals++;
    } while (decimals <= MAX_DECIMALS && (!tl_parse_q16(out, &read_back) || read_back != value));
}
