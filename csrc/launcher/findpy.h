/* SPDX-License-Identifier: MIT */
/* Finding the interpreter without starting one. Launcher only, single-threaded. */
#ifndef CW_LAUNCHER_FINDPY_H
#define CW_LAUNCHER_FINDPY_H

#include <limits.h>
#include <stddef.h>

#include "base/macros.h"

typedef struct cw_python {
  char program[PATH_MAX]; /* as sys.executable should say; in a venv, the venv's */
  char library[PATH_MAX]; /* its shared libpython, or "" where it has none */
} cw_python_t;

/* Looks at `wanted` (a path or a name on PATH) if it is not NULL; else beside this
 * program, in $VIRTUAL_ENV, on PATH, for a Python of the version this build is for.
 * Returns 0, or -1 with the reason and the remedy in `err`. */
CW_MUSTCHECK int cw_find_python(const char *wanted, cw_python_t *out, char *err,
                                size_t err_len);

#endif
