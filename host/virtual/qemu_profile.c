/* A plugin of QEMU that counts what each function executes. Its argument names the folder of the profile (profile.py).
 * QEMU calls it for every basic block when it translates the block, and again each time that the block is entered.
 *
 * The declarations are those of QEMU's "TCG Plugins" interface; TL_QEMU_API is the version that this QEMU has. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile.h"

#define EXPORT __attribute__((visibility("default")))
#define PATH_BYTES 4096u
#define NO_REGISTERS 0
/* From firmware/ports/xtensa/link.ld. No other machine has code there. */
#define VECTORS 0x40080000u
#define VECTORS_BYTES 1024u

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned int, void *), int flags,
                                          void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = TL_QEMU_API;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

struct block {
    uint64_t function, start, size, n;
};

static struct profile profile;
static uint64_t *first, *bytes; /* (functions,): first address and size of each */

static uint64_t function_at(uint64_t address) {
    for (uint64_t i = 1; i < profile.functions; i++) {
        if (address - first[i] < bytes[i]) {
            return i;
        }
    }
    return 0;
}

/* Whether a block belongs to the exception handler that executes an instruction in place of the program, from the
 * exception's vector to its return. Such blocks are not counted: the program's instruction was counted with its own
 * block (firmware/ports/xtensa). */
static bool executes_another(uint64_t start) {
    static enum { PROGRAM, ENTERED, EXECUTING, LEAVING } trap;
    if (start - VECTORS < VECTORS_BYTES) {
        trap = trap == PROGRAM ? ENTERED : trap == EXECUTING ? LEAVING : trap;
    } else {
        trap = trap == ENTERED ? EXECUTING : trap == LEAVING ? PROGRAM : trap;
    }
    return trap != PROGRAM;
}

static void enter(unsigned int core, void *data) {
    const struct block *const block = data;
    (void)core;
    if (executes_another(block->start)) {
        return;
    }
    profile_block(&profile, block->function, block->start, block->size, block->n);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    const size_t n = qemu_plugin_tb_n_insns(tb);
    const struct qemu_plugin_insn *const last = qemu_plugin_tb_get_insn(tb, n - 1u);
    struct block *const block = malloc(sizeof *block); /* for as long as QEMU runs */
    (void)id;
    if (block == NULL) {
        abort();
    }
    block->start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    block->size = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) - block->start;
    block->function = function_at(block->start);
    block->n = n;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, enter, NO_REGISTERS, block);
}

static bool read_functions(const char *folder) {
    char path[PATH_BYTES];
    uint64_t parts = 0;
    snprintf(path, sizeof path, "%s/functions", folder);
    FILE *const file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%" SCNu64 " %" SCNu64, &profile.functions, &parts) != 2) {
        return false;
    }
    first = calloc(profile.functions, sizeof *first);
    bytes = calloc(profile.functions, sizeof *bytes);
    uint64_t *const root = calloc(profile.functions, sizeof *root);
    uint8_t *const part_of = calloc(profile.functions, sizeof *part_of);
    for (uint64_t i = 0; i < profile.functions; i++) {
        unsigned int part, role;
        if (fscanf(file, "%" SCNu64 " %" SCNu64 " %u %u %*[^\n]", &first[i], &bytes[i], &part, &role) != 4) {
            return false;
        }
        part_of[i] = (uint8_t)part;
        root[i] = role == 1 ? first[i] : role == 2 ? VENEER : 0;
    }
    fclose(file);
    profile.part_of = part_of;
    profile.root = root;
    return true;
}

static bool map_counts(const char *folder) {
    char path[PATH_BYTES];
    struct stat status;
    snprintf(path, sizeof path, "%s/counts", folder);
    const int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &status) != 0) {
        return false;
    }
    void *const counts = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    profile.counts = counts;
    return counts != MAP_FAILED;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    const char *const name = "folder=";
    (void)info;
    if (argc != 1 || strncmp(argv[0], name, strlen(name)) != 0) {
        return -1;
    }
    const char *const folder = argv[0] + strlen(name);
    if (!read_functions(folder) || !map_counts(folder)) {
        fprintf(stderr, "%s: no profile there\n", folder);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
