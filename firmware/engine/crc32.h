/* CRC-32 (IEEE 802.3), the same as zlib's crc32. */
#ifndef TL_CRC32_H
#define TL_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Continues a CRC with n more bytes. crc: the CRC of the bytes before, 0 if there are none. */
uint32_t tl_crc32(uint32_t crc, const uint8_t *bytes, uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
