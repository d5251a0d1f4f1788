/* Corrupts an image of weights in every way that flash or a person may, and holds the C to two promises: it takes an
 * image only if its tables are the true ones, and reads no byte beyond what it was given (the build has sanitizers).
 *
 *     image_fuzz WEIGHTS.BIN SEED ROUNDS     prints how often each state was found
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "model.h"

static uint32_t random_state;

static uint32_t next(uint32_t below) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(random_state >> 8) * below) >> 24);
}

static uint8_t original[TL_WEIGHTS_IMAGE_BYTES];

static void put_u32(uint8_t *at, uint32_t value) {
    for (uint32_t i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8u * i);
}

/* Some bytes of the first n become others, one bit or all of them, or as an erased flash has them. */
static void corrupt(uint8_t *image, uint32_t n) {
    const uint32_t times = 1 + next(4);
    for (uint32_t i = 0; n > 0 && i < times; i++) {
        const uint32_t at = next(n), length = 1 + next(n - at < 16u ? n - at : 16u);
        for (uint32_t j = 0; j < length; j++) {
            const uint32_t how = next(3);
            image[at + j] = (uint8_t)(how == 0 ? next(256) : how == 1 ? image[at + j] ^ 1u << next(8) : 0xFFu);
        }
    }
}

int main(int argc, char **argv) {
    uint32_t found[5] = {0}, taken = 0;
    FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL || fread(original, 1, sizeof original, file) != sizeof original || fclose(file) != 0) {
        return 2;
    }
    random_state = (uint32_t)strtoul(argv[2], NULL, 10);
    for (long round = strtol(argv[3], NULL, 10); round > 0; round--) {
        const uint32_t kind = next(6); /* 4: as it is */
        const uint32_t size = kind == 0 ? next(sizeof original + 1u) : (uint32_t)sizeof original;
        uint8_t *image = malloc(size > 0 ? size : 1u);
        if (image == NULL) {
            return 2;
        }
        memcpy(image, original, size);
        if (kind == 1 || kind == 2) corrupt(image, size < HEADER ? size : HEADER);
        if (kind == 3) corrupt(image, size);
        if (kind == 5) {
            const uint32_t from = next(size);
            memset(image + from, 0xFF, size - from); /* a write that stopped */
        }
        if (kind == 2 && size >= HEADER) put_u32(image + HEADER - 4u, tl_crc32(0, image, HEADER - 4u));
        tl_weights_attach(image, size);
        const bool intact = tl_weights_intact();
        const enum tl_weights state = tl_weights_state();
        const bool same = size == sizeof original && memcmp(image + HEADER, original + HEADER, size - HEADER) == 0;
        if (intact != (state == TL_WEIGHTS_INTACT) || (unsigned)state > TL_WEIGHTS_FOREIGN || (intact && !same)) {
            (void)printf("taken wrongly, state %d\n", (int)state);
            return 1;
        }
        if (size == sizeof original && memcmp(image, original, size) == 0 && !intact) {
            (void)printf("a whole image was refused\n");
            return 1;
        }
        if (strlen(tl_model_name()) > 64u) {
            return 1;
        }
        taken += intact;
        found[state]++;
        free(image);
    }
    (void)printf("%u %u %u %u %u %u\n", found[0], found[1], found[2], found[3], found[4], taken);
    return 0;
}
