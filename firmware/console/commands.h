/* The commands of the text voice. */
#ifndef TL_COMMANDS_H
#define TL_COMMANDS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Carries out a command line: it begins with '/' and is NUL-terminated. Its spaces may be overwritten. */
void tl_command(char *line);

#ifdef __cplusplus
}
#endif

#endif
