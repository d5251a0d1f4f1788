/* Unicode's normal forms (Unicode annex 15); vocabulary.h has their tables. */
#ifndef TL_NORMAL_FORM_H
#define TL_NORMAL_FORM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_FORM_TOO_LONG UINT32_MAX

/* Brings the n bytes of text at the start of `out`, any bytes, into a normal form (TL_NFC, TL_NFD, TL_NFKC or TL_NFKD)
   and returns the new length. TL_FORM_TOO_LONG: the decomposed text, which may be longer than the result, does not fit.
   A byte that is no UTF-8 stays as it is. */
uint32_t tl_normal_form(uint32_t form, uint8_t *out, uint32_t n, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
