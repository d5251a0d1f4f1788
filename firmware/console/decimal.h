/* Decimal numbers as people type and read them: whole, and Q16.16 (the real value times 65536). */
#ifndef TL_DECIMAL_H
#define TL_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for any number printed here, with its final NUL. */
#define TL_DECIMAL_MAX 24u

/* Reads a text that is one uint32_t number. Returns false, with *value unchanged, if the text is anything else. */
bool tl_parse_whole(const char *text, uint32_t *value);

/* The same for a number below 65536 with at most six decimals, rounded to the nearest Q16.16. */
bool tl_parse_q16(const char *text, uint32_t *value);

/* Print into out[TL_DECIMAL_MAX]. */
void tl_print_whole(uint32_t value, char *out);

/* Prints with the fewest decimals that tl_parse_q16 reads back as the same value; six are always enough. */
void tl_print_q16(uint32_t value, char *out);

/* Prints value / 10^decimals, decimals <= 6. */
void tl_print_scaled(uint64_t value, uint32_t decimals, char *out);

#ifdef __cplusplus
}
#endif

#endif
