/* tinyllm as a program on a personal computer, with the same engine and console as on a board. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "host.h"
#include "model.h"
#include "port.h"
#include "text_options.h"

static const char usage[] = "usage: program [--stdio | --tcp PORT | --pty] [--parent-pipe]\n"
                            "  --stdio        talk on standard input and output (default)\n"
                            "  --tcp PORT     listen on 127.0.0.1:PORT, 0 for any free port\n"
                            "  --pty          open a pseudo-terminal\n"
                            "  --parent-pipe  with --tcp or --pty: end when standard input ends\n";

#if defined(TL_WEIGHTS_APART)
#define WEIGHTS "weights.bin"

/* Reads the weights from the file beside the program. If there is none, the console says so. */
static void attach_weights(const char *program) {
    static TL_ALIGNED uint8_t image[TL_WEIGHTS_IMAGE_BYTES];
    char path[4096];
    size_t folder = strlen(program);
    while (folder > 0 && program[folder - 1] != '/' && program[folder - 1] != '\\') {
        folder--;
    }
    const int length = snprintf(path, sizeof path, "%.*s%s", (int)folder, program, WEIGHTS);
    if (length < 0 || (size_t)length >= sizeof path) {
        return;
    }
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        tl_weights_attach(image, (uint32_t)fread(image, 1, sizeof image, file));
        (void)fclose(file);
    }
}
#endif

static bool parse_port(const char *text, uint16_t *port) {
    char *end;
    const long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

bool tl_port_stack(uint32_t *used, uint32_t *size) {
    (void)used; /* a process's stack grows as it needs to */
    (void)size;
    return false;
}

int main(int argc, char **argv) {
    enum { STDIO, TCP, PTY } stream = STDIO;
    uint16_t port = 0;
    bool parent_pipe = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--stdio") == 0) {
            stream = STDIO;
        } else if (strcmp(argv[i], "--pty") == 0) {
            stream = PTY;
        } else if (strcmp(argv[i], "--tcp") == 0 && i + 1 < argc && parse_port(argv[i + 1], &port)) {
            stream = TCP;
            i++;
        } else if (strcmp(argv[i], "--parent-pipe") == 0) {
            parent_pipe = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        } else {
            (void)fprintf(stderr, "tinyllm: unexpected argument %s\n%s", argv[i], usage);
            return 2;
        }
    }
    if (parent_pipe && stream == STDIO) {
        (void)fprintf(stderr, "tinyllm: --parent-pipe needs --tcp or --pty\n%s", usage);
        return 2;
    }

    const bool open = stream == TCP   ? tl_host_open_tcp(port)
                      : stream == PTY ? tl_host_open_pty()
                                      : tl_host_open_stdio();
    if (!open) {
        return 1;
    }
    if (parent_pipe) {
        tl_host_watch_stdin();
    }
    if (stream == STDIO) {
        tl_text_set_echo(false); /* a terminal echoes by itself, and a pipe needs no echo */
    }
#if defined(TL_WEIGHTS_APART)
    attach_weights(argv[0]);
#endif
    tl_console_start();
    for (;;) {
        if (tl_console_poll()) {
            continue;
        }
        if (tl_host_ended()) {
            return 0;
        }
        tl_host_wait();
    }
}
