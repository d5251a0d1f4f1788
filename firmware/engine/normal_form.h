/* Unicode's normal forms (Unicode annex 15), with the tables of vocabulary.h. */
#ifndef TL_NORMAL_FORM_H
#define TL_NORMAL_FORM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_FORM_TOO_LONG UINT32_MAX

/* Brings the n bytes of text at the start of `out`, any bytes, into a normal form (TL_NFC, TL_NFD, TL_NFKC or TL_NFKD)
   and returns its length, or TL_FORM_TOO_LONG if the text taken apart, which may be longer, does not find room on its
   way. A byte that is no UTF-8 stays as it is. */
uint32_t tl_normal_form(uint32_t form, uint8_t *out, uint32_t n, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
