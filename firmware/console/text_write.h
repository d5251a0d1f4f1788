/* Writes text and numbers to a person. */
#ifndef TL_TEXT_WRITE_H
#define TL_TEXT_WRITE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_LINE_END "\r\n"

void tl_write(const char *text);
void tl_write_whole(uint32_t value);

/* value / 10^decimals */
void tl_write_scaled(uint64_t value, uint32_t decimals);

/* Writes text from the model. A line feed becomes TL_LINE_END, which terminals need. */
void tl_write_answer(const uint8_t *bytes, uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
