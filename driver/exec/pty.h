/* pty.h - a pseudo terminal: the end for a command, and the end for whoever speaks with it.
 *
 * By /dev/ptmx, without paths: the command's end is opened through ours. Kernel doc: pty(7),
 * ioctl_tty(2). */
#pragma once
#include <stdint.h>

#include "common/base/fd.h"

struct pty_size {
    uint16_t rows, columns; /* 0, 0: not known */
};

/** Both ends. `out_ours` does not block; `out_theirs` belongs to user `uid`. Errors: SYSTEM. */
MUST_USE bool pty_open(uint32_t uid, struct fd *out_ours, struct fd *out_theirs, struct err *err);

/** The command's side learns of it by SIGWINCH. A terminal that is gone is left alone. */
void pty_resize(int ours, struct pty_size size);

/** The character that means end of file there; 4 when it cannot be known. */
uint8_t pty_end_character(int ours);
