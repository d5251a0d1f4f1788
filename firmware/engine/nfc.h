/* Unicode normal form C (Unicode annex 15), with the tables of vocabulary.h. */
#ifndef TL_NFC_H
#define TL_NFC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_NFC_TOO_LONG UINT32_MAX

/* Writes the normal form of n bytes of text, any bytes, to `out` and returns its length, or TL_NFC_TOO_LONG if the text
   taken apart, which may be longer, is over `room`. A byte that is no UTF-8 stays as it is. */
uint32_t tl_nfc(const uint8_t *text, uint32_t n, uint8_t *out, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
