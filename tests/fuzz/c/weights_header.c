/* Weights beside the program: the true image, changed in any way.
 *
 *     how, size (2), then records of: where (2), length, bytes     how: bit 0 cut to size, bit 1 the header's CRC mended
 *
 * The board takes an image only if its tables are the true ones, and reads no byte beyond what it was given.
 */
#include <stdbool.h>
#include <string.h>

#include "crc32.h"
#include "model.h"
#include "promise.h"

static uint8_t original[TL_WEIGHTS_IMAGE_BYTES];

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Reads weights.bin from the folder of the program. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    char path[4096];
    const char *const slash = strrchr(*argv[0], '/');
    (void)argc;
    (void)snprintf(path, sizeof path, "%.*sweights.bin", slash == NULL ? 0 : (int)(slash - *argv[0]) + 1, *argv[0]);
    FILE *const file = fopen(path, "rb");
    PROMISE(file != NULL && fread(original, 1, sizeof original, file) == sizeof original && fclose(file) == 0);
    return 0;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (uint32_t i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8u * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t whole[TL_WEIGHTS_IMAGE_BYTES];
    struct input input = {data, size};
    const uint8_t how = take_u8(&input);
    const uint32_t cut = take_u8(&input) | (uint32_t)take_u8(&input) << 8;
    memcpy(whole, original, sizeof whole);
    while (input.left > 3) {
        uint32_t at = (take_u8(&input) | (uint32_t)take_u8(&input) << 8) % (uint32_t)sizeof whole;
        for (uint32_t n = take_u8(&input); n > 0 && at < sizeof whole && input.left > 0; n--) {
            whole[at++] = take_u8(&input);
        }
    }
    if ((how & 2u) != 0) {
        put_u32(whole + HEADER - 4u, tl_crc32(0, whole, HEADER - 4u));
    }
    const uint32_t n = (how & 1u) != 0 ? cut % (uint32_t)(sizeof whole + 1u) : (uint32_t)sizeof whole;
    uint8_t *const image = malloc(n > 0 ? n : 1u);
    PROMISE(image != NULL);
    memcpy(image, whole, n);
    tl_weights_attach(image, n);
    const bool intact = tl_weights_intact();
    const enum tl_weights state = tl_weights_state();
    PROMISE((unsigned)state <= TL_WEIGHTS_FOREIGN && intact == (state == TL_WEIGHTS_INTACT));
    PROMISE(!intact || (n == sizeof whole && memcmp(image + HEADER, original + HEADER, n - HEADER) == 0));
    PROMISE(intact || n != sizeof whole || memcmp(image, original, n) != 0);
    PROMISE(strlen(tl_model_name()) <= 64u);
    free(image);
    return 0;
}
