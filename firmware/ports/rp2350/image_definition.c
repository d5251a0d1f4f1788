/* The RP2350's boot ROM looks for this in the first 4 KB of flash: the smallest IMAGE_DEF of a secure Arm executable
 * (RP2350 datasheet, section 5.9.5.1). */
#include <stdint.h>

extern const uint32_t tl_image_definition[5];

const uint32_t tl_image_definition[5] __attribute__((section(".image_definition"), used)) = {
    0xFFFFDED3u, 0x10210142u, 0x000001FFu, 0, 0xAB123579u,
};
